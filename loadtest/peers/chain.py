"""The steps of a published release in one process: what every peer runs behind its server.

It runs in the environments of the peers, so it needs numpy and what the steps need, no more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ensembles.errors import RequestError
from ensembles.recommend import FEATURES, POLICY, RANKER
from ensembles.step_code import load_step
from serving.repository import current_release

REPOSITORY_VARIABLE = "MILLIRANK_PEER_REPOSITORY"
"""Tells a peer's processes which repository to open."""
_PARAMETER = re.compile(
    r'^parameters \{\s*key: "(\w+)"\s*value \{\s*string_value: "([^"]*)"', re.MULTILINE
)
Tensors = Mapping[str, Any]
"""Arrays by name, each with a row a user."""


class Chain:
    """features → ranker → policy, of the very files that Triton loads."""

    def __init__(self, features: Any, scorer: Any, policy: Any, item_ids: Any) -> None:
        self._features = features
        self._scorer = scorer
        self._policy = policy
        self._item_ids = item_ids

    @classmethod
    def open(cls, repository: Path) -> Self:
        """The current release of ``repository``; the ranker gets one thread, as under Triton.

        Raises:
            ReleaseError: there is no release, or a step of it has no code.
            ValueError: a table or the ranker's graph is missing or damaged.
        """
        release = str(current_release(repository))
        folders = {s.name: repository / s.name / release for s in (FEATURES, RANKER, POLICY)}
        features, ranker, policy = (load_step(folder) for folder in folders.values())
        config = repository / FEATURES.name / "config.pbtxt"
        parameters = dict(_PARAMETER.findall(config.read_text(encoding="utf-8")))
        return cls(
            features.FeatureService.open(
                folders[FEATURES.name].resolve(), parameters, parameters["state"]
            ),
            ranker.Scorer(folders[RANKER.name] / "model.onnx", threads=1),
            policy,
            policy.load_item_ids(folders[POLICY.name] / "tables" / "item_ids.json"),
        )

    @classmethod
    def named(cls) -> Self:
        """``open`` of the repository that the environment names; raises what it raises."""
        return cls.open(Path(os.environ[REPOSITORY_VARIABLE]))

    def answer(self, requests: Sequence[Tensors]) -> list[dict[str, Any]]:
        """``item_id`` and ``score`` of each request, stacked wherever the steps can.

        Raises:
            RequestError: the features step refuses one of them.
        """
        packed = self._features.answer(requests)
        for found in packed:
            if isinstance(found, Exception):
                raise RequestError(str(found))
        tensors = [found.tensors for found in packed]
        logits = self._scorer.score(tensors)
        ranked = [{**t, "logit": logit} for t, logit in zip(tensors, logits, strict=True)]
        answers: list[dict[str, Any]] = self._policy.answer(ranked, self._item_ids)
        return answers
