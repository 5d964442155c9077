"""Releases of which it is known what each user is to be answered first."""

from __future__ import annotations

import json

from ensembles.step_code import load_step
from tests.triton import oracle
from tests.triton.tiny import Tiny


def hold_out_first_answers(tiny: Tiny, release: int) -> None:
    """Name the first item of each user's answer as the one that was held out."""
    step = tiny.repository / "features" / str(release)
    tables = load_step(step).Tables.load(step / "tables")
    users = [user for user in tiny.users if user != "everything"]
    first = [oracle.recommend(tiny, tables, user, 1)[0][0] for user in users]
    about = tiny.repository / "recommend" / str(release) / "holdout.json"
    about.write_text(json.dumps({"users": users, "items": first}))
