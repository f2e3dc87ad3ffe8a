"""What is inside a network: its first filters, and what its layers make of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import no_grad
from ..nn import Conv2d, Module
from ..tensor import Tensor, as_tensor
from ._figure import Path, array, as_pictures, finish, grid, new_figure, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]


def filters(
    model: Module, layer: str | None = None, *, count: int = 64, columns: int = 8, path: Path = None
) -> Figure:
    """The weights of a convolution: of the network's first, if none is named.

    Filters of three channels are colours: grey is 0, and the largest weight of each filter reaches 0 or 1.
    Others are red where they are positive and blue where they are negative, on one scale; of several
    channels, rows are filters and columns channels.

    Parameters
    ----------
    model : Module
        A network, or the convolution itself.
    layer : str, optional
        Its name, as in `named_modules`.
    count : int, default 64
        At most so many filters.
    columns : int, default 8
        Filters in a row; of filters of several channels, the channels that are shown.
    path : str or path, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such layer, or it is no convolution of images.

    Examples
    --------
    >>> from fastnn import nn, plot
    >>> figure = plot.filters(nn.Sequential(nn.Conv2d(3, 16, 5), nn.ReLU()))
    >>> len(figure.axes)
    16
    """
    name, found = _find(model, layer, "filters")
    if not isinstance(found, Conv2d):
        raise ValueError(f"filters: {name} is {type(found).__name__}, not a Conv2d")
    weight = array(found.weight).astype(np.float64)[:count]
    total, channels, high, wide = found.weight.shape
    size, name = f"{high} x {wide}", f"{name} Conv2d" if name != "Conv2d" else name
    shown = f"{total}" if total == len(weight) else f"{len(weight)} of {total}"
    title = f"{name}: {shown} filters, {size}"
    if channels in (1, 3):
        rows, columns = grid(len(weight), columns)
        pictures = list(weight[:, 0] if channels == 1 else weight.transpose(0, 2, 3, 1))
    else:
        columns = min(columns * 2, channels)
        weight = weight[: 16 if count == 64 else count, :columns]
        rows = len(weight)
        pictures = list(weight.reshape(-1, high, wide))
        title = (
            f"{name}: {rows} of {total} filters (rows), {columns} of {channels} channels (columns), "
            f"{size}"
        )
    return _draw_filters(pictures, rows, columns, channels, title, path)


def _draw_filters(
    pictures: list[np.ndarray], rows: int, columns: int, channels: int, title: str, path: Path
) -> Figure:
    cell = 0.85 if channels in (1, 3) else 0.5
    figure = new_figure(
        "filters", max(4.2, cell * columns + (channels != 3) * 0.9), cell * rows + 0.5
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    largest = max((np.abs(p).max() for p in pictures), default=1.0) or 1.0
    for axis, picture in zip(axes, pictures, strict=False):
        if channels == 3:
            show(axis, np.clip(0.5 + 0.5 * picture / (np.abs(picture).max() or 1), 0, 1))
        else:
            show(axis, picture, cmap="RdBu_r", vmin=-largest, vmax=largest)
    for axis in axes[len(pictures) :]:
        axis.remove()
    if channels != 3:
        bar = figure.colorbar(
            axes[0].images[0], ax=list(axes[: len(pictures)]), shrink=0.8, aspect=30
        )
        bar.set_label("weight")
        bar.outline.set_visible(False)
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    return finish(figure, path)


def feature_maps(
    model: Module,
    image: Any,
    layers: str | Sequence[str] | None = None,
    *,
    channels: int = 12,
    path: Path = None,
) -> Figure:
    """What layers make of one image: the channels of their outputs, those with the most in them first.

    The network runs once, in evaluation mode, with hooks on the layers; its mode and hooks are what they were
    afterwards.

    Parameters
    ----------
    model : Module
    image : array-like, (C, H, W) or (1, C, H, W)
        As the network wants it.
    layers : str or sequence of str, optional
        Names, as in `named_modules`; by default the first four Conv2d.
    channels : int, default 12
        At most so many of each layer; each is shown from its least to its largest number.
    path : str or path, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure
        The image, and a row for each layer.

    Raises
    ------
    ValueError
        If there is no such layer, or its output is no image.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn, plot
    >>> net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2))
    >>> figure = plot.feature_maps(net, np.ones((1, 8, 8), "float32"), ["1", "2"])
    >>> [text.get_text() for text in figure.texts]
    ['1 ReLU: 6 channels, 6 x 6', '2 MaxPool2d: 6 channels, 3 x 3']
    """
    x = as_tensor(image)
    x = x if x.ndim == 4 else as_tensor(array(x)[None])
    if x.ndim != 4 or x.shape[0] != 1:
        raise ValueError(
            f"feature_maps: one image (C, H, W) is shown, not {as_tensor(image).shape}"
        )
    names = _layer_names(model, layers)
    outputs = _outputs(model, x, names)
    rows = []
    for name, (kind, y) in outputs.items():
        if y.ndim != 4:
            raise ValueError(
                f"feature_maps: the output of {name} is no image, its shape is {y.shape}"
            )
        strongest = np.argsort(-np.abs(y[0]).mean((1, 2)), kind="stable")[:channels]
        _, count, high, wide = y.shape
        rows.append((f"{name} {kind}: {count} channels, {high} x {wide}", y[0, strongest]))
    return _draw_maps(array(x), rows, path)


def _draw_maps(x: np.ndarray, rows: list[tuple[str, np.ndarray]], path: Path) -> Figure:
    """The image on the left, and beside it a row of maps for each layer."""
    columns = max(len(maps) for _, maps in rows)
    cell, line, left = 0.85, 1.17, 2.15  # inches: a map, a row with its title, the image's room
    wide, high = left + cell * columns + 0.1, max(line * len(rows) + 0.1, 2.0)
    figure = new_figure("feature_maps", wide, high)
    figure.set_layout_engine("none")
    axis = figure.add_axes((0.1 / wide, 1 - 1.9 / high, 1.85 / wide, 1.6 / high))
    colours = x.shape[1] in (1, 3)
    show(axis, as_pictures(x if colours else x[:, :1], "feature_maps")[0])
    axis.set_title("image" if colours else "channel 0 of the image", fontsize=9)
    for row, (label, maps) in enumerate(rows):
        top = 1 - (line * row + 0.08) / high
        figure.text(left / wide, top, label, fontsize=9, va="top", fontweight="bold")
        for column, picture in enumerate(maps):
            place = (
                (left + cell * column) / wide,
                top - (0.19 + 0.8) / high,
                0.8 / wide,
                0.8 / high,
            )
            show(figure.add_axes(place), picture, cmap="viridis", vmin=None, vmax=None)
    return finish(figure, path)


def _layer_names(model: Module, layers: str | Sequence[str] | None) -> list[str]:
    known = dict(model.named_modules())
    if layers is None:
        names = [name for name, module in known.items() if isinstance(module, Conv2d)][:4]
        if not names:
            raise ValueError("feature_maps: the network has no Conv2d; name the layers to show")
        return names
    names = [layers] if isinstance(layers, str) else list(layers)
    for name in names:
        _find(model, name, "feature_maps")
    return names


def _find(model: Module, layer: str | None, what: str) -> tuple[str, Any]:
    """The layer of that name, or the first Conv2d."""
    known = dict(model.named_modules())
    if layer is None:
        for name, module in known.items():
            if isinstance(module, Conv2d):
                return name or type(module).__name__, module
        raise ValueError(f"{what}: the network has no Conv2d")
    if layer not in known:
        raise ValueError(
            f"{what}: the network has no layer {layer!r}; it has {', '.join(map(repr, filter(None, known)))}"
        )
    return layer or type(known[layer]).__name__, known[layer]


def _outputs(model: Module, x: Tensor, names: Sequence[str]) -> dict[str, tuple[str, np.ndarray]]:
    """The kind of each layer and what it gives for x, by name; the last time where it runs several times."""
    known = dict(model.named_modules())
    found: dict[str, Tensor] = {}
    modes = {module: module.training for module in known.values()}

    def keep(name: str) -> Any:
        def hook(module: Module, args: tuple, output: Any) -> None:
            found[name] = output

        return hook

    handles = [known[name].register_forward_hook(keep(name)) for name in names]
    try:
        model.eval()
        with no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"feature_maps: the layer {missing[0]!r} does not run on this image")
    return {name: (type(known[name]).__name__, array(found[name]).copy()) for name in names}
