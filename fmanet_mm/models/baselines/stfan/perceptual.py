"""The perceptual loss of STFAN's published training."""

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

PUBLISHED_WEIGHTS = {2: 1.0, 7: 0.2, 14: 0.04}
"""Weights by the index of a convolution of VGG19: conv1_2, conv2_2 and conv3_3."""


@MODELS.register_module()
class VGGFeatureLoss(nn.Module):
    """Squared difference of features of VGG19, taken before their ReLU.

    VGG19 is torchvision's, trained on ImageNet, which is downloaded with the first
    call. It is no part of the model's weights. As published, images are scaled to
    [-1, 1] for it.

    Args:
        loss_weight (float): Weight of the sum over the layers.
        layer_weights (dict[int, float], optional): Weight of each layer, by its index;
            by default as published.
    """

    def __init__(
        self, loss_weight: float = 0.01, layer_weights: dict[int, float] | None = None
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.layer_weights = layer_weights or PUBLISHED_WEIGHTS
        # In a tuple it is not registered, so it is not saved either.
        self._vgg: tuple[nn.Sequential, ...] = ()

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare images or clips, (..., 3, H, W), RGB in [0, 1]."""
        loss = prediction.new_zeros(())
        x, y = (2 * images.flatten(0, -4) - 1 for images in (prediction, target))
        for index, layer in enumerate(self._layers(x)):
            x, y = layer(x), layer(y)
            if index in self.layer_weights:
                loss = loss + self.layer_weights[index] * F.mse_loss(x, y)
        return self.loss_weight * loss

    def _layers(self, like: Tensor) -> nn.Sequential:
        if not self._vgg:
            from torchvision.models import vgg19

            layers = vgg19(weights='IMAGENET1K_V1').features
            layers = layers[: max(self.layer_weights) + 1].eval().requires_grad_(False)
            for layer in layers:
                if isinstance(layer, nn.ReLU):
                    layer.inplace = False  # its input is compared
            self._vgg = (layers,)
        return self._vgg[0].to(like.device)
