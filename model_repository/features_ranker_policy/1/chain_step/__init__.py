"""Steps of a chain in one model: one after the other, each with its time.

The standard library only; the steps' own packages and tables lie beside it in a release.
"""

from .stages import Stage, Stages, merged
from .times import BatchLog, StageTimes

__all__ = ["BatchLog", "Stage", "StageTimes", "Stages", "merged"]
