"""The served check: a running Triton answers as the offline pipeline does, or nobody sees it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from builders.evaluation.metrics import Metrics
from builders.publish.offline import OfflinePipeline, Ranked
from builders.publish.picture_check import USERS, PictureCheck, samples, served_vectors
from builders.publish.user_state import seed_state
from builders.settings import Settings
from ensembles.errors import VerificationError
from serving.client import Client, Recommendation, Request
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer

K = 10


@dataclass(frozen=True)
class ServedCheck:
    """What the check found.

    Attributes:
        users: users asked.
        identical: users whose served list equals the offline list to the letter; the others
            differ only among candidates whose scores lie within the tolerance of each other.
        largest_difference: of a score, served against offline.
        ndcg_served: NDCG@10 of the served lists against the held-out items.
        ndcg_offline: the same of the offline lists.
        pictures: of requests that carry one; None where the release takes none.
    """

    users: int
    identical: int
    largest_difference: float
    ndcg_served: float
    ndcg_offline: float
    pictures: PictureCheck | None

    def summary(self) -> str:
        """One line for the build's output."""
        return (
            f"{self.users} users through Triton: {self.identical} lists identical, "
            f"{self.users - self.identical} differ among ties only, largest score difference "
            f"{self.largest_difference:.1e}; NDCG@10 served {self.ndcg_served:.4f}, "
            f"offline {self.ndcg_offline:.4f}"
        ) + (f"; {self.pictures.summary()}" if self.pictures else "")

    def figures(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def served_check(
    staging: Path, dataset: Dataset, offline: OfflinePipeline, settings: Settings
) -> ServedCheck:
    """Serve the repository ``staging`` and compare the answers of ``export.check_users`` users.

    Raises:
        VerificationError: a score is off by more than ``export.tolerance``, a vector by more than
            ``visual.tolerance``, or an item stands where its score does not allow it.
        ServerError: the release does not start.
    """
    users, targets = dataset.targets("test")
    count = settings.export.check_users
    if len(users) > count:
        chosen = np.sort(np.random.default_rng(0).choice(len(users), count, replace=False))
        users, targets = users[chosen], targets[chosen]
    with _served(staging, dataset) as server, Client(server.grpc) as client:
        ranked = offline.recommend(users, K)
        served = _numbered(dataset, [_asked(client, dataset, u) for u in users])
        pictures = _check_pictures(server, client, staging, dataset, offline, settings)
    items, scores = served
    return ServedCheck(
        users=len(users),
        identical=int((items == ranked.item).all(axis=1).sum()),
        largest_difference=compare(ranked, items, scores, settings.export.tolerance, users),
        ndcg_served=ndcg(items, targets),
        ndcg_offline=ndcg(ranked.item, targets),
        pictures=pictures,
    )


def _check_pictures(
    server: TritonServer,
    client: Client,
    staging: Path,
    dataset: Dataset,
    offline: OfflinePipeline,
    settings: Settings,
) -> PictureCheck | None:
    """Vectors against the build's; then users who send a picture, from the served vectors on."""
    files = samples(staging)
    if not files:
        return None
    vectors, off = served_vectors(server.grpc, staging, files, settings)
    users = dataset.targets("test")[0][:USERS]
    which = np.arange(len(users)) % len(files)
    visual = settings.visual
    ranked = offline.recommend(users, K, vectors[which], visual.weight, visual.candidates)
    pairs = zip(users, which, strict=True)
    answers = [_asked(client, dataset, u, files[n]) for u, n in pairs]
    items, scores = _numbered(dataset, answers)
    return PictureCheck(
        pictures=len(files),
        vector_difference=off,
        users=len(users),
        identical=int((items == ranked.item).all(axis=1).sum()),
        largest_difference=compare(ranked, items, scores, settings.export.tolerance, users),
    )


@contextmanager
def _served(staging: Path, dataset: Dataset) -> Iterator[TritonServer]:
    """A temporary server, whose user state ends before the test events."""
    with tempfile.TemporaryDirectory(prefix="millirank-state-") as state:
        seed_state(Path(state), staging, dataset, hold_out_test=True)
        options = ServerOptions(ports=Ports(0, 0, 0), state=f"lmdb://{state}")
        with TritonServer(staging, options) as server:
            yield server


def _asked(
    client: Client, dataset: Dataset, user: int, image: Path | None = None
) -> Recommendation:
    """Without an id: nothing is explored, so the answer is the ranker's alone."""
    request = Request(user_id=dataset.user_ids[user], k=K, image=image)
    return client.recommend(request, request_id="")


def _numbered(
    dataset: Dataset, answers: Sequence[Recommendation]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Item numbers and scores, both [B, K], 0 in unused slots."""
    number = {item: n for n, item in enumerate(dataset.item_ids)}
    items = np.zeros((len(answers), K), np.int64)
    scores = np.zeros((len(answers), K), np.float32)
    for row, answer in enumerate(answers):
        items[row, : len(answer.items)] = [number[i] for i in answer.items]
        scores[row, : len(answer.scores)] = answer.scores
    return items, scores


def compare(
    offline: Ranked,
    items: NDArray[np.int64],
    scores: NDArray[np.float32],
    tolerance: float,
    users: NDArray[np.int64],
) -> float:
    """Largest difference of a score; lists may differ only within ``tolerance``.

    Args:
        offline: of B users.
        items: served item numbers [B, k], 0 in unused slots.
        scores: served [B, k].
        users: their numbers in the data set, for the error; logs hold no raw user ids.

    Raises:
        VerificationError: names the first user and rank that is off.
    """
    largest = 0.0
    for row in range(len(items)):
        score_of = dict(zip(offline.candidate[row].tolist(), offline.logit[row], strict=True))
        if (items[row] > 0).sum() != (offline.item[row] > 0).sum():
            raise VerificationError(
                f"user number {users[row]}: {(items[row] > 0).sum()} items were served, "
                f"offline there are {(offline.item[row] > 0).sum()}"
            )
        for rank in np.flatnonzero(items[row] > 0):
            expected = score_of.get(int(items[row, rank]), np.nan)
            off = abs(float(scores[row, rank]) - float(expected))
            misplaced = abs(float(expected) - float(offline.score[row, rank]))
            if not max(off, misplaced) <= tolerance:
                raise VerificationError(
                    f"served answer differs from the offline pipeline: user number {users[row]}, "
                    f"rank {rank + 1}: item {items[row, rank]} with score {scores[row, rank]:.6f}, "
                    f"offline it has {expected:.6f} and the rank has "
                    f"{offline.score[row, rank]:.6f}; tolerance {tolerance:g}"
                )
            largest = max(largest, off)
    return largest


def ndcg(items: NDArray[Any], targets: NDArray[np.int32]) -> float:
    """Mean NDCG@10 of B lists [B, k], k at most 10, with one relevant item each, [B]."""
    hits = items == targets[:, None]
    ranks = np.where(hits.any(axis=1), hits.argmax(axis=1), K)
    return Metrics.of(ranks).ndcg10
