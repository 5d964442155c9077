"""The chains, in the forms that a release may need.

    recommend          features → ranker → policy
    recommend_visual   preprocess → image_encoder → features → ranker → policy
    encode_image       preprocess → image_encoder

What a request and a response look like, and what each step declares, is the same in every form,
so that releases of all forms can be loaded together.
"""

from __future__ import annotations

from dataclasses import replace

from ensembles import contracts as c
from ensembles.pipeline import Pipeline, Step

_VECTORS = (c.HISTORY_VECTOR, c.CANDIDATE_VECTOR)
_REQUEST = (c.USER_ID, c.K, c.CANDIDATES, c.RECENT)
_RESPONSE = (c.ITEM_ID, c.SCORE, c.DEGRADED)
_QUERY = replace(c.VISUAL_VECTOR, optional=True)
# The step does not read it; but without it a request that lacks the picture would reach no step
# that can say so.
_ASKING = replace(c.USER_ID, optional=True)

PREPROCESS = Step(
    name="preprocess", inputs=(c.IMAGE,), outputs=(c.PIXELS,), spare_inputs=(_ASKING,)
)
IMAGE_ENCODER = Step(name="image_encoder", inputs=(c.PIXELS,), outputs=(c.VISUAL_VECTOR,))
FEATURES = Step(
    name="features",
    inputs=_REQUEST,
    outputs=(
        *(c.HISTORY, c.CANDIDATE, c.CANDIDATE_FEATURES, c.CANDIDATE_FLAGS, c.TOP_K),
        c.DEGRADED,
    ),
    spare_inputs=(_QUERY,),
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
    name="recommend", inputs=_REQUEST, outputs=_RESPONSE, steps=(FEATURES, RANKER, POLICY)
)
"""The ranker's graph holds its item table."""

RECOMMEND_VISUAL = Pipeline(
    name="recommend_visual",
    inputs=(*_REQUEST, c.IMAGE),
    outputs=_RESPONSE,
    steps=(
        replace(PREPROCESS, inputs=(c.IMAGE, _ASKING), spare_inputs=()),
        IMAGE_ENCODER,
        replace(FEATURES, inputs=(*_REQUEST, _QUERY), spare_inputs=()),
        RANKER,
        POLICY,
    ),
)
"""The request carries a picture, too."""

ENCODE_IMAGE = Pipeline(
    name="encode_image",
    inputs=(c.IMAGE,),
    outputs=(c.VISUAL_VECTOR,),
    steps=(PREPROCESS, IMAGE_ENCODER),
)
"""The vector of a picture: of a new listing, or to compare with what was computed offline."""


def looked_up(pipeline: Pipeline) -> Pipeline:
    """The form in which the features step looks rows of the item table up for the ranker."""
    steps = {
        FEATURES.name: lambda s: replace(s, outputs=(*s.outputs, *_VECTORS), spare_outputs=()),
        RANKER.name: lambda s: replace(s, inputs=(*s.inputs, *_VECTORS), spare_inputs=()),
    }
    return replace(
        pipeline, steps=tuple(steps.get(s.name, lambda same: same)(s) for s in pipeline.steps)
    )


def chains(*, lookup: bool, visual: bool) -> tuple[Pipeline, ...]:
    """The ensembles of a release; ``recommend`` comes last, and with it the release is current.

    Args:
        lookup: the item table has outgrown the ranker's graph.
        visual: the release encodes pictures.
    """
    found = (ENCODE_IMAGE, RECOMMEND_VISUAL, RECOMMEND) if visual else (RECOMMEND,)
    return tuple(looked_up(p) for p in found) if lookup else found


def step_names(pipelines: tuple[Pipeline, ...]) -> list[str]:
    """Every step of some ensembles once, in the order of the request path."""
    return list(dict.fromkeys(step.name for p in pipelines for step in p.steps))
