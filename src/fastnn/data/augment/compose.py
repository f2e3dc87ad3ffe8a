"""Transform, what all of them are, and Compose, which does several as one pass over a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import random
from ..._core import launch
from ..._core import ops as op
from ...dtypes import as_dtype
from ...random import Generator
from ...tensor import Tensor, as_tensor, empty
from .plan import Plan

__all__ = ["Compose", "Transform"]


class Transform:
    """A change of images, usually a random one.

    Called with a batch (N, C, H, W) of uint8 or real images, it gives the changed images as reals;
    uint8 comes to 0 to 1. Called with targets, too, it gives both. Transforms never change: make another
    one.
    """

    def write(self, plan: Plan) -> None:
        """Append this transform to a plan."""
        raise TypeError(f"{type(self).__name__} is not a transform that can be used by itself")

    def fixed(self) -> Transform | None:
        """What of it applies to images that a network is tested on; None for nothing."""
        return None

    def wants_units(self) -> bool:
        """Whether it is for images from 0 to 1 only."""
        return False

    def inverse_scale(self) -> tuple[Any, Any] | None:
        """The factor and the summand that show its images as they were, where that is all it takes."""
        return None

    def __call__(
        self, x: Any, y: Any = None, *, dtype: Any = None, generator: Generator | None = None
    ) -> Any:
        """Change a batch; see `Compose`."""
        return Compose([self])(x, y, dtype=dtype, generator=generator)


class Compose(Transform):
    """Transforms one after another, as one pass over the batch.

    Each image goes its whole way within the cache, on one thread; the images have the same bits at any
    number of threads. Crops, flips and turns next to each other are one resampling: what an earlier one cut
    off can be seen again where a later one looks for it.

    Parameters
    ----------
    transforms : Transform or sequence of Transform
        Without any, uint8 images become reals and others stay as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import augment
    >>> change = augment.Compose([
    ...     augment.RandomCrop(32, padding=4, padding_mode="reflect"),
    ...     augment.RandomHorizontalFlip(),
    ...     augment.Normalize([0.49, 0.48, 0.45], [0.25, 0.24, 0.26]),
    ... ])
    >>> photos = np.zeros((8, 32, 32, 3), np.uint8).transpose(0, 3, 1, 2)  # no copy
    >>> change(photos).shape
    (8, 3, 32, 32)
    """

    transforms: tuple[Transform, ...]

    def __init__(self, transforms: Transform | Sequence[Transform]) -> None:
        parts: list[Transform] = []
        for transform in [transforms] if isinstance(transforms, Transform) else transforms:
            if not isinstance(transform, Transform):
                kind = (
                    "the class" if isinstance(transform, type) else f"a {type(transform).__name__}:"
                )
                raise TypeError(f"Compose: transforms are wanted, got {kind} {transform!r}")
            parts += transform.transforms if isinstance(transform, Compose) else [transform]
        self.transforms = tuple(parts)
        self._ready: dict[Any, _Ready] = {}

    def fixed(self) -> Compose:
        """What of it applies to images that a network is tested on.

        >>> from fastnn.data import augment
        >>> augment.Compose([augment.RandomRotation(10), augment.Normalize(0.5, 0.2)]).fixed()
        Compose([Normalize(mean=0.5, std=0.2)])
        """
        return Compose([t for t in (part.fixed() for part in self.transforms) if t is not None])

    def __call__(
        self, x: Any, y: Any = None, *, dtype: Any = None, generator: Generator | None = None
    ) -> Any:
        """Change a batch.

        Parameters
        ----------
        x : array-like of shape (N, C, H, W)
            uint8, 0 to 255, or float32 or float64, 0 to 1. Fastest where the channels lie next to each
            other in memory: a view (N, C, H, W) of an array (N, H, W, C).
        y : array-like, optional
            Class indices (N,), or shares (N, classes). `MixUp` and `CutMix` make shares of them.
        dtype : str, optional
            What uint8 images become; "float32" if not given.
        generator : Generator, optional
            Where the chances come from.

        Returns
        -------
        x, or (x, y)
            Tensors; x real, in channels-last memory.

        Raises
        ------
        TypeError, ValueError
            What comes is no batch of images of the kind wanted.
        """
        images = as_tensor(x).detach()
        _check_images(images)
        want = _result_dtype(images, dtype)
        if not self.transforms and not self._is_whole(images):
            return images if y is None else (images, as_tensor(y))
        ready = self._for(images)
        draws, key = ready.chances(images.shape[0], generator)
        made = ready.images(images, want, draws, key)
        if y is None:
            if ready.plan.mixes:
                raise ValueError(
                    "augment: MixUp and CutMix mix the targets, too: call with x and y"
                )
            return made
        return made, ready.targets(as_tensor(y).detach(), want, draws)

    def check(self, x: Any) -> None:
        """Refuse images that the transforms cannot take; nothing is computed of them.

        Raises
        ------
        TypeError, ValueError
            As by a call; and where `ColorJitter` would cut off what lies outside of 0 to 1.
        """
        images = as_tensor(x)
        _check_images(images)
        self._for(images)
        if self._is_whole(images) or not any(t.wants_units() for t in self.transforms):
            return
        low, high = images.min().item(), images.max().item()
        if low < 0 or high > 1:
            raise ValueError(
                f"augment: ColorJitter is for images from 0 to 1, these are from {low:g} to {high:g}; "
                "give them as uint8, divide by 255, or normalise them after it"
            )

    @staticmethod
    def _is_whole(x: Tensor) -> bool:
        return x.dtype.name == "uint8"

    def _for(self, x: Tensor) -> _Ready:
        key = (x.shape[1:], self._is_whole(x))
        if key not in self._ready:
            _, channels, height, width = x.shape
            plan = Plan(channels, height, width, self._is_whole(x))
            for transform in self.transforms:
                transform.write(plan)
            self._ready[key] = _Ready(plan)
        return self._ready[key]

    def __getstate__(self) -> dict[str, Any]:
        """For pickles and copies: plans are made anew."""
        return {"transforms": self.transforms, "_ready": {}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Compose) and self.transforms == other.transforms

    def __hash__(self) -> int:
        return hash(self.transforms)

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


class _Ready:
    """A plan with its tensors, ready to be launched."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._rows, self._values, self._mixing = plan.tensors()

    def chances(self, n: int, generator: Generator | None) -> tuple[Tensor, Tensor | None]:
        """The draws of n images, and a key for noise where there is some."""
        plan = self.plan
        draws = empty((n, 0), "float64")
        if plan.draws:
            draws = random.uniform((n, plan.draws), dtype="float64", generator=generator)
        if not plan.noise:
            return draws, None
        return draws, (generator or random.default_generator).key(n * plan.noise)

    def images(self, x: Tensor, dtype: Any, draws: Tensor, key: Tensor | None) -> Tensor:
        n, channels, height, width = *x.shape[:2], self.plan.height, self.plan.width
        y = empty((n, height, width, channels), dtype)
        by, down, across, beside = x.strides[0], x.strides[2], x.strides[3], x.strides[1]
        rows = x._as_view((n, *x.shape[2:], channels), (by, down, across, beside))
        launch(op.augment, (rows, draws, key, self._rows, self._values, y))
        area = height * width * channels
        return y._as_view((n, channels, height, width), (area, 1, width * channels, channels))

    def targets(self, y: Tensor, dtype: Any, draws: Tensor) -> Tensor:
        """The shares of mixed labels; y itself where nothing is mixed."""
        plan = self.plan
        if not plan.mixes:
            return y
        n, classes = draws.shape[0], plan.classes
        whole = not y.dtype.is_float
        if whole and classes is None:
            raise ValueError(
                "augment: the labels are class indices; say how many classes there are: "
                "MixUp(num_classes=...)"
            )
        many = classes if classes is not None else y.shape[-1] if y.ndim else 0
        wanted = (n,) if whole else (n, many)
        if y.shape != wanted:
            raise ValueError(
                f"augment: mixing needs one class index an image, or a row of shares; y has shape "
                f"{y.shape}, wanted {wanted}"
            )
        labels = y.astype("int64") if whole else y.astype(dtype).contiguous()
        shares = empty((n, many), dtype)
        scalars = (float(plan.smoothing), plan.height, plan.width)
        launch(op.augment_labels, (labels, draws, self._mixing, self._values, shares), scalars)
        return shares


