"""Records what users do: the event log and the user state, changed together.

Plain numpy, the standard library, lmdb and redis; nothing of the project. What it shares with the
features step, above all how a state is stored and merged, are that step's own files.
"""

from .event import COLUMNS, Event, row_of
from .log import EventLog, open_log
from .measures import Measures
from .open_store import open_store
from .rate import Rate, TooMany
from .rules import BadRequest, Rules
from .service import COUNTED, STORED, THERE, Answer, RecordService
from .store import EventStore, Unwritable

__all__ = [
    "COLUMNS",
    "COUNTED",
    "STORED",
    "THERE",
    "Answer",
    "BadRequest",
    "Event",
    "EventLog",
    "EventStore",
    "Measures",
    "Rate",
    "RecordService",
    "Rules",
    "TooMany",
    "Unwritable",
    "open_log",
    "open_store",
    "row_of",
]
