"""Modules made of modules: Sequential, ModuleList, ModuleDict, Residual, Lambda, Identity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, overload

from .._core import note_change
from ..tensor import as_tensor
from .module import Module


def _children(module: Module) -> list[tuple[str, Module]]:
    """The children in order; one that is there twice comes twice, unlike in `named_children`."""
    return [(name, value) for name, value in module.__dict__.items() if isinstance(value, Module)]


class _Numbered(Module):
    """Modules named "0", "1", ... by their places: what Sequential and ModuleList share."""

    def _set(self, named: Iterable[tuple[str, Module]]) -> None:
        """Make these the children, numbered anew unless named; on an error the old ones stay."""
        new = {}
        for place, (name, module) in enumerate(named):
            if not isinstance(module, Module):
                hint = " (wrap a function in nn.Lambda)" if callable(module) else ""
                raise TypeError(
                    f"{type(self).__name__} takes modules; number {place} is of type "
                    f"{type(module).__name__}{hint}"
                )
            self._check_child(str(place), module)
            new[str(place) if name.isdigit() else name] = module
        for name, _ in _children(self):
            del self.__dict__[name]
        self.__dict__.update(new)
        note_change()

    def __len__(self) -> int:
        return len(_children(self))

    def __iter__(self) -> Iterator[Module]:
        return iter([module for _, module in _children(self)])

    def _name_of(self, index: int) -> str:
        named = _children(self)
        try:
            return named[index][0]
        except IndexError:
            raise IndexError(
                f"{type(self).__name__} has {len(named)} modules; there is no number {index}"
            ) from None

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if not isinstance(index, slice):
            return self.__dict__[self._name_of(index)]
        part = type(self).__new__(type(self))
        Module.__init__(part)
        part._set(_children(self)[index])
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name_of(index), module)

    def __delitem__(self, index: int | slice) -> None:
        named = _children(self)
        if not isinstance(index, slice):
            self._name_of(index)
        del named[index]
        self._set(named)

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns this one."""
        return self.extend([module])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end; returns this one."""
        self._set([*_children(self), *(("0", module) for module in modules)])
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before number `index`; returns this one."""
        named = _children(self)
        named.insert(index, ("0", module))
        self._set(named)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take a module out and return it."""
        module = self[index]
        del self[index]
        return module


class Sequential(_Numbered):
    """Modules in a row: each gets the output of the one before.

    Takes modules, or a dictionary of them to name them. Can be indexed, sliced (a slice shares the
    modules), appended to and iterated over.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> model(fastnn.zeros((3, 4))).shape
    (3, 2)
    >>> model[:2]
    Sequential(
      (0): Linear(in_features=4, out_features=8, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            self.extend(modules)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        """The output of the last module, of the last but one, ... of `x`."""
        for module in self.__dict__.values():
            if isinstance(module, Module):
                x = module(x)
        return x


class ModuleList(_Numbered):
    """A list of modules whose parameters are found; a plain list's are not.

    Examples
    --------
    >>> from fastnn import nn
    >>> layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)


class ModuleDict(Module):
    """A dictionary of modules whose parameters are found; keys are strings without dots.

    Examples
    --------
    >>> from fastnn import nn
    >>> heads = nn.ModuleDict({"digit": nn.Linear(8, 10), "parity": nn.Linear(8, 2)})
    >>> heads["parity"].out_features, list(heads)
    (2, ['digit', 'parity'])
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        super().__init__()
        self.update(modules)

    def __getitem__(self, key: str) -> Module:
        module = self.__dict__.get(key)
        if not isinstance(module, Module):
            raise KeyError(f"ModuleDict has no module {key!r}; it has {list(self)}")
        return module

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(_children(self))

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in _children(self)])

    def __contains__(self, key: object) -> bool:
        return isinstance(self.__dict__.get(key), Module)  # type: ignore[call-overload]

    def keys(self) -> list[str]:
        """The names."""
        return list(self)

    def values(self) -> list[Module]:
        """The modules."""
        return [module for _, module in _children(self)]

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules."""
        return _children(self)

    def pop(self, key: str) -> Module:
        """Take a module out and return it."""
        module = self[key]
        delattr(self, key)
        return module

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules by name, in place of those of the same names."""
        for key, module in modules.items() if isinstance(modules, Mapping) else modules:
            self[key] = module


class Residual(Module):
    """Adds a block's input to its output: `x + body(x)`, or `shortcut(x) + body(x)`.

    Parameters
    ----------
    *body : Module
        The block; several modules run one after another.
    shortcut : Module, optional
        For a block whose output has another shape than its input, e.g. a Linear.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> block = nn.Residual(nn.LayerNorm(4), nn.Linear(4, 4), nn.ReLU())
    >>> block(fastnn.ones((2, 4))).shape
    (2, 4)
    """

    def __init__(self, *body: Module, shortcut: Module | None = None) -> None:
        super().__init__()
        if not body:
            raise ValueError(
                "Residual needs a module, the block whose input is added to its output"
            )
        self.body = body[0] if len(body) == 1 else Sequential(*body)
        self.shortcut = shortcut

    def forward(self, x: Any) -> Any:
        """`x + body(x)`, of the shape of `x`."""
        x = as_tensor(x)
        y = self.body(x)
        base = x if self.shortcut is None else self.shortcut(x)
        if y.shape != base.shape:
            raise ValueError(
                f"Residual: the block makes {y.shape} of {x.shape}, which cannot be added to "
                f"{base.shape}; give a shortcut= that makes {y.shape} of {x.shape}"
            )
        return base + y

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        return int(output.size)


class Lambda(Module):
    """Any function of tensors as a layer.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> nn.Lambda(lambda x: x * 2)(fastnn.ones((1,)))
    Tensor([2.])
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        if not callable(function):
            raise TypeError(f"Lambda takes a function, not {type(function).__name__}")
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns."""
        return self.function(*args, **kwargs)

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)


class Identity(Module):
    """Returns its input. Its constructor ignores all arguments, so that it can stand in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """`x` itself."""
        return x
