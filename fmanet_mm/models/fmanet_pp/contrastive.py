"""The loss that orders frames by their exposure."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor

from ...ops.precision import raised_precision


@MODELS.register_module()
class SupervisedContrastiveLoss(BaseModule):
    """Supervised contrastive learning (arXiv 2004.11362), Section 3.2 of the paper.

    For unit vectors q of a batch B, of which P(q) share the label of q,

        loss = mean over q of -1/|P(q)| * sum over p in P(q) of
            log(exp(q.p / alpha) / sum over p' in B without q of exp(q.p' / alpha))

    Vectors whose label no other has are left out of the mean.

    Args:
        temperature (float): alpha; positive.
        loss_weight (float): Factor of the loss.

    Raises:
        ValueError: If the temperature is not positive.
    """

    def __init__(self, temperature: float = 0.5, loss_weight: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f'temperature must be positive, got {temperature}')
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(self, embedding: Tensor, label: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            embedding (Tensor): (B, d), of any length.
            label (Tensor): (B,), integers.

        Returns:
            Tensor: The weighted loss, a scalar.

        Raises:
            ValueError: If no two vectors share a label.
        """
        with raised_precision(embedding) as (embedding,):
            unit = F.normalize(embedding, dim=1)
            itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
            logits = (unit @ unit.T / self.temperature).masked_fill(itself, -torch.inf)
            log_probability = logits.log_softmax(dim=1)
            positive = (label[:, None] == label) & ~itself
            number = positive.sum(dim=1)
            if not number.any():
                raise ValueError(
                    f'no two of the {len(label)} frames share an exposure label; use a '
                    'larger batch, or two crops of each frame'
                )
            total = log_probability.where(positive, 0).sum(dim=1)
            anchors = number > 0
            return self.loss_weight * -(total[anchors] / number[anchors]).mean()
