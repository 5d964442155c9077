"""Releases with the item table in the graph and looked up, one after the other in one server."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ensembles.profiles import Knobs
from ensembles.recommend import RECOMMEND
from ensembles.step_code import load_step
from serving.client import Client, Request
from serving.options import TOKEN_HEADER
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton import oracle
from tests.triton.tiny import Tiny, make_release

MODELS = [*(step.name for step in RECOMMEND.steps), RECOMMEND.name]
ONE = Knobs(instances=1)


@pytest.mark.slow
def test_swaps_between_forms_and_widths(tmp_path: Path) -> None:
    """Each load warms up the release before it again, by the new release's configuration."""
    import tritonclient.http as triton

    first = make_release(tmp_path / "1", 1, ONE, lookup=True)
    later = [
        make_release(tmp_path / "2", 2, ONE, lookup=True, width=5),
        make_release(tmp_path / "3", 3, ONE),
    ]
    with (
        TritonServer(first.repository, ServerOptions(ports=Ports(0, 0, 0))) as server,
        Client(server.grpc) as client,
        triton.InferenceServerClient(server.http) as control,
    ):
        assert_answers(client, first, 1)
        for release, made in enumerate(later, 2):
            for model in MODELS:
                shutil.copytree(
                    made.repository / model, first.repository / model, dirs_exist_ok=True
                )
                control.load_model(model, headers={TOKEN_HEADER: server.token})
            states = {
                entry.get("version"): entry["state"]
                for entry in control.get_model_repository_index(
                    headers={TOKEN_HEADER: server.token}
                )
                if entry["name"] == "ranker"
            }
            assert states[str(release)] == states[str(release - 1)] == "READY"
            assert_answers(client, made, release)


def assert_answers(client: Client, tiny: Tiny, release: int) -> None:
    folder = tiny.repository / "features" / str(release)
    tables = load_step(folder).Tables.load(folder / "tables")
    for user in ("user-0", "user-2", "nobody"):
        answer = client.recommend(Request(user, k=10))
        items, scores = oracle.recommend(tiny, tables, user, 10)
        assert (list(answer.items), answer.release) == (items, release)
        np.testing.assert_allclose(answer.scores, scores, atol=1e-5)
