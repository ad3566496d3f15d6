"""FMANet, the model: two training stages, their losses, prediction."""

from mmagic.models.base_models import BaseEditModel
from mmengine.registry import MODELS
from mmagic.structures import DataSample
from mmengine.model import BaseModel
from torch import Tensor, nn

from ...ops import fast_strips
from ...utils.checkpoint import describe_misfit
from ..common.layers import per_frame
from .net_d import Degradation
from .net_r import Restoration
from .refinement_net import RefinementNet

STAGE_1_LOSSES = ('recon', 'hr_warp', 'flow', 'ta_d')
STAGE_2_LOSSES = STAGE_1_LOSSES + ('restoration', 'lr_warp', 'ta_r')


@MODELS.register_module()
class FMANet(BaseEditModel):
    """Joint video super-resolution and deblurring, FMA-Net (arXiv 2401.03707).

    Without ``net_r`` this is stage 1: NetD learns to reproduce the blurry LR centre
    frame from the sharp HR frames. With it, stage 2: NetR restores the sharp HR
    centre frame, and both nets are trained.

    Args:
        net_d (dict): Config of :class:`NetD`.
        net_r (dict, optional): Config of :class:`NetR`.
        losses (dict, optional): Loss configs by term, each with its weight; a term
            left out or None is not computed. Stage 1: ``recon``, ``hr_warp``,
            ``flow`` and ``ta_d``; stage 2 adds ``restoration``, ``lr_warp`` and
            ``ta_r`` (Section 3.6).
        train_cfg (dict, optional): Kept for MMagic's interface; not used.
        test_cfg (dict, optional): Kept for MMagic's interface; not used.
        init_cfg (dict, optional): Initialisation config.
        data_preprocessor (dict, optional): Config of a
            :class:`VSRDBDataPreprocessor` that gives RGB in [0, 1].

    Raises:
        ValueError: If the nets do not fit each other, or a loss is unknown.
    """

    def __init__(
        self,
        net_d: dict,
        net_r: dict | None = None,
        losses: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        # BaseEditModel's own __init__ builds one generator and one loss.
        BaseModel.__init__(self, data_preprocessor, init_cfg)
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg
        self.net_d = MODELS.build(net_d)
        self.net_r = MODELS.build(net_r) if net_r else None
        if self.net_r is not None:
            self._check_nets_fit()
        self.losses = self._build_losses(losses or {})

    @property
    def num_frames(self) -> int:
        """Frames of a window, T."""
        return self.net_d.num_frames

    @property
    def scale(self) -> int:
        """Ratio of HR to LR size, s."""
        return self.net_d.scale

    def forward_tensor(
        self, inputs: Tensor, data_samples: DataSample | None = None
    ) -> Tensor | Degradation:
        """Run the nets on a window.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample, optional): Not used.

        Returns:
            Tensor | Degradation: Stage 2: the sharp HR centre frame,
            (N, 3, sH, sW), about [0, 1]. Stage 1: what NetD learned.

        Raises:
            ValueError: If ``inputs`` is not a window of T frames.
        """
        self._check_window(inputs)
        with fast_strips(inputs):
            degradation = self.net_d(inputs)
            if self.net_r is None:
                return degradation
            return self.net_r(inputs, degradation).output

    def forward_inference(
        self, inputs: Tensor, data_samples: DataSample | None = None
    ) -> DataSample:
        """Predict for validation and testing.

        In stage 1, NetD's reconstruction of the blurry LR centre frame is the
        prediction, and ``data_samples`` gets its target as ``blurry_img``.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample, optional): In stage 1 with ``gt_img``, the
                sharp HR frames (N, T, 3, sH, sW), BGR in [0, 255].

        Returns:
            DataSample: ``pred_img``, (N, 3, H', W'), BGR in [0, 255].
        """
        output = self.forward_tensor(inputs)
        if self.net_r is None:
            output = self._reconstruct(output, data_samples)
            blurry = self._centre(inputs).clone()
            blurry = self.data_preprocessor.destruct(blurry, data_samples)
            data_samples.set_tensor_data(dict(blurry_img=blurry.cpu()))
        prediction = self.data_preprocessor.destruct(output, data_samples)
        return DataSample(pred_img=prediction.cpu())

    def forward_train(
        self, inputs: Tensor, data_samples: DataSample | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample): ``gt_img``, sharp HR frames
                (N, T, 3, sH, sW); for the temporal-anchor losses ``img_sharp``,
                sharp LR frames (N, T, 3, H, W), both RGB in [0, 1]; for the flow
                loss ``flow``, centre to frame, (N, T, 2, H, W), in LR pixels.

        Returns:
            dict[str, Tensor]: ``loss_<term>``, weighted, for each configured term.

        Raises:
            ValueError: If a target is missing or does not fit the inputs.
        """
        self._check_window(inputs)
        targets = _Targets(data_samples, inputs, self.scale)
        degradation = self.net_d(inputs)
        pairs = self._degradation_pairs(inputs, targets, degradation)
        if self.net_r is not None:
            restoration = self.net_r(inputs, degradation)
            pairs |= self._restoration_pairs(inputs, targets, restoration)
        return {f'loss_{name}': self.losses[name](*pairs[name]) for name in self.losses}

    def _degradation_pairs(
        self, inputs: Tensor, targets: '_Targets', degradation: Degradation
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """(prediction, target) of the stage-1 losses."""
        sharp = targets['gt_img']
        flow_mask = self.net_d.image_flow_mask(degradation.flow_masks)
        blurry, warped = self.net_d.degrade(sharp, flow_mask, degradation.kernels)
        pairs = dict(
            recon=(blurry, self._centre(inputs)),
            hr_warp=(warped, self._centre(sharp).unsqueeze(1).expand_as(warped)),
        )
        if 'flow' in self.losses:
            pairs['flow'] = flow_mask[:, :, :2], targets['flow']
        if 'ta_d' in self.losses:
            anchor = self._anchor(self.net_d, degradation.feature)
            pairs['ta_d'] = anchor, targets['img_sharp']
        return pairs

    def _restoration_pairs(
        self, inputs: Tensor, targets: '_Targets', restoration: Restoration
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """(prediction, target) of what stage 2 adds."""
        warped = restoration.warped_frames
        pairs = dict(
            restoration=(restoration.output, self._centre(targets['gt_img'])),
            lr_warp=(warped, self._centre(inputs).unsqueeze(1).expand_as(warped)),
        )
        if 'ta_r' in self.losses:
            anchor = self._anchor(self.net_r, restoration.feature)
            pairs['ta_r'] = anchor, targets['img_sharp']
        return pairs

    def _reconstruct(
        self, degradation: Degradation, data_samples: DataSample
    ) -> Tensor:
        sharp = self.data_preprocessor.construct(data_samples.gt_img)
        flow_mask = self.net_d.image_flow_mask(degradation.flow_masks)
        return self.net_d.degrade(sharp, flow_mask, degradation.kernels)[0]

    @staticmethod
    def _anchor(net: RefinementNet, feature: Tensor) -> Tensor:
        return per_frame(net.anchor, feature)

    def _centre(self, frames: Tensor) -> Tensor:
        return frames[:, self.num_frames // 2]

    def _build_losses(self, losses: dict) -> nn.ModuleDict:
        known = STAGE_1_LOSSES if self.net_r is None else STAGE_2_LOSSES
        unknown = sorted(name for name in losses if name not in known)
        if unknown:
            raise ValueError(
                f'unknown loss {unknown} for stage {1 if self.net_r is None else 2}; '
                f'there are {list(known)}'
            )
        return nn.ModuleDict(
            {name: MODELS.build(cfg) for name, cfg in losses.items() if cfg}
        )

    def _check_nets_fit(self) -> None:
        net_d, net_r = self.net_d, self.net_r
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

    def _check_window(self, inputs: Tensor) -> None:
        if inputs.dim() != 5 or inputs.shape[1:3] != (self.num_frames, 3):
            raise ValueError(
                f'expected a window (N, {self.num_frames}, 3, H, W), '
                f'got {tuple(inputs.shape)}; num_frames is set in net_d and net_r'
            )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Refuse weights that do not fit, whoever loads them.

        MMagic and MMEngine load with ``strict=False`` and only warn.
        """
        given = {
            name.removeprefix(prefix): value
            for name, value in state_dict.items()
            if name.startswith(prefix)
        }
        misfit = describe_misfit(self.state_dict(), given)
        if misfit:
            raise ValueError(
                f'the checkpoint does not fit this model: {misfit}. '
                + self._stage_hint(given)
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _stage_hint(self, given: dict) -> str:
        given_stage = 2 if any(name.startswith('net_r.') for name in given) else 1
        own_stage = 1 if self.net_r is None else 2
        if given_stage == own_stage:
            return 'Its config has other sizes; use the config it was trained with.'
        return (
            f'It is of stage {given_stage}, the config of stage {own_stage}. To start '
            'stage 2 from stage 1, set model.net_d.init_cfg.checkpoint to it.'
        )


class _Targets:
    """The targets of a batch, checked against the inputs as they are taken."""

    def __init__(self, data_samples: DataSample, inputs: Tensor, scale: int) -> None:
        self.data_samples = data_samples
        n, t, _, height, width = inputs.shape
        self.shapes = dict(
            gt_img=(n, t, 3, scale * height, scale * width),
            img_sharp=(n, t, 3, height, width),
            flow=(n, t, 2, height, width),
        )

    def __getitem__(self, key: str) -> Tensor:
        if self.data_samples is None or key not in self.data_samples:
            raise ValueError(
                f'the configured losses need {key!r} in the data samples; '
                'load and pack it in the pipeline, or leave the loss out'
            )
        target = self.data_samples.get(key)
        if tuple(target.shape) != self.shapes[key]:
            raise ValueError(
                f'{key!r} must be {self.shapes[key]} for these inputs and scale, '
                f'got {tuple(target.shape)}'
            )
        return target
