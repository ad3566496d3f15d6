"""SPyNet (arXiv 1611.00850), a small flow network that others are built on."""

from os import PathLike
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ...ops import flow_warp
from ...utils.checkpoint import describe_misfit, load_state_dict_file
from ...utils.weights import rename_weight

NUM_LEVELS = 6
"""Sizes of the pyramid; the coarsest is 1/32 of the finest."""

MULTIPLE = 2 ** (NUM_LEVELS - 1)
"""Heights and widths that the pyramid divides."""

IMAGE_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's colours, RGB."""

IMAGE_STD = (0.229, 0.224, 0.225)
"""Their standard deviation."""

_RULES = {
    # MMagic numbers the convolutions, the author's files also the ReLUs between them.
    r'^basic_module\.(\d)\.basic_module\.1\.conv\.': r'levels.\1.2.',
    r'^basic_module\.(\d)\.basic_module\.2\.conv\.': r'levels.\1.4.',
    r'^basic_module\.(\d)\.basic_module\.3\.conv\.': r'levels.\1.6.',
    r'^basic_module\.(\d)\.basic_module\.4\.conv\.': r'levels.\1.8.',
    r'^basic_module\.(\d)\.basic_module\.(\d)\.(conv\.)?': r'levels.\1.\2.',
}


class SPyNet(BaseModule):
    """Estimates flow on six sizes, each refining that of half the size.

    1,440,300 parameters.

    Args:
        pretrained (str | PathLike, optional): Weights of MMagic, or those released with
            BasicVSR, VRT or RVRT; a local file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds other weights.
    """

    def __init__(self, pretrained: str | PathLike | None = None) -> None:
        super().__init__()
        self.levels = ModuleList(_level() for _ in range(NUM_LEVELS))
        for name, values in (('mean', IMAGE_MEAN), ('std', IMAGE_STD)):
            values = torch.tensor(values).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        if pretrained is not None:
            self._load(pretrained)

    def forward(self, reference: Tensor, other: Tensor) -> Tensor:
        """Estimate where the pixels of one image are in another.

        Args:
            reference (Tensor): (N, 3, H, W), RGB in [0, 1].
            other (Tensor): The same.

        Returns:
            Tensor: Flow in pixels, x then y, (N, 2, H, W): pixel p of ``reference`` is
            at p + flow(p) of ``other``.
        """
        height, width = reference.shape[-2:]
        size = [n + -n % MULTIPLE for n in (height, width)]
        flow = self._estimate(_resize(reference, size), _resize(other, size))
        ratio = flow.new_tensor((width / size[1], height / size[0]))
        return _resize(flow, (height, width)) * ratio.view(2, 1, 1)

    def _estimate(self, reference: Tensor, other: Tensor) -> Tensor:
        pyramid = [
            tuple((image - self.mean) / self.std for image in (reference, other))
        ]
        for _ in range(NUM_LEVELS - 1):
            pyramid.append(tuple(F.avg_pool2d(image, 2) for image in pyramid[-1]))
        flow = None
        for level, (reference, other) in zip(
            self.levels, reversed(pyramid), strict=True
        ):
            if flow is None:
                flow = torch.zeros_like(reference[:, :2])
            else:
                flow = 2 * F.interpolate(
                    flow, scale_factor=2, mode='bilinear', align_corners=True
                )
            warped = flow_warp(other, flow, padding_mode='border')
            flow = flow + level(torch.cat((reference, warped, flow), dim=1))
        return flow

    def _load(self, path: str | PathLike) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(
                f'there are no SPyNet weights {path}; download '
                'https://download.openmmlab.com/mmediting/restorers/basicvsr/'
                'spynet_20210409-c6c1bd09.pth, or name another file as '
                'spynet_pretrained'
            )
        loaded = load_state_dict_file(path)
        weights = {
            rename_weight(name, _RULES): weight
            for name, weight in loaded.get('params', loaded).items()
            if name not in ('mean', 'std')
        }
        misfit = describe_misfit(self.state_dict(), weights)
        if misfit:
            raise ValueError(f'{path} holds no weights of SPyNet: {misfit}')
        self.load_state_dict(weights)


def _level() -> nn.Sequential:
    """Refines the flow from both images and the flow of half the size, enlarged."""
    channels = (8, 32, 64, 32, 16, 2)
    layers = []
    for pair in zip(channels, channels[1:], strict=False):
        layers += [nn.Conv2d(*pair, 7, padding=3), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def _resize(x: Tensor, size) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=False)
