"""External ids of the release's items."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def load_item_ids(file: Path) -> NDArray[np.bytes_]:
    """Ids as bytes of one width, [N+1]; the first, for padding, is empty.

    Raises:
        ValueError: the file is missing, or no list of strings that begins with "".
    """
    try:
        ids = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise ValueError(f"{file} cannot be read ({e}); build the release again") from e
    if not isinstance(ids, list) or ids[:1] != [""] or not all(isinstance(i, str) for i in ids):
        raise ValueError(f'{file}: expected a list of item ids that begins with ""')
    # No Python objects: a million of them would take 50 MB in every instance.
    return np.array([item_id.encode() for item_id in ids])
