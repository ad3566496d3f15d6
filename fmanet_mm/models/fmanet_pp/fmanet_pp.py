"""FMANetPP, the models of the stages with NetD."""

from collections.abc import Iterable
from contextlib import suppress
from itertools import repeat

import torch
from mmengine.registry import MODELS
from torch import Tensor

from ...ops import WHOLE_FRAMES, Strips
from ...utils.motion import LearnedDegradation, most_moving_pixel
from ..common.base_model import Targets, VSRDBModel
from ..common.layers import build_part
from .clips import EXPOSURE, both_neighbours, check_clip
from .inference import FMANetPPInferenceForm
from .level_restoration import ExposureAware, LevelRestoration
from .net_d import ClipDegradation
from .sequence_net import SequenceNet

_NET_D_ONLY = ('mask_logit',)
"""Names in an architecture that NetR does not know."""

_DEGRADED_FRAMES = 10
"""Frames of which degradation kernels are held at a time, in validation."""


@MODELS.register_module()
class FMANetPPStage1(ExposureAware, VSRDBModel):
    """FMA-Net++ without NetR: NetD learns to degrade (arXiv 2512.04390).

    It reproduces every blurry LR frame from the sharp HR frames. The exposure extractor
    is frozen.

    Args:
        architecture (dict, optional): Arguments that NetD and NetR share, see
            :class:`SequenceNet`; ``degradation_kernel_size`` (k_d), and ``mask_logit``
            of :class:`SequenceNetD`.
        exposure (dict, optional): Config of the exposure extractor; None: neither it
            nor the modulation by exposure.
        net_d (dict, optional): Config of :class:`SequenceNetD`, as far as it differs.
        losses (dict, optional): Loss configs; ``recon``, ``hr_warp`` and ``flow``.
        **base: Arguments of :class:`VSRDBModel`.

    Raises:
        ValueError: If a size or a loss is not possible.
    """

    loss_names: tuple[str, ...] = ('recon', 'hr_warp', 'flow')

    def __init__(
        self,
        architecture: dict | None = None,
        exposure: dict | None = EXPOSURE,
        net_d: dict | None = None,
        losses: dict | None = None,
        **base,
    ) -> None:
        super().__init__(losses, **base)
        self.exposure_net = None
        if exposure is not None:
            self.exposure_net = build_part(exposure).requires_grad_(False).eval()
        self.net_d = self._build_net('SequenceNetD', 'kernel_size', architecture, net_d)

    @property
    def num_frames(self) -> int:
        """Frames that the degradation of the one in their middle depends on."""
        return 2 * self.net_d.num_levels + 1

    @property
    def scale(self) -> int:
        """Ratio of HR to LR size, s."""
        return self.net_d.scale

    def train(self, mode: bool = True) -> 'FMANetPPStage1':
        """Switch between training and evaluation; the extractor stays in the latter."""
        super().train(mode)
        if self.exposure_net is not None:
            self.exposure_net.eval()
        return self

    def forward_tensor(self, inputs: Tensor, exposure: Tensor | None = None) -> Tensor:
        """Estimate the motion of clips.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            exposure (Tensor, optional): Exposure vectors, (N, T, d_u); by default
                those of the inputs.

        Returns:
            Tensor: Flow x, flow y (LR pixels) and mask logit, (N, T, 2, 3, H, W): from
            each frame to the previous and to the following one.

        Raises:
            ValueError: If ``inputs`` are no clips.
        """
        degradation = self._estimate(inputs, exposure)
        return self.net_d.image_flow_mask(degradation.flow_masks)

    @torch.no_grad()
    def estimate_degradation(self, window: Tensor) -> LearnedDegradation:
        """Estimate motion, and the kernels of the pixel that moves most.

        Args:
            window (Tensor): Blurry LR frames, (T, 3, H, W), RGB in [0, 1].

        Returns:
            LearnedDegradation: Of the window's centre frame; its T is 3.
        """
        clip = window.unsqueeze(0)
        centre = slice(len(window) // 2, len(window) // 2 + 1)
        degradation = self._estimate(clip, None)
        flow_masks = degradation.flow_masks[:, centre]
        to_both = self.net_d.image_flow_mask(flow_masks)[0, 0, :, :2]
        previous, following = to_both.unbind(0)
        flow = torch.stack((previous, torch.zeros_like(previous), following))
        y, x = pixel = most_moving_pixel(flow)
        # The convolution of the kernels sees one pixel far.
        top, left = max(y - 1, 0), max(x - 1, 0)
        around = degradation.kernel_feature[:, centre, :, top : y + 2, left : x + 2]
        taps = self.net_d.kernels(around)[0, 0, ..., y - top, x - left]
        size = self.net_d.downsampling.kernel_size
        kernels = taps.flatten().softmax(0).view(-1, size, size)
        return LearnedDegradation(flow, kernels, pixel)

    def forward_train(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample): ``gt_img``, sharp HR frames
                (N, T, 3, sH, sW), RGB in [0, 1]; for the flow loss ``flow``,
                (N, 2T, 2, H, W), in LR pixels: entries 2i and 2i + 1 lead from frame i
                to frames i - 1 and i + 1, the first and the last entry are ignored.

        Returns:
            dict[str, Tensor]: ``loss_<name>``, weighted, for each configured loss.

        Raises:
            ValueError: If a target is missing or does not fit the inputs, or the clips
                have a single frame.
        """
        targets = self.targets(inputs, data_samples)
        degradation = self.net_d(inputs, self.embed(inputs))
        return self.compute_losses(self.degradation_pairs(inputs, targets, degradation))

    def forward_inference(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Degrade the sharp frames, for validation.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample): ``gt_img``, the sharp HR frames
                (N, T, 3, sH, sW), BGR in [0, 255].

        Returns:
            dict[str, Tensor]: ``pred_img``, the reproduced blurry LR frames, and
            ``blurry_img``, their targets, both (N, T, 3, H, W), RGB in [0, 1].
        """
        check_clip(inputs)
        sharp = self.data_preprocessor.construct(data_samples.gt_img)
        reach, count = self.net_d.num_levels, inputs.size(1)
        is_recurrent = self.net_d.temporal == 'recurrent'
        step = count if is_recurrent else _DEGRADED_FRAMES
        blurry = []
        # The kernels of a long clip would not fit into memory.
        for first in range(0, count, step):
            begin, end = max(first - reach, 0), first + step
            part = slice(begin, end + reach)
            degraded = self._degrade(inputs[:, part], sharp[:, part])
            blurry.append(degraded[:, first - begin : end - begin])
        return dict(pred_img=torch.cat(blurry, dim=1), blurry_img=inputs)

    def _degrade(self, inputs: Tensor, sharp: Tensor) -> Tensor:
        """Degrade sharp frames, (N, T, 3, sH, sW), as the blurry ones were."""
        degradation = self._estimate(inputs, None)
        blurry, _ = self.net_d.degrade(
            sharp,
            self.net_d.image_flow_mask(degradation.flow_masks),
            self.net_d.kernels(degradation.kernel_feature),
        )
        return blurry

    def degradation_pairs(
        self, inputs: Tensor, targets: Targets, degradation: ClipDegradation
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Pairs of prediction and target of NetD's losses.

        Beyond the ends of a clip there is nothing to warp or to flow to.
        """
        sharp = targets['gt_img']
        flow_mask = self.net_d.image_flow_mask(degradation.flow_masks)
        kernels = self.net_d.kernels(degradation.kernel_feature)
        blurry, warped = self.net_d.degrade(sharp, flow_mask, kernels)
        warped = both_neighbours(warped)
        own = both_neighbours(sharp.unsqueeze(2).expand(-1, -1, 2, -1, -1, -1))
        pairs = dict(recon=(blurry, inputs), hr_warp=(warped, own))
        if 'flow' in self.losses:
            flow = targets['flow'].unflatten(1, (-1, 2))
            pairs['flow'] = tuple(map(both_neighbours, (flow_mask[:, :, :, :2], flow)))
        return pairs

    def targets(self, inputs: Tensor, data_samples) -> Targets:
        """Targets for some inputs, which are checked first."""
        check_clip(inputs)
        n, t, _, height, width = inputs.shape
        if t < 2:
            raise ValueError(
                'training needs clips of at least 2 frames, got a single one; load '
                'more frames a sample'
            )
        shapes = dict(
            gt_img=(n, t, 3, self.scale * height, self.scale * width),
            flow=(n, 2 * t, 2, height, width),
        )
        return Targets(data_samples, shapes)

    def describe_weights(self, names: Iterable[str]) -> str:
        """See :meth:`VSRDBModel.describe_weights`."""
        nets = {name.partition('.')[0] for name in names}
        if nets == {'exposure_net'}:
            return (
                'the checkpoint is of the exposure extractor alone; to train with it, '
                "name it in the config as model.exposure.init_cfg's checkpoint"
            )
        if ('exposure_net' in nets) != (self.exposure_net is not None):
            has, lacks = ('checkpoint', 'config')
            if self.exposure_net is not None:
                has, lacks = lacks, has
            return f'the {has} has an exposure extractor, the {lacks} has none'
        return self._describe_stage('net_r' in nets)

    def _describe_stage(self, is_joint: bool) -> str:
        """Advise on weights of a stage with (True) or without NetR."""
        if is_joint:
            return 'the checkpoint is of the joint stage, the config of stage 1'
        return super().describe_weights(())

    def _estimate(self, inputs: Tensor, exposure: Tensor | None) -> ClipDegradation:
        check_clip(inputs)
        if exposure is None:
            exposure = self.embed(inputs)
        height, width = inputs.shape[-2:]
        strips = Strips.fastest(height, width, inputs.device)
        return self.net_d(inputs, exposure, strips)

    def _build_net(
        self, kind: str, kernel_size: str, architecture: dict | None, own: dict | None
    ) -> SequenceNet:
        """Build a net of the shared sizes, but for those that its config overrides."""
        shared = dict(architecture or {})
        if 'degradation_kernel_size' in shared:
            shared[kernel_size] = shared.pop('degradation_kernel_size')
        if kind != 'SequenceNetD':
            for name in _NET_D_ONLY:
                shared.pop(name, None)
        if self.exposure_net is not None:
            shared['exposure_channels'] = self.exposure_net.channels
        return build_part({'type': kind, **shared, **(own or {})})


@MODELS.register_module()
class FMANetPP(LevelRestoration, FMANetPPStage1):
    """FMA-Net++: NetD and NetR restore video (arXiv 2512.04390).

    Both nets are trained; the exposure extractor stays frozen. A level is an HRBA block
    of NetD or NetR, and needs a frame and its two neighbours on the level before; so a
    restored frame depends on 2M frames on either side. For a video, :meth:`encode` each
    frame, :meth:`advance` it level by level, and :meth:`decode` it.

    Args:
        architecture (dict, optional): See :class:`FMANetPPStage1`.
        exposure (dict, optional): See :class:`FMANetPPStage1`.
        net_d (dict, optional): Config of :class:`SequenceNetD`, as far as it differs.
        net_r (dict, optional): Config of :class:`SequenceNetR`, as far as it differs.
        losses (dict, optional): Loss configs; those of stage 1 and ``restoration``.
        **base: Arguments of :class:`VSRDBModel`.

    Raises:
        ValueError: If the nets do not fit each other, or a loss is unknown.
    """

    loss_names = (*FMANetPPStage1.loss_names, 'restoration')
    min_size = 64
    """Least height and width of frames in exported graphs; the extractor must not get
    down to a single pixel in them."""

    def __init__(
        self,
        architecture: dict | None = None,
        exposure: dict | None = EXPOSURE,
        net_d: dict | None = None,
        net_r: dict | None = None,
        losses: dict | None = None,
        **base,
    ) -> None:
        super().__init__(architecture, exposure, net_d, losses, **base)
        self.net_r = self._build_net(
            'SequenceNetR', 'degradation_kernel_size', architecture, net_r
        )
        _check_nets_fit(self.net_d, self.net_r)

    def inference_form(self, multiple: int = 1) -> FMANetPPInferenceForm:
        """Prepare the weights for restoring.

        Args:
            multiple (int): Channels that are carried are a multiple of it, if all parts
                of the network can do so.

        Returns:
            FMANetPPInferenceForm: A copy, equal but for rounding.
        """
        parts = self.exposure_net, self.net_d, self.net_r
        with suppress(NotImplementedError):
            return FMANetPPInferenceForm(*parts, multiple)
        return FMANetPPInferenceForm(*parts)

    def forward_tensor(self, inputs: Tensor, exposure: Tensor | None = None) -> Tensor:
        """Restore clips.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            exposure (Tensor, optional): Exposure vectors, (N, T, d_u); by default
                those of the inputs.

        Returns:
            Tensor: Sharp HR frames, (N, T, 3, sH, sW), about [0, 1].

        Raises:
            ValueError: If ``inputs`` are no clips.
        """
        check_clip(inputs)
        if exposure is None:
            exposure = self.embed(inputs)
        if self.net_d.temporal != 'window':
            return self._restore(inputs, exposure)
        windows = None if exposure is None else _windows_of_three(exposure)
        restored = self._restore(_windows_of_three(inputs), windows)
        return restored[:, 1].unflatten(0, inputs.shape[:2])

    def forward_train(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Compute the losses; see :meth:`FMANetPPStage1.forward_train`."""
        targets = self.targets(inputs, data_samples)
        exposure = self.embed(inputs)
        degradation = self.net_d(inputs, exposure)
        pairs = self.degradation_pairs(inputs, targets, degradation)
        restored = self._restore_from(inputs, degradation, exposure)
        pairs['restoration'] = restored, targets['gt_img']
        return self.compute_losses(pairs)

    def forward_inference(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Restore clips, for validation and testing.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample, optional): Not used.

        Returns:
            dict[str, Tensor]: ``pred_img``, (N, T, 3, sH, sW), RGB, about [0, 1].
        """
        return dict(pred_img=self.forward_tensor(inputs))

    def _describe_stage(self, is_joint: bool) -> str:
        if not is_joint:
            return (
                'the checkpoint is of stage 1, the config of the joint stage; to start '
                'the joint stage from it, pass --stage1 to tools/train.py'
            )
        return VSRDBModel.describe_weights(self, ())

    def _restore(self, inputs: Tensor, exposure: Tensor | None) -> Tensor:
        """Restore clips; without gradients frame by frame, where that is possible."""
        height, width = inputs.shape[-2:]
        strips = Strips.fastest(height, width, inputs.device)
        if torch.is_grad_enabled() or self.net_d.temporal == 'recurrent':
            degradation = self.net_d(inputs, exposure, strips)
            return self._restore_from(inputs, degradation, exposure, strips)
        vectors = repeat(None) if exposure is None else exposure
        clips = zip(inputs, vectors, strict=False)
        return torch.stack([self.restore_clip(*clip, strips) for clip in clips])

    def _restore_from(
        self,
        inputs: Tensor,
        degradation: ClipDegradation,
        exposure: Tensor | None,
        strips: Strips = WHOLE_FRAMES,
    ) -> Tensor:
        kernels = self.net_d.factored_kernels(degradation.kernel_feature.flatten(0, 1))
        return self.net_r(inputs, degradation, kernels, exposure, strips)


def _windows_of_three(frames: Tensor) -> Tensor:
    """(N, T, ...) -> (N*T, 3, ...), ends repeated."""
    padded = torch.cat((frames[:, :1], frames, frames[:, -1:]), dim=1)
    return padded.unfold(1, 3, 1).movedim(-1, 2).flatten(0, 1)


def _check_nets_fit(net_d: SequenceNet, net_r: SequenceNet) -> None:
    for name, of_d, of_r in (
        *(
            (name, getattr(net_d, name), getattr(net_r, name))
            for name in ('channels', 'scale', 'num_flows', 'ends', 'temporal')
        ),
        (
            'degradation kernel size',
            net_d.downsampling.kernel_size,
            net_r.degradation_kernel_size,
        ),
    ):
        if of_d != of_r:
            raise ValueError(
                f'net_d and net_r must agree in {name}, '
                f'got {of_d} in net_d and {of_r} in net_r'
            )
