"""The chain ``recommend``: features → ranker → policy."""

from __future__ import annotations

from ensembles import contracts as c
from ensembles.pipeline import Pipeline, Step

FEATURES = Step(
    name="features",
    inputs=(c.USER_ID, c.K, c.CANDIDATES, c.RECENT),
    outputs=(c.HISTORY, c.CANDIDATE, c.CANDIDATE_FEATURES, c.CANDIDATE_FLAGS, c.TOP_K),
)
RANKER = Step(
    name="ranker",
    inputs=(c.HISTORY, c.CANDIDATE, c.CANDIDATE_FEATURES),
    outputs=(c.LOGIT,),
)
POLICY = Step(
    name="policy",
    inputs=(c.LOGIT, c.CANDIDATE, c.CANDIDATE_FLAGS, c.TOP_K),
    outputs=(c.ITEM_ID, c.SCORE),
)
RECOMMEND = Pipeline(
    name="recommend",
    inputs=(c.USER_ID, c.K, c.CANDIDATES, c.RECENT),
    outputs=(c.ITEM_ID, c.SCORE),
    steps=(FEATURES, RANKER, POLICY),
)
