"""Steps of a chain in one model: one after the other, each with its time.

Numpy and the standard library only, and OpenTelemetry where a collector is named; the steps' own
packages and tables lie beside it in a release.
"""

from .batch_log import BatchLog
from .impressions import Impressions, stored
from .request_log import RequestLog
from .spans import StageSpans
from .stages import Passed, Stage, Stages, merged
from .told import Told

__all__ = [
    "BatchLog",
    "Impressions",
    "Passed",
    "RequestLog",
    "Stage",
    "StageSpans",
    "Stages",
    "Told",
    "merged",
    "stored",
]
