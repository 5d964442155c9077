"""The policy step: which candidates are answered, in which order, under which external ids.

Plain numpy and the standard library; nothing of the project, so that a version folder is
complete in itself. Builders load this same package.
"""

from .ids import load_item_ids
from .isolate import isolated
from .measures import Measures
from .policy import LOWEST, REAL, Chosen, choose
from .service import answer

__all__ = ["LOWEST", "REAL", "Chosen", "Measures", "answer", "choose", "isolated", "load_item_ids"]
