"""The image encoder step: an ONNX model, run for a batch of requests.

ONNX Runtime, numpy and the standard library; nothing of the project, so that a version folder is
complete in itself.
"""

from .encoder import Encoder
from .isolate import isolated
from .measures import Measures

__all__ = ["Encoder", "Measures", "isolated"]
