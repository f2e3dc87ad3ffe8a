"""Functions on tensors, a file a family: each has its shape rule, its kernel call and its gradient."""

from .activation import *
from .arithmetic import *
from .broadcast import *
from .comparison import *
from .copying import *
from .einsum import *
from .linalg import *
