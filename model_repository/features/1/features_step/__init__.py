"""The feature step: user state, candidates and packed candidate features.

Plain numpy, the standard library, lmdb and, where they are needed, faiss and redis; nothing of the
project, so that a version folder is complete in itself. Builders load this same package.
"""

from .draws import with_seeds
from .isolate import isolated
from .item_ids import item_keys
from .measures import Measures
from .request import BadRequest, Limits
from .service import COUNTED, Answer, FeatureService
from .state import UserState, copy_state, open_state, seed
from .step import FeatureStep
from .tables import Tables
from .visual import Blend, VisualTable

__all__ = [
    "COUNTED",
    "Answer",
    "BadRequest",
    "Blend",
    "FeatureService",
    "FeatureStep",
    "Limits",
    "Measures",
    "Tables",
    "UserState",
    "VisualTable",
    "copy_state",
    "isolated",
    "item_keys",
    "open_state",
    "seed",
    "with_seeds",
]
