"""Module: the base of every layer and model.

A module is a plain Python object. There is no registry beside it: its parameters are the
`Parameter`s among its attributes, its children are the `Module`s among them, and its buffers
(tensors that are saved with it but not trained) are the attributes that `register_buffer` named.
`state.py` reads and loads states, `summary.py` prints the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from .._core import enter_scope, note_change, set_scope, user_line
from ..dtypes import as_dtype
from ..flat import Flat, flatten
from ..tensor import Tensor
from .hooks import HookHandle, call_with_hooks
from .parameter import Parameter
from .place import note_place
from .state import LoadResult, load_state, read_state
from .summary import Summary, summarize

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


class Module:
    """Base class of all layers and models: make layers in `__init__`, use them in `forward`.

    Parameters, children and buffers are found among the attributes, in the order of assignment. A
    parameter or a child that is reachable by two ways is one parameter: it is counted, listed and
    trained once, and has a name in the `state_dict` for each way (as in PyTorch).

    Examples
    --------
    >>> import fastnn
    >>> from fastnn import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(4, 8)
    ...         self.out = nn.Linear(8, 2)
    ...     def forward(self, x):
    ...         return self.out(fastnn.relu(self.hidden(x)))
    >>> net = Net()
    >>> net(fastnn.zeros((3, 4))).shape
    (3, 2)
    >>> [name for name, _ in net.named_parameters()]
    ['hidden.weight', 'hidden.bias', 'out.weight', 'out.bias']
    """

    training: bool
    _buffer_names: dict[str, bool]  # name -> is it part of the state_dict
    _forward_hooks: dict[int, Callable[..., Any]]
    _forward_pre_hooks: dict[int, Callable[..., Any]]

    def __init__(self) -> None:
        attributes = self.__dict__
        attributes["training"] = True
        attributes["_buffer_names"] = {}
        attributes["_forward_hooks"] = {}
        attributes["_forward_pre_hooks"] = {}

    # --- running ---

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output: every subclass defines it. Hooks run when the module is called."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, x)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outer = enter_scope(self)
        try:
            if not self._forward_hooks and not self._forward_pre_hooks:
                return self.forward(*args, **kwargs)
            return call_with_hooks(self, args, kwargs)
        except Exception as error:
            note_place(error, self)
            raise
        finally:
            if outer is not None:
                set_scope(outer)

    def predict(self, *inputs: Any, batch_size: int = 256) -> Any:
        """The output for all rows of the inputs, in evaluation mode and without gradients.

        The forward pass is recorded and replayed (`fastnn.compile`), so that a single row costs
        microseconds. The mode of the module is not changed.

        Parameters
        ----------
        *inputs : array-like of shape (n, ...)
            What `forward` takes.
        batch_size : int
            Rows at a time, where there are more.

        Examples
        --------
        >>> import numpy as np
        >>> from fastnn import nn
        >>> nn.Linear(3, 2).predict(np.zeros((5, 3), "float32")).shape
        (5, 2)
        """
        predictor = self.__dict__.get("_predictor")
        if predictor is None:
            from ..compiler.predict import Predictor

            predictor = self.__dict__["_predictor"] = Predictor(self)
        return predictor.predict(inputs, batch_size)

    def register_forward_hook(self, hook: Callable[[Module, tuple, Any], Any]) -> HookHandle:
        """Call `hook(module, args, output)` after each forward; it may return another output.

        The handle's `remove()` takes the hook away, and so does leaving a `with` block over it.
        Hooks are not copied with the module.

        Examples
        --------
        >>> import fastnn
        >>> from fastnn import nn
        >>> layer = nn.Linear(2, 3)
        >>> with layer.register_forward_hook(lambda module, args, output: print(output.shape)):
        ...     y = layer(fastnn.ones((5, 2)))
        (5, 3)
        """
        return HookHandle(self._forward_hooks, hook)

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple], Any]) -> HookHandle:
        """Call `hook(module, args)` before each forward; it may return other arguments."""
        return HookHandle(self._forward_pre_hooks, hook)

    # --- attributes ---

    def __setattr__(self, name: str, value: Any) -> None:
        attributes, place = self.__dict__, f"{type(self).__name__}.{name}"
        if isinstance(value, (Module, Tensor)):
            if "_buffer_names" not in attributes:
                raise AttributeError(
                    f"{place} is assigned before super().__init__() was called: "
                    f"make that the first line of {type(self).__name__}.__init__"
                )
            if isinstance(value, Module):
                self._check_child(name, value)
            elif isinstance(attributes.get(name), Parameter) and not isinstance(value, Parameter):
                raise TypeError(
                    f"{place} is a Parameter and cannot become a plain Tensor: "
                    f"assign nn.Parameter(...) or None"
                )
        elif value is not None and name in attributes.get("_buffer_names", ()):
            raise TypeError(
                f"{place} is a buffer: assign a Tensor or None, not {type(value).__name__}"
            )
        if name == "training" or isinstance(value, (Module, Tensor)) or name in attributes:
            self._note_change(isinstance(value, (Module, Tensor)))
        object.__setattr__(self, name, value)

    def _note_change(self, structure: bool) -> None:
        """Recordings that used this module may not fit any more; an error would name this line."""
        if structure and "_changed_at" in self.__dict__:
            self.__dict__["_changed_at"] = user_line()
        note_change()

    def __delattr__(self, name: str) -> None:
        self._note_change(True)
        object.__delattr__(self, name)
        self._buffer_names.pop(name, None)

    def __getattr__(self, name: str) -> Any:  # only for what is not there
        cls = type(self).__name__
        if "_buffer_names" not in self.__dict__ and not name.startswith("__"):
            raise AttributeError(
                f"{cls} has no {name!r}: {cls}.__init__ did not call super().__init__()",
                name=name,
                obj=self,
            )
        raise AttributeError(f"{cls!r} object has no attribute {name!r}", name=name, obj=self)

    def _check_child(self, name: str, child: Module) -> None:
        """Refuse a child that has this module inside it, with the way that leads back."""
        for path, module in child.named_modules():
            if module is self:
                way = f"{name}.{path}" if path else name
                raise ValueError(
                    f"{type(self).__name__} cannot contain itself: .{way} would be the module "
                    f"that .{name} is assigned to"
                )

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Make `tensor` an attribute that is not trained, but saved if `persistent`."""
        self._check_name(name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"buffer {name!r} must be a Tensor or None, not {type(tensor).__name__}"
            )
        if isinstance(tensor, Parameter):
            raise TypeError(f"buffer {name!r} is a Parameter: assign it as an attribute instead")
        self._buffer_names[name] = persistent
        object.__setattr__(self, name, tensor)

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Make `parameter` the attribute `name`; the same as assigning it."""
        self._check_name(name)
        if parameter is not None and not isinstance(parameter, Parameter):
            raise TypeError(
                f"parameter {name!r} must be a Parameter or None, not {type(parameter).__name__}"
            )
        setattr(self, name, parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """Make `module` the attribute `name`: also for names that are not Python's, as `"0"`."""
        self._check_name(name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(
                f"module {name!r} must be an nn.Module or None, not {type(module).__name__}"
            )
        setattr(self, name, module)

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"a name in a module must be a string without dots, not {name!r}")
        present = self.__dict__.get(name)
        registered = isinstance(present, (Module, Tensor)) or name in self._buffer_names
        if not registered and (present is not None or hasattr(type(self), name)):
            raise ValueError(f"{type(self).__name__} already has an attribute {name!r}")

    # --- what is inside ---

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside this one, each once, with their names."""
        seen = set()
        for name, value in tuple(self.__dict__.items()):
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules directly inside this one, each once."""
        for _, module in self.named_children():
            yield module

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """The module and all inside it, each once, parents first; its own name is `prefix`."""
        found: dict[int, tuple[str, Module]] = {}
        self._collect(prefix, found)
        yield from found.values()

    def _collect(self, name: str, found: dict[int, tuple[str, Module]]) -> None:
        if id(self) not in found:
            found[id(self)] = name, self
            for part, value in self.__dict__.items():
                if isinstance(value, Module):
                    value._collect(f"{name}.{part}" if name else part, found)

    def modules(self) -> Iterator[Module]:
        """The module and all inside it, each once, parents first."""
        for _, module in self.named_modules():
            yield module

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their names; one that is shared comes once, under its first name.

        `remove_duplicate=False` lists a parameter that one module holds under two names twice.
        """
        seen = set()
        for path, module in self.named_modules(prefix) if recurse else ((prefix, self),):
            for name, value in tuple(module.__dict__.items()):
                if isinstance(value, Parameter) and not (remove_duplicate and id(value) in seen):
                    seen.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their names, each once."""
        seen = set()
        for path, module in self.named_modules(prefix) if recurse else ((prefix, self),):
            for name in module._buffer_names:
                value = module.__dict__.get(name)
                if value is not None and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, name: str) -> Module:
        """The module of that dotted name; the empty name is this module."""
        module = self
        for part in name.split(".") if name else ():
            child = module.__dict__.get(part)
            if not isinstance(child, Module):
                known = [path for path, _ in self.named_modules() if path]
                raise ValueError(f"{type(self).__name__} has no module {name!r}; it has {known}")
            module = child
        return module

    def get_parameter(self, name: str) -> Parameter:
        """The parameter of that dotted name."""
        path, _, last = name.rpartition(".")
        value = self.get_submodule(path).__dict__.get(last)
        if not isinstance(value, Parameter):
            known = [known for known, _ in self.named_parameters()]
            raise ValueError(f"{type(self).__name__} has no parameter {name!r}; it has {known}")
        return value

    # --- changing all of it ---

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module inside, children first, and last on the module itself."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode here and inside: dropout drops, batch norm uses the batch."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: mode must be True or False, not {mode!r}")
        for module in self.modules():
            if module.__dict__["training"] is not mode:
                module.__dict__["training"] = mode
                note_change()
        return self

    def eval(self) -> Self:
        """Set evaluation mode: the same as `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let the parameters be trained, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Drop the gradients of all parameters: the next backward starts anew."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, dtype: Any) -> Self:
        """Convert parameters and buffers of real numbers to `dtype`, float32 or float64; returns
        the module.

        The parameters stay the same objects. Make the optimizer afterwards.

        Examples
        --------
        >>> from fastnn import nn
        >>> nn.Linear(2, 3).to("float64").weight.dtype.name
        'float64'
        """
        dtype = as_dtype(dtype)
        if not dtype.is_float:
            raise TypeError(f"a model's numbers are float32 or float64, not {dtype.name}")
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.dtype.is_float and tensor.code != dtype.code:
                gradient, tensor._grad_view = tensor.grad, None
                tensor._rebind(tensor.detach().astype(dtype))
                tensor.grad = None if gradient is None else gradient.detach().astype(dtype)
        return self

    astype = to

    def double(self) -> Self:
        """`to("float64")`."""
        return self.to("float64")

    def float(self) -> Self:
        """`to("float32")`."""
        return self.to("float32")

    def flat(self) -> tuple[Flat, ...]:
        """The parameters as views of one flat buffer, their gradients of another:
        `fastnn.flat.flatten`.

        Called again, it returns the same buffers. They are as many as the parameters have dtypes.
        Optimizers flatten what they are given themselves.

        Examples
        --------
        >>> from fastnn import nn
        >>> layer = nn.Linear(2, 3)
        >>> (flat,) = layer.flat()
        >>> flat.data.numpy()[0] = 7.0
        >>> layer.weight.numpy()[0, 0].item()
        7.0
        """
        self.__dict__["_flat"] = flatten(self.parameters())  # kept, or the buffers would be let go
        return self.__dict__["_flat"]

    # --- state ---

    def state_dict(self, prefix: str = "", *, copy: bool = True) -> dict[str, Tensor]:
        """Parameters and buffers by name, in PyTorch's order, names and shapes.

        They are a copy: training on does not change them. With `copy=False` they share the model's
        memory.

        Examples
        --------
        >>> from fastnn import nn
        >>> {name: value.shape for name, value in nn.Linear(2, 3).state_dict().items()}
        {'weight': (3, 2), 'bias': (3,)}
        """
        return read_state(self, prefix, copy)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Copy parameters and buffers from `state`: Tensors, numpy arrays, or whatever numpy can
        read.

        Everything is checked before anything is written. Numbers are converted to the model's
        dtype.

        Parameters
        ----------
        state
            Name to array, as `state_dict` gives it.
        strict
            Whether missing or unexpected names are an error. Wrong shapes always are.

        Returns
        -------
        LoadResult
            `missing_keys` and `unexpected_keys`: two lists of names.

        Raises
        ------
        ValueError
            Lists every name that is missing, unexpected or of another shape, with the shapes.
        """
        return load_state(self, state, strict)

    def summary(self, example: Any = None, *, dtype: Any = "float32") -> Summary:
        """A table of the layers: output shapes, parameters, flops and memory.

        Parameters
        ----------
        example
            The input: a shape with the batch dimension (`(1, 784)`), a Tensor or array, or a tuple
            of arrays for a model of several inputs. Without it the table has no shapes and no
            flops.
        dtype
            Of the input, if a shape is given: `"int64"` for a model that begins with an embedding.

        Examples
        --------
        >>> from fastnn import nn
        >>> print(nn.Sequential(nn.Linear(4, 8), nn.ReLU()).summary((1, 4)))
        layer         output  parameters  flops  memory
        -----------------------------------------------
        Sequential    (1, 8)           -      -       -
          0 (Linear)  (1, 8)          40    72     32 B
          1 (ReLU)    (1, 8)           -     8     32 B
        -----------------------------------------------
        parameters  40 (160 B)
        forward     80 flop, outputs 64 B
        """
        return summarize(self, example, dtype)

    # --- Python ---

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles take along.

        Not the hooks, which belong to whoever registered them on this very module, nor the flat
        memory and recordings: a copy's parameters have memory of their own.
        """
        left_out = ("_flat", "_changed_at", "_predictor")
        state = {name: value for name, value in self.__dict__.items() if name not in left_out}
        return state | {name: {} for name in _HOOKS}

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr, besides the children."""
        return ""

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self.__dict__.items()
            if isinstance(child, Module)
        ]
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        return f"{type(self).__name__}({extra}\n" + "\n".join(lines) + "\n)"

    def count_flops(self, inputs: tuple[Any, ...], output: Any) -> int:
        """For `summary`: flops of one forward call without the children; a multiply-add is two."""
        return 0
