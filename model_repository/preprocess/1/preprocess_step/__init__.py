"""The preprocess step: encoded pictures to normalised pixels.

DALI, Pillow, numpy and the standard library; nothing of the project, so that a version folder is
complete in itself. Builders load this same package, so that a picture of the catalogue and one in
a request become the same pixels.
"""

from .dali import write_pipelines
from .header import BadImage, read_header
from .isolate import isolated
from .limits import Limits
from .measures import Measures
from .preprocessor import Preprocessor
from .service import COUNTED, PreprocessService

__all__ = [
    "COUNTED",
    "BadImage",
    "Limits",
    "Measures",
    "PreprocessService",
    "Preprocessor",
    "isolated",
    "read_header",
    "write_pipelines",
]
