"""FMANet, the models of both training stages."""

from collections.abc import Iterable
from contextlib import suppress

import torch
from mmengine.registry import MODELS
from torch import Tensor

from ...ops import Strips
from ...utils.motion import LearnedDegradation, most_moving_pixel
from ..common.base_model import Targets, VSRDBModel
from ..common.inference import Widths
from ..common.layers import build_part, per_frame
from .inference import FMANetInferenceForm
from .net_d import Degradation
from .net_r import Restoration
from .refinement_net import RefinementNet
from .window import WindowRestoration

_ESTIMATION_STRIPS = Strips(64)
"""Low enough for NetD alone to take less memory than restoring."""

_KERNEL_SIZES = ('degradation_kernel_size', 'restoration_kernel_size')


@MODELS.register_module()
class FMANetStage1(VSRDBModel):
    """Stage 1 of FMA-Net: NetD learns to degrade (arXiv 2401.03707, Section 3.6).

    It reproduces the blurry LR centre frame from the sharp HR frames.

    Args:
        architecture (dict, optional): Arguments that NetD and NetR share, see
            :class:`RefinementNet`, and ``degradation_kernel_size`` (k_d) and
            ``restoration_kernel_size`` (k_r).
        net_d (dict, optional): Config of :class:`NetD`, as far as it differs.
        losses (dict, optional): Loss configs; ``recon``, ``hr_warp``, ``flow`` and
            ``ta_d``.
        **base: Arguments of :class:`VSRDBModel`.

    Raises:
        ValueError: If a size or a loss is not possible.
    """

    loss_names = ('recon', 'hr_warp', 'flow', 'ta_d')

    def __init__(
        self,
        architecture: dict | None = None,
        net_d: dict | None = None,
        losses: dict | None = None,
        **base,
    ) -> None:
        super().__init__(losses, **base)
        self.net_d = _build_net(
            'NetD', net_d, architecture, kernel_size='degradation_kernel_size'
        )

    @property
    def num_frames(self) -> int:
        """Frames of a window, T."""
        return self.net_d.num_frames

    @property
    def scale(self) -> int:
        """Ratio of HR to LR size, s."""
        return self.net_d.scale

    def forward_tensor(self, inputs: Tensor) -> Tensor:
        """Estimate the motion of a window.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].

        Returns:
            Tensor: Flow x, flow y (LR pixels, centre to frame) and mask logit,
            (N, T, 3, H, W).

        Raises:
            ValueError: If ``inputs`` is not a window of T frames.
        """
        self.check_window(inputs)
        strips = Strips.fastest(*inputs.shape[-2:], inputs.device)
        return self.net_d.image_flow_mask(self.net_d(inputs, strips).flow_masks)

    @torch.no_grad()
    def estimate_degradation(self, window: Tensor) -> LearnedDegradation:
        """Estimate motion, and the kernels of the pixel that moves most.

        Args:
            window (Tensor): Blurry LR frames, (T, 3, H, W), RGB in [0, 1].

        Returns:
            LearnedDegradation: Of the window's centre frame.
        """
        degradation = self.net_d(window.unsqueeze(0), _ESTIMATION_STRIPS)
        flow = self.net_d.image_flow_mask(degradation.flow_masks)[0, :, :2]
        pixel = most_moving_pixel(flow)
        kernels = self.pixel_kernels(degradation, pixel)
        return LearnedDegradation(flow, kernels, pixel)

    def pixel_kernels(self, degradation: Degradation, pixel: tuple[int, int]) -> Tensor:
        """Degradation kernels of one pixel.

        Args:
            degradation (Degradation): Of a window, N = 1.
            pixel (tuple[int, int]): Its row and column.

        Returns:
            Tensor: (T, k_d, k_d), which sum to 1 over all frames.
        """
        y, x = pixel
        # The kernel head sees two pixels far; the kernels of a whole frame are large.
        top, left = max(y - 2, 0), max(x - 2, 0)
        around = degradation.kernel_feature[..., top : y + 3, left : x + 3]
        taps = self.net_d.kernels(around)[0, ..., y - top, x - left]
        size = self.net_d.downsampling.kernel_size
        return taps.flatten().softmax(0).view(-1, size, size)

    def forward_train(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample): ``gt_img``, sharp HR frames
                (N, T, 3, sH, sW); for the temporal-anchor loss ``img_sharp``,
                sharp LR frames (N, T, 3, H, W), both RGB in [0, 1]; for the flow
                loss ``flow``, centre to frame, (N, T, 2, H, W), in LR pixels.

        Returns:
            dict[str, Tensor]: ``loss_<name>``, weighted, for each configured loss.

        Raises:
            ValueError: If a target is missing or does not fit the inputs.
        """
        targets = self.targets(inputs, data_samples)
        degradation = self.net_d(inputs)
        kernels = self.net_d.kernels(degradation.kernel_feature)
        return self.compute_losses(
            self.degradation_pairs(inputs, targets, degradation, kernels)
        )

    def forward_inference(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Degrade the sharp frames, for validation.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample): ``gt_img``, the sharp HR frames
                (N, T, 3, sH, sW), BGR in [0, 255].

        Returns:
            dict[str, Tensor]: ``pred_img``, the reproduced blurry LR centre frame, and
            ``blurry_img``, its target, both (N, 3, H, W), RGB in [0, 1].
        """
        self.check_window(inputs)
        sharp = self.data_preprocessor.construct(data_samples.gt_img)
        strips = Strips.fastest(*inputs.shape[-2:], inputs.device)
        degradation = self.net_d(inputs, strips)
        kernels = self.net_d.kernels(degradation.kernel_feature)
        flow_mask = self.net_d.image_flow_mask(degradation.flow_masks)
        blurry, _ = self.net_d.degrade(sharp, flow_mask, kernels)
        return dict(pred_img=blurry, blurry_img=_centre(inputs))

    def degradation_pairs(
        self,
        inputs: Tensor,
        targets: Targets,
        degradation: Degradation,
        kernels: Tensor,
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Pairs of prediction and target of NetD's losses (Eq. 8)."""
        sharp = targets['gt_img']
        flow_mask = self.net_d.image_flow_mask(degradation.flow_masks)
        blurry, warped = self.net_d.degrade(sharp, flow_mask, kernels)
        pairs = dict(
            recon=(blurry, _centre(inputs)),
            hr_warp=(warped, _centre(sharp).unsqueeze(1).expand_as(warped)),
        )
        if 'flow' in self.losses:
            pairs['flow'] = flow_mask[:, :, :2], targets['flow']
        if 'ta_d' in self.losses:
            anchor = per_frame(self.net_d.anchor, degradation.feature)
            pairs['ta_d'] = anchor, targets['img_sharp']
        return pairs

    def targets(self, inputs: Tensor, data_samples) -> Targets:
        """Targets for some inputs, which are checked first."""
        self.check_window(inputs)
        n, t, _, height, width = inputs.shape
        shapes = dict(
            gt_img=(n, t, 3, self.scale * height, self.scale * width),
            img_sharp=(n, t, 3, height, width),
            flow=(n, t, 2, height, width),
        )
        return Targets(data_samples, shapes)

    def check_window(self, inputs: Tensor) -> None:
        """Raise a ValueError if ``inputs`` is not a window of T frames."""
        if inputs.dim() != 5 or inputs.shape[1:3] != (self.num_frames, 3):
            raise ValueError(
                f'expected a window (N, {self.num_frames}, 3, H, W), '
                f'got {tuple(inputs.shape)}; num_frames is set in the architecture'
            )

    def describe_weights(self, names: Iterable[str]) -> str:
        """See :meth:`VSRDBModel.describe_weights`."""
        names = list(names)
        if any(name.startswith('net_r.') for name in names):
            return 'the checkpoint is of stage 2, the config of stage 1'
        return super().describe_weights(names)


@MODELS.register_module()
class FMANet(WindowRestoration, FMANetStage1):
    """FMA-Net, stage 2: NetD and NetR restore video (arXiv 2401.03707).

    NetR restores the sharp HR centre frame of a window; both nets are trained. For a
    video, :meth:`encode` each frame once and :meth:`refine` each window.

    Args:
        architecture (dict, optional): See :class:`FMANetStage1`.
        net_d (dict, optional): Config of :class:`NetD`, as far as it differs.
        net_r (dict, optional): Config of :class:`NetR`, as far as it differs.
        losses (dict, optional): Loss configs; those of stage 1, ``restoration``,
            ``lr_warp`` and ``ta_r``.
        **base: Arguments of :class:`VSRDBModel`.

    Raises:
        ValueError: If the nets do not fit each other, or a loss is unknown.
    """

    loss_names = FMANetStage1.loss_names + ('restoration', 'lr_warp', 'ta_r')

    def __init__(
        self,
        architecture: dict | None = None,
        net_d: dict | None = None,
        net_r: dict | None = None,
        losses: dict | None = None,
        **base,
    ) -> None:
        super().__init__(architecture, net_d, losses, **base)
        self.net_r = _build_net(
            'NetR',
            net_r,
            architecture,
            kernel_size='restoration_kernel_size',
            degradation_kernel_size='degradation_kernel_size',
        )
        _check_nets_fit(self.net_d, self.net_r)

    def inference_form(self, multiple: int = 1) -> FMANetInferenceForm:
        """Prepare the weights for restoring.

        Args:
            multiple (int): Channels that are carried are a multiple of it, if all parts
                of the network can do so.

        Returns:
            FMANetInferenceForm: A copy, equal but for rounding.
        """
        nets = self.net_d, self.net_r
        if Widths(multiple)(self.net_d.channels) % self.num_frames == 0:
            with suppress(NotImplementedError):
                return FMANetInferenceForm(*nets, multiple)
        return FMANetInferenceForm(*nets)

    def forward_tensor(self, inputs: Tensor) -> Tensor:
        """Restore the centre frame of a window.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].

        Returns:
            Tensor: Sharp HR frame, (N, 3, sH, sW), about [0, 1].

        Raises:
            ValueError: If ``inputs`` is not a window of T frames.
        """
        self.check_window(inputs)
        strips = Strips.fastest(*inputs.shape[-2:], inputs.device)
        return self.restore_window(inputs, strips)

    def forward_train(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Compute the losses; see :meth:`FMANetStage1.forward_train`."""
        targets = self.targets(inputs, data_samples)
        degradation = self.net_d(inputs)
        kernels = self.net_d.kernels(degradation.kernel_feature)
        pairs = self.degradation_pairs(inputs, targets, degradation, kernels)
        restoration = self.net_r(inputs, degradation, kernels)
        pairs |= self.restoration_pairs(inputs, targets, restoration)
        return self.compute_losses(pairs)

    def forward_inference(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Restore the centre frame, for validation and testing.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample, optional): Not used.

        Returns:
            dict[str, Tensor]: ``pred_img``, (N, 3, sH, sW), RGB, about [0, 1].
        """
        return dict(pred_img=self.forward_tensor(inputs))

    def restoration_pairs(
        self, inputs: Tensor, targets: Targets, restoration: Restoration
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Pairs of prediction and target of NetR's losses (Eq. 11)."""
        warped = restoration.warped_frames
        pairs = dict(
            restoration=(restoration.output, _centre(targets['gt_img'])),
            lr_warp=(warped, _centre(inputs).unsqueeze(1).expand_as(warped)),
        )
        if 'ta_r' in self.losses:
            anchor = per_frame(self.net_r.anchor, restoration.feature)
            pairs['ta_r'] = anchor, targets['img_sharp']
        return pairs

    def describe_weights(self, names: Iterable[str]) -> str:
        """See :meth:`VSRDBModel.describe_weights`."""
        names = list(names)
        has_net_d = any(name.startswith('net_d.') for name in names)
        if has_net_d and not any(name.startswith('net_r.') for name in names):
            return (
                'the checkpoint is of stage 1, the config of stage 2; to start stage 2 '
                'from it, pass --stage1 to tools/train.py'
            )
        return VSRDBModel.describe_weights(self, names)


def _centre(frames: Tensor) -> Tensor:
    return frames[:, frames.size(1) // 2]


def _build_net(
    kind: str, cfg: dict | None, architecture: dict | None, **kernel_sizes: str
) -> RefinementNet:
    """Build a net of the shared sizes, but for those that its own config overrides."""
    shared = dict(architecture or {})
    sizes = {name: shared.pop(name) for name in _KERNEL_SIZES if name in shared}
    own = {name: sizes[key] for name, key in kernel_sizes.items() if key in sizes}
    return build_part({'type': kind, **shared, **own, **(cfg or {})})


def _check_nets_fit(net_d: RefinementNet, net_r: RefinementNet) -> None:
    for name, of_d, of_r in (
        ('channels', net_d.channels, net_r.channels),
        ('num_frames', net_d.num_frames, net_r.num_frames),
        ('scale', net_d.scale, net_r.scale),
        ('num_flows', net_d.num_flows, net_r.num_flows),
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
