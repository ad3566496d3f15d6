"""The training of recurrent networks on windows of frames."""

from mmengine.registry import MODELS
from torch import Tensor

from ..common.base_model import Targets, VSRDBModel
from ..common.layers import build_part


@MODELS.register_module()
class RecurrentModel(VSRDBModel):
    """Trains a network that restores clips frame by frame.

    The loss is the mean over the frames of a window, each of which is restored after
    those before it. Measured is the centre frame of a window; the frames after it do
    not influence it and are not read.

    Args:
        generator (dict): Config of a :class:`RecurrentNetwork` that also maps
            clips, (N, T, 3, H, W), to clips, (N, T, 3, sH, sW).
        **base: Arguments of :class:`VSRDBModel`. The losses, both of the restored
            frames, are ``restoration`` and ``perceptual``.
    """

    loss_names: tuple[str, ...] = ('restoration', 'perceptual')

    def __init__(self, generator: dict, **base) -> None:
        super().__init__(**base)
        self.generator = build_part(generator)

    def forward_tensor(self, inputs: Tensor) -> Tensor:
        """Restore all frames of a window, (N, T, 3, sH, sW)."""
        return self.generator(inputs)

    def forward_train(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            inputs (Tensor): Blurry frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample): ``gt_img``, sharp frames, (N, T, 3, sH, sW).

        Returns:
            dict[str, Tensor]: ``loss_<name>``, weighted, for each configured loss.

        Raises:
            ValueError: If the target is missing or does not fit the inputs.
        """
        targets = self.targets(inputs, data_samples)
        pair = self.generator(inputs), targets['gt_img']
        return self.compute_losses(dict.fromkeys(self.loss_names, pair))

    def forward_inference(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Restore the centre frame, for validation and testing.

        Args:
            inputs (Tensor): Blurry frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample, optional): Not used.

        Returns:
            dict[str, Tensor]: ``pred_img``, (N, 3, sH, sW), RGB, about [0, 1].
        """
        up_to_centre = inputs[:, : inputs.size(1) // 2 + 1]
        return dict(pred_img=self.generator(up_to_centre)[:, -1])

    def targets(self, inputs: Tensor, data_samples) -> Targets:
        """The sharp frames of a window, checked against it."""
        *leading, height, width = inputs.shape
        scale = self.generator.scale
        shape = (*leading, scale * height, scale * width)
        return Targets(data_samples, dict(gt_img=shape))
