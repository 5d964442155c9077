import numpy as np
import pytest

from builders.publish.offline import Ranked
from builders.publish.served_check import compare, ndcg
from ensembles.errors import VerificationError


def ranked():
    """One user; candidates 1..4, of which 2 and 3 score nearly the same."""
    return Ranked(
        candidate=np.array([[1, 2, 3, 4, 0]], np.int32),
        logit=np.array([[1.0, 3.0, 3.0005, 2.0, 0.0]], np.float32),
        item=np.array([[3, 2, 4]], np.int32),
        score=np.array([[3.0005, 3.0, 2.0]], np.float32),
    )


def check(items, scores):
    return compare(ranked(), np.array([items]), np.array([scores], np.float32), 1e-3, np.array([7]))


def test_the_same_answer_differs_by_nothing():
    assert check([3, 2, 4], [3.0005, 3.0, 2.0]) == 0


def test_ties_within_the_tolerance_may_swap():
    assert check([2, 3, 4], [3.0, 3.0005, 2.0]) < 1e-3


@pytest.mark.parametrize(
    ("items", "scores", "message"),
    [
        ([3, 2, 4], [3.0005, 3.0, 2.1], "rank 3: item 4 with score 2.1"),
        ([3, 4, 2], [3.0005, 2.0, 3.0], "rank 2: item 4"),
        ([3, 2, 9], [3.0005, 3.0, 2.0], "rank 3: item 9"),
        ([3, 2, 4], [3.0005, float("nan"), 2.0], "rank 2"),
        ([3, 2, 0], [3.0005, 3.0, 0.0], "2 items were served, offline there are 3"),
    ],
)
def test_a_wrong_answer_is_named(items, scores, message):
    with pytest.raises(VerificationError, match=f"user number 7.*{message}"):
        check(items, scores)


def test_ndcg_of_known_places():
    items = np.array([[7, 1], [1, 7], [1, 2]])
    assert ndcg(items, np.array([7, 7, 7])) == pytest.approx((1 + 1 / np.log2(3) + 0) / 3)
