"""Pictures of training and of networks, by matplotlib (``pip install fastnn[plot]``).

Each function returns a `matplotlib.figure.Figure`, which a notebook shows, and saves it where it is given a
path. Figures are made without pyplot: no window, no display, no state that other pictures share.

    training_curves     loss, metrics and learning rate of a History
    confusion_matrix    which classes are taken for which
    misclassified       the examples that a network is most sure of and wrong about
    filters             the weights of a network's first convolution
    feature_maps        what its layers make of one image
    images              any images, in a grid
"""

from __future__ import annotations

from .confusion import confusion_matrix
from .curves import training_curves
from .layers import feature_maps, filters
from .pictures import images, misclassified

__all__ = [
    "confusion_matrix", "feature_maps", "filters", "images", "misclassified", "training_curves",
]  # fmt: skip
