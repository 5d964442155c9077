"""Answers a batch of requests: what Triton calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .events import among, line_up
from .pack import pack
from .request import BadRequest, Limits, Rows, Tensors, decode
from .retrieve import NeighbourScores, neighbour_scores, retrieve
from .state import Logger, UserState, open_state
from .stored import Stored
from .tables import Tables
from .visual import Blend

REAL, SEEN, EXPLORE = 1, 2, 4
"""Bits of ``candidate_flags``: a real candidate, one that the user has seen, one to explore."""


COUNTED = {
    "rows": "Rows answered, each for one user",
    "candidates": "Candidates ranked, in all rows",
    "cold_starts": "Rows answered for users without known events",
    "unknown_items": "Item ids in requests that this release does not know",
    "invalid_requests": "Requests answered with an error of their own",
    "degraded": "Rows answered without the user state because it could not be read",
}
"""Counters of the step, and what they count."""


@dataclass(frozen=True)
class Answer:
    """Tensors of one answered request, by name, and what to count."""

    tensors: dict[str, NDArray[np.generic]]
    cold_starts: int
    unknown_items: int
    degraded: int


class FeatureService:
    """Feature step of one release with the state of its users."""

    def __init__(self, tables: Tables, state: UserState, limits: Limits, blend: Blend) -> None:
        self.tables = tables
        self.state = state
        self.limits = limits
        self.blend = blend

    @classmethod
    def open(
        cls,
        version: Path,
        parameters: Mapping[str, str],
        state: str,
        logger: Logger | None = None,
    ) -> FeatureService:
        """``version`` is the version folder in a repository, ``state`` the user state's URL.

        ``logger`` is told when the state is lost and when it is back.

        Raises:
            ValueError: tables, state or parameters are missing or damaged.
        """
        limits, blend = Limits.parse(parameters), Blend.parse(parameters)
        tables = Tables.load(version / "tables")
        tables.prepare()
        timeout_ms = parameters.get("state_timeout_ms", "")
        opened = open_state(state, version.parent.parent, timeout_ms, logger)
        return cls(tables, opened, limits, blend)

    @staticmethod
    def count(answers: Sequence[Answer | Exception]) -> tuple[int, ...]:
        """What a batch adds to each of ``COUNTED``."""
        good = [a for a in answers if isinstance(a, Answer)]
        return (
            sum(len(a.tensors["candidate"]) for a in good),
            sum(int(np.count_nonzero(a.tensors["candidate"])) for a in good),
            sum(a.cold_starts for a in good),
            sum(a.unknown_items for a in good),
            len(answers) - len(good),
            sum(a.degraded for a in good),
        )

    def answer(self, requests: Sequence[Tensors]) -> list[Answer | BadRequest]:
        """One answer or error for each request; a bad request does not touch its batch mates.

        Requests are stacked by the width of their candidates, so nearly always all together.
        There are at most ``MAX_ROWS`` rows in all, which Triton's max_batch_size sees to.
        """
        outcome: dict[int, Answer | BadRequest] = {}
        by_width: dict[int, dict[int, Rows]] = {}
        visual_width = self.tables.visual.width if self.tables.visual else 0
        for place, tensors in enumerate(requests):
            try:
                rows = decode(tensors, self.limits, self.tables.item_ids.numbers, visual_width)
            except BadRequest as e:
                outcome[place] = e
            else:
                width = self.tables.width_for(max(map(len, rows.candidates)))
                by_width.setdefault(width, {})[place] = rows
        groups = [list(stacked.values()) for stacked in by_width.values()]
        # One look into the state for all: it has a time limit.
        rest = self.state.read([user for group in groups for r in group for user in r.users])
        for (width, stacked), group in zip(by_width.items(), groups, strict=True):
            stored, rest = rest.split(sum(len(r.users) for r in group))
            answers = self._answer(group, width, stored)
            outcome.update(zip(stacked, answers, strict=True))
        return [outcome[place] for place in range(len(requests))]

    def _answer(self, requests: list[Rows], width: int, stored: Stored) -> Iterator[Answer]:
        """Stack the requests, look everything up once, split."""
        recent = [row for r in requests for row in r.recent]
        events = line_up(self.tables, stored.events["key"], stored.counts, recent)
        history = np.ascontiguousarray(events[:, -self.tables.history :])
        scores = neighbour_scores(self.tables, history)
        given = [row for r in requests for row in r.candidates]
        query = self._queries(requests)
        candidate, seen = self._candidates(scores, events, given, width, query)
        seed = self._seeds(requests)
        eligible = None if seed is None else self._explore(seed, events, candidate)
        features = pack(self.tables, scores, history, candidate)
        if query is not None:
            assert self.tables.visual is not None
            self.tables.visual.write_columns(features, query, history, candidate, self.blend.weight)
        stacked: dict[str, NDArray[np.generic]] = {
            "history": history,
            "candidate": candidate,
            "candidate_features": features,
            "candidate_flags": (candidate > 0) * np.uint8(REAL) + seen * np.uint8(SEEN),
            "top_k": np.concatenate([r.k for r in requests])[:, None],
            "degraded": stored.degraded[:, None],
        }
        if seed is not None and eligible is not None:
            stacked |= {"seed": seed[:, None], "eligible": eligible[:, None]}
            explored = self._explored(eligible, candidate) * np.uint8(EXPLORE)
            stacked["candidate_flags"] = np.add(stacked["candidate_flags"], explored)
        table = self.tables.item_vectors
        if table is not None:
            stacked["history_vector"] = table.take(history, axis=0)
            stacked["candidate_vector"] = table.take(candidate, axis=0)
        cold = (history[:, -1] == 0) & ~stored.degraded  # of those nobody knows
        end = 0
        for request in requests:
            start, end = end, end + len(request.users)
            yield Answer(
                {name: tensor[start:end] for name, tensor in stacked.items()},
                cold_starts=int(cold[start:end].sum()),
                unknown_items=request.unknown,
                degraded=int(stored.degraded[start:end].sum()),
            )

    def _queries(self, requests: Sequence[Rows]) -> NDArray[np.float32] | None:
        """Vectors of all rows' pictures, float32 [B, V], zeros for none; None where all have none.

        Requests with and without pictures are seldom stacked: Triton batches only requests with
        the same inputs.
        """
        if self.tables.visual is None or all(r.query is None for r in requests):
            return None
        nothing = np.zeros((1, self.tables.visual.width), np.float32)
        queries: NDArray[np.float32] = np.concatenate(
            [nothing.repeat(len(r.users), 0) if r.query is None else r.query for r in requests]
        )
        return queries

    @property
    def share(self) -> float:
        """Chance that a slot is given to exploration; 0 where the release does not explore."""
        return 0.0 if self.tables.explore is None else self.tables.explore.share

    def _seeds(self, requests: Sequence[Rows]) -> NDArray[np.uint64] | None:
        """uint64 [B], 0 for rows that do not explore; None where no request can."""
        if self.tables.explore is None or all(r.seed is None for r in requests):
            return None
        seeds: NDArray[np.uint64] = np.concatenate(
            [np.zeros(len(r.users), np.uint64) if r.seed is None else r.seed for r in requests]
        )
        return seeds

    def _explore(
        self, seed: NDArray[np.uint64], events: NDArray[np.int32], candidate: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """Let items to explore join candidates, in place; of how many they were drawn, [B]."""
        assert self.tables.explore is not None
        eligible = np.zeros(len(seed), np.int32)
        (rows,) = np.nonzero(seed)
        if len(rows):
            retrieved = candidate[rows, : self.tables.candidates]
            eligible[rows] = self.tables.explore.join(seed[rows], events[rows], retrieved)
            candidate[rows, : self.tables.candidates] = retrieved
        return eligible

    def _explored(
        self, eligible: NDArray[np.int32], candidate: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """Which candidates are there to be explored, bool [B, C]."""
        assert self.tables.explore is not None
        end = self.tables.candidates
        there = np.zeros(candidate.shape, np.bool_)
        there[:, end - self.tables.explore.places : end] = eligible[:, None] > 0
        return there & (candidate > 0)

    def _candidates(
        self,
        scores: NeighbourScores,
        events: NDArray[np.int32],
        given: Sequence[Sequence[int]],
        width: int,
        query: NDArray[np.float32] | None,
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Each row's own candidates, or retrieved ones, padded to ``width``; which were seen."""
        candidate = np.zeros((len(events), width), np.int32)
        if not all(given):
            found = retrieve(self.tables, scores, events, self.tables.candidates)
            if query is not None:
                assert self.tables.visual is not None
                found = self.tables.visual.add_similar(query, events, found, self.blend.candidates)
            if not any(given):
                return found, np.zeros(found.shape, np.bool_)
            candidate[:, : found.shape[1]] = found
        for row, own in enumerate(given):
            if own:
                candidate[row, : len(own)] = own
                candidate[row, len(own) :] = 0
        return candidate, among(candidate, events) & (candidate > 0)
