"""Training of the exposure extractor alone."""

from mmengine.registry import MODELS
from torch import Tensor

from ..common.base_model import Targets, VSRDBModel
from ..common.layers import build_part
from .clips import EXPOSURE, check_clip


@MODELS.register_module()
class FMANetPPExposure(VSRDBModel):
    """The first stage of FMA-Net++: the extractor learns to tell exposures apart.

    Every frame of a batch is a sample of its own, with its own label.

    Args:
        exposure (dict): Config of the extractor.
        losses (dict, optional): Loss configs; ``contrastive``, such as
            :class:`SupervisedContrastiveLoss`.
        **base: Arguments of :class:`VSRDBModel`.

    Raises:
        ValueError: If a loss is unknown.
    """

    loss_names = ('contrastive',)

    def __init__(
        self, exposure: dict = EXPOSURE, losses: dict | None = None, **base
    ) -> None:
        super().__init__(losses, **base)
        self.exposure_net = build_part(exposure)

    def forward(self, inputs: Tensor, data_samples=None, mode: str = 'tensor'):
        """See :meth:`VSRDBModel.forward`.

        Predictions are no images: the data samples get ``embedding``, (T, d_u).
        """
        if mode != 'predict':
            return super().forward(inputs, data_samples, mode)
        embedding = self.forward_tensor(inputs)
        data_samples.set_tensor_data(dict(embedding=embedding))
        return data_samples.split()

    def forward_tensor(self, inputs: Tensor) -> Tensor:
        """Embed frames.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].

        Returns:
            Tensor: Exposure vectors, (N, T, d_u).

        Raises:
            ValueError: If ``inputs`` are no frames.
        """
        check_clip(inputs)
        embedded = self.exposure_net(inputs.flatten(0, 1))
        return embedded.unflatten(0, inputs.shape[:2])

    def forward_train(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample): ``exposure``, integer labels (N, T).

        Returns:
            dict[str, Tensor]: ``loss_contrastive``, weighted, if it is configured.

        Raises:
            ValueError: If the labels are missing or do not fit, or all differ.
        """
        embedding = self.forward_tensor(inputs)
        labels = Targets(data_samples, dict(exposure=tuple(inputs.shape[:2])))
        pairs = dict(
            contrastive=(embedding.flatten(0, 1), labels['exposure'].flatten())
        )
        return self.compute_losses(pairs)