def _check_images(x: Tensor) -> None:
    if x.dtype.name not in ("uint8", "float32", "float64"):
        raise TypeError(
            f"augment: images are uint8 (0 to 255), or float32 or float64 (0 to 1), not {x.dtype}; "
            "convert them with x.astype('uint8')"
        )
    if x.ndim != 4:
        hint = ""
        if x.ndim == 3:
            hint = "; give x[:, None] if they have no channels, x[None] if it is one image"
        raise ValueError(f"augment: a batch of images is (N, C, H, W), got shape {x.shape}{hint}")
    n, channels, height, width = x.shape
    if width in (1, 3, 4) and channels > 4:
        raise ValueError(
            f"augment: images are (N, C, H, W), and shape {x.shape} looks like (N, H, W, C); give "
            "x.transpose(0, 3, 1, 2), which copies nothing"
        )
    if not (n and channels and height and width):
        raise ValueError(f"augment: there are no images or no pixels in shape {x.shape}")


def _result_dtype(x: Tensor, dtype: Any) -> Any:
    if x.dtype.is_float:
        if dtype is not None and as_dtype(dtype) != x.dtype:
            raise TypeError(
                f"augment: the images are {x.dtype} but {as_dtype(dtype)} is wanted; convert them with "
                f"x.astype('{as_dtype(dtype)}')"
            )
        return x.dtype
    want = as_dtype("float32" if dtype is None else dtype)
    if not want.is_float:
        raise TypeError(f"augment: images become float32 or float64, not {want}")
    return want
