"""A model that does nothing: k items to every request, always the same.

What a load process reaches against it is the load process's own limit, or Triton's.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What the Python backend calls."""

    def execute(self, requests: list[Any]) -> list[Any]:
        return [_answer(request) for request in requests]


def _answer(request: Any) -> Any:
    k = pb_utils.get_input_tensor_by_name(request, "k").as_numpy()  # [rows, 1]
    tensors = _arrays(len(k), int(k.max())).items()
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in tensors])


@lru_cache(maxsize=256)
def _arrays(rows: int, k: int) -> dict[str, Any]:
    ids = np.array([str(i).encode() for i in range(k)], np.object_)
    scores = np.arange(k, 0, -1, dtype=np.float32)
    return {
        "item_id": np.tile(ids, (rows, 1)),
        "score": np.tile(scores, (rows, 1)),
        "degraded": np.zeros((rows, 1), np.bool_),
    }
