"""Training of a student: the events' own labels, and the teacher's scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from builders.compress.divergence import softened_divergence
from builders.compress.settings import Distil
from builders.ranker.batches import Batch
from builders.ranker.sequence_module import SequenceModule


class DistilModule(SequenceModule):
    """A sequence model whose loss is shared between labels and a teacher's softmax."""

    def __init__(
        self,
        *args: Any,
        states: NDArray[np.float16],
        teacher_vectors: Tensor,
        distil: Distil,
        **kwargs: Any,
    ) -> None:
        """Further arguments are those of ``SequenceModule``.

        Args:
            states: float16 [E, T] by position in ``dataset.item``; see ``teacher_states``.
            teacher_vectors: float [N+1, T].
            distil: share of the labels, and temperature of the comparison.
        """
        super().__init__(*args, **kwargs)
        self._states = states
        self._label_weight = distil.label_weight
        self._temperature = distil.temperature or self._settings.temperature
        self.register_buffer("teacher_vectors", teacher_vectors, persistent=False)
        # At a higher temperature gradients are smaller by its square. Labels have a
        # temperature too, so what counts is how much higher it is than theirs.
        self._factor = (self._temperature / self._settings.temperature) ** 2

    def training_step(self, batch: Batch, _: int) -> Tensor:
        real = batch.target > 0
        state, vectors = self.ranker.encode(batch.history)[real], self.ranker.item_vectors()
        share = self._label_weight
        loss = state.new_zeros(())
        if share > 0:
            loss = loss + share * self._loss(state, vectors, batch.target[real])
        if share < 1:
            loss = loss + (1 - share) * self._factor * self._divergence(state, vectors, batch, real)
        return loss

    def _divergence(self, state: Tensor, vectors: Tensor, batch: Batch, real: Tensor) -> Tensor:
        known = torch.from_numpy(self._states[batch.place[real].cpu().numpy()])
        return softened_divergence(
            state,
            vectors,
            known.to(state.device),
            self.get_buffer("teacher_vectors"),
            temperature=self._temperature,
        )
