"""What a picture may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """Bytes of an encoded picture, and pixels that it may declare."""

    image_bytes: int
    image_pixels: int

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> Limits:
        """Out of a model's parameters.

        Raises:
            ValueError: one is missing or no number.
        """
        try:
            return cls(**{f.name: int(parameters[f.name]) for f in fields(cls)})
        except (KeyError, ValueError) as e:
            raise ValueError(
                f"the preprocess step needs the parameters {[f.name for f in fields(cls)]} as "
                f"whole numbers in its config.pbtxt: {e!r}"
            ) from e
