"""Functions on tensors, a file a family: each has its shape rule, its kernel call and its gradient."""

from .activation import *
from .arithmetic import *
from .assign import *
from .batch_norm import *
from .broadcast import *
from .comparison import *
from .conv import *
from .copying import *
from .dropout import *
from .einsum import *
from .elementary import *
from .gather import *
from .group_norm import *
from .index import *
from .join import *
from .linalg import *
from .norm import *
from .pad import *
from .pooling import *
from .reduce import *
from .resize import *
from .shape import *
from .softmax import *
