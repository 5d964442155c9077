"""Who answers a request while a release is tried: numpy and the standard library only."""

from .background import Background
from .error_code import code_of
from .measures import Measures
from .route import Route
from .rows import Tensors, merged, split
from .shadow import Shadow

__all__ = ["Background", "Measures", "Route", "Shadow", "Tensors", "code_of", "merged", "split"]
