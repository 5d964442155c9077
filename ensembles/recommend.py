"""The chain ``recommend``: features → ranker → policy, in two forms.

They differ in where the ranker's item table lies. What a request and a response look like, and
what each step declares, is the same in both, so that releases of both can be loaded together.
"""

from __future__ import annotations

from dataclasses import replace

from ensembles import contracts as c
from ensembles.pipeline import Pipeline, Step

_VECTORS = (c.HISTORY_VECTOR, c.CANDIDATE_VECTOR)

FEATURES = Step(
    name="features",
    inputs=(c.USER_ID, c.K, c.CANDIDATES, c.RECENT),
    outputs=(c.HISTORY, c.CANDIDATE, c.CANDIDATE_FEATURES, c.CANDIDATE_FLAGS, c.TOP_K),
    spare_outputs=_VECTORS,
)
RANKER = Step(
    name="ranker",
    inputs=(c.HISTORY, c.CANDIDATE, c.CANDIDATE_FEATURES),
    outputs=(c.LOGIT,),
    spare_inputs=_VECTORS,
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
"""The ranker's graph holds its item table."""

RECOMMEND_LOOKUP = replace(
    RECOMMEND,
    steps=(
        replace(FEATURES, outputs=(*FEATURES.outputs, *_VECTORS), spare_outputs=()),
        replace(RANKER, inputs=(*RANKER.inputs, *_VECTORS), spare_inputs=()),
        POLICY,
    ),
)
"""The features step looks rows of the item table up and hands them to the ranker."""
