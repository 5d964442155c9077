"""The ranker step: an ONNX model, run for a batch of requests.

ONNX Runtime, numpy and the standard library; nothing of the project, so that a version folder is
complete in itself.
"""

from .isolate import isolated
from .measures import Measures
from .scorer import Scorer

__all__ = ["Measures", "Scorer", "isolated"]
