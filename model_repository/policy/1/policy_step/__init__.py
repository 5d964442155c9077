"""The policy step: which candidates are answered, in which order, under which external ids.

Plain numpy and the standard library; nothing of the project, so that a version folder is
complete in itself. Builders load this same package.
"""

from .explore import Explored, explore
from .ids import load_item_ids
from .isolate import isolated
from .measures import Measures
from .policy import EXPLORE, LOWEST, REAL, Chosen, choose
from .service import answer

__all__ = [
    "EXPLORE",
    "LOWEST",
    "REAL",
    "Chosen",
    "Explored",
    "Measures",
    "answer",
    "choose",
    "explore",
    "isolated",
    "load_item_ids",
]
