"""Where the pictures of a release's items lie."""

from __future__ import annotations

import json
from pathlib import Path

from ensembles.recommend import RECOMMEND_VISUAL

PICTURES = "pictures.json"
"""In the version folder of ``recommend_visual``: paths of pictures by external item id, absolute
or relative to that folder."""
STAND_IN_KEY = "Comment"
STAND_IN = "typographic stand-in, not a picture of the item"
"""A drawn cover says so in its own PNG text, wherever it is moved to."""


def picture_paths(repository: Path, release: int) -> dict[str, Path]:
    """Pictures by external item id; empty where the release has none or is not at hand."""
    folder = repository / RECOMMEND_VISUAL.name / str(release)
    try:
        named = dict(json.loads((folder / PICTURES).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
    # An absolute path replaces what stands before it.
    return {str(item): folder / str(picture) for item, picture in named.items()}
