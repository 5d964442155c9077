"""Settings of a ranker's shape."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from builders.section import Section


class Ranker(Section):
    """Shape of the ranker. ``kind`` is transformer, lstm, or ``package.module:Class``."""

    kind: str = "transformer"
    width: int = Field(128, ge=2)
    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    feed_forward: int = Field(4, ge=1)
    """Feed-forward width as a multiple of ``width``."""
    dropout: float = Field(0.5, ge=0, lt=1)
    positions: Literal["learned", "rotary"] = "rotary"
    """``learned``: a vector by age, counted from the newest event; ``rotary``: distances."""
    normalise: bool = True
    """Score by cosine: states and item vectors have length 1. Goes with a low temperature."""
    hybrid: bool = True
    """Add the small head over packed candidate features."""
    fuse: tuple[Literal["image", "text"], ...] = ()
    """What is known of an item that enters its vector beside what is learned by its id."""
    fuse_width: int = Field(32, ge=1)
    """Principal components that enter of a picture's or a text's vector: more than there are
    items to learn their meaning from is noise."""
    fuse_dropout: float = Field(0.3, ge=0, lt=1)
    """Share of the items that lose their id's part, and of those that lose a modality, in each
    training batch: so that an item without events, or without a picture, is still in its place."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self
