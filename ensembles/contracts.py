"""Tensor contracts: what a request, a response and each step's tensors look like.

Shapes are written without the batch axis; ``-1`` is a length that the request or the release fixes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ensembles.errors import ContractError


class DataType(StrEnum):
    """Triton's data types, as they are spelled in requests."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    BYTES = "BYTES"


@dataclass(frozen=True)
class TensorSpec:
    """A named tensor; ``shape`` leaves out the batch axis.

    Raises:
        ContractError: for an empty name or a length that is neither positive nor -1.
    """

    name: str
    datatype: DataType
    shape: tuple[int, ...]
    optional: bool = False

    def __post_init__(self) -> None:
        if not self.name or self.name != self.name.lower() or not self.name.isidentifier():
            raise ContractError(f"a tensor name is lower snake case; got {self.name!r}")
        if not self.shape or any(d < 1 and d != -1 for d in self.shape):
            raise ContractError(
                f"tensor {self.name!r}: each length is positive or -1; got {self.shape}"
            )

    def fits(self, other: TensorSpec) -> bool:
        """Whether a producer of ``self`` may feed a consumer that declares ``other``."""
        same_rank = len(self.shape) == len(other.shape)
        return (
            self.datatype == other.datatype
            and same_rank
            and all(a == b or -1 in (a, b) for a, b in zip(self.shape, other.shape, strict=True))
        )


@dataclass(frozen=True)
class Limits:
    """What one request may ask for; anything beyond is answered with INVALID_ARGUMENT."""

    k_default: int = 10
    k_max: int = 100
    id_bytes: int = 256
    candidates: int = 5000
    recent: int = 1000
    image_bytes: int = 10_000_000
    image_pixels: int = 50_000_000


LIMITS = Limits()

MAX_BATCH = 128
"""Rows that one request, and one dynamic batch, may hold."""


def candidate_counts(candidates: int) -> tuple[int, ...]:
    """Counts that a request's candidates are padded to: the release's own, then larger ones."""
    return (candidates, *(n for n in (1000, LIMITS.candidates) if n > candidates))


# The request and the response: the public contract.
USER_ID = TensorSpec("user_id", DataType.BYTES, (1,))
K = TensorSpec("k", DataType.INT32, (1,), optional=True)
CANDIDATES = TensorSpec("candidates", DataType.BYTES, (-1,), optional=True)
RECENT = TensorSpec("recent", DataType.BYTES, (-1,), optional=True)
IMAGE = TensorSpec("image", DataType.UINT8, (-1,))
ITEM_ID = TensorSpec("item_id", DataType.BYTES, (-1,))
SCORE = TensorSpec("score", DataType.FP32, (-1,))
DEGRADED = TensorSpec("degraded", DataType.BOOL, (1,))
"""The user state could not be read: the answer knows only what the request carries. A tensor,
since the Python backend of Triton 2.51 offers no response parameters."""

# What is recorded: one event a row. 0, or an empty text, stands for none in what is optional.
EVENT_ITEM = TensorSpec("item_id", DataType.BYTES, (1,))
EVENT = TensorSpec("event", DataType.BYTES, (1,))
TIMESTAMP = TensorSpec("timestamp", DataType.INT64, (1,), optional=True)
"""Seconds since the epoch; the server's clock where there is none."""
EVENT_ID = TensorSpec("event_id", DataType.BYTES, (1,), optional=True)
"""The same event sent again has the same; the server makes one where there is none."""
REQUEST_ID = TensorSpec("request_id", DataType.BYTES, (1,), optional=True)
POSITION = TensorSpec("position", DataType.INT32, (1,), optional=True)
RELEASE = TensorSpec("release", DataType.INT32, (1,), optional=True)
"""With the request id and the position, from 1: the recommendation that the event answers."""
SHOWN_SCORE = TensorSpec("score", DataType.FP32, (1,), optional=True)
"""Of an impression, which servers record themselves."""
PROPENSITY = TensorSpec("propensity", DataType.FP32, (1,), optional=True)
EXPLORED = TensorSpec("explored", DataType.BOOL, (1,), optional=True)
"""Of one that a release shows which explores: chance, and whether the slot was given away."""
COLD_START = TensorSpec("cold_start", DataType.BOOL, (1,), optional=True)
"""Of one: nothing was known of the user."""
ACCEPTED = TensorSpec("accepted", DataType.UINT8, (1,))
"""1: stored now; 2: it was there already."""

# Between the steps: few tensors, item numbers instead of ids, padded to the release's lengths.
HEAD_FEATURES = 5
"""What the ranker's head reads of them: neighbour score, factor score, popularity, recency,
category match."""
CANDIDATE_FEATURES_WIDTH = HEAD_FEATURES + 2
"""Packed per candidate; the last two are for a request with a picture, and zero without: how much
the candidate looks like it times the weight of the picture, and that weight, from 0 to 1."""

HISTORY = TensorSpec("history", DataType.INT32, (-1,))
CANDIDATE = TensorSpec("candidate", DataType.INT32, (-1,))
CANDIDATE_FEATURES = TensorSpec("candidate_features", DataType.FP32, (-1, CANDIDATE_FEATURES_WIDTH))
CANDIDATE_FLAGS = TensorSpec("candidate_flags", DataType.UINT8, (-1,))
TOP_K = TensorSpec("top_k", DataType.INT32, (1,))
LOGIT = TensorSpec("logit", DataType.FP32, (-1,))

# Rows of an item table that has outgrown the ranker's graph: [history or candidates, width].
HISTORY_VECTOR = TensorSpec("history_vector", DataType.FP32, (-1, -1), optional=True)
CANDIDATE_VECTOR = TensorSpec("candidate_vector", DataType.FP32, (-1, -1), optional=True)

# Of a picture: normalised colours [channel, row, column], and its vector, of length 1.
PIXELS = TensorSpec("pixels", DataType.FP32, (3, -1, -1))
VISUAL_VECTOR = TensorSpec("visual_vector", DataType.FP32, (-1,))
