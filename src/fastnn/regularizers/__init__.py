"""Regularizers: penalties that are added to the loss, and constraints that are put on parameters
after a step.

Each is attached to a part of a model by its `on=`: a pattern of names (`"*.weight"`,
`"encoder.*"`), several of them, a layer, or a parameter. `penalty(model)` is a scalar tensor to add
to the loss, or None; `constrain(model)` changes the parameters in place and is for after
`optimizer.step()`. Weight decay that is decoupled from the gradient is the optimizer's
(`AdamW(weight_decay=...)`), not here.

    for x, y in batches:
        loss = cross_entropy(model(x), y)
        extra = penalty(regularizers, model)
        (loss if extra is None else loss + extra).backward()
        optimizer.step()
        constrain(regularizers, model)
"""

from .activity import ActivityL1, ActivityL2
from .base import Regularizer, constrain, penalty
from .constraints import MaxNorm, UnitNorm
from .penalties import L1, L2, ElasticNet, Orthogonal

__all__ = [
    "L1", "L2", "ActivityL1", "ActivityL2", "ElasticNet", "MaxNorm", "Orthogonal", "Regularizer",
    "UnitNorm", "constrain", "penalty",
]  # fmt: skip
