"""The base of trainable models: modes, losses, targets, and weights that must fit."""

from collections.abc import Iterable, Mapping

from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...utils.checkpoint import describe_misfit
from .rdb import cut_dense_weights
from .wide_convs import cast_convolutions

FAMILIES = {'.warped_fusion.': 'FMA-Net', '.neighbour_fusion.': 'FMA-Net++'}
"""Families of networks by a part that the names of their weights have."""


class VSRDBModel(BaseModel):
    """A model of joint video super-resolution and deblurring.

    It follows the modes of MMagic's ``BaseEditModel``, but needs MMagic for training
    and testing only: its losses and its data preprocessor are MMagic's.

    Args:
        losses (dict, optional): Losses by name, modules or configs with their weights;
            None leaves one out.
        data_preprocessor (dict, optional): Config of a
            :class:`~fmanet_mm.datasets.VSRDBDataPreprocessor` that gives RGB in [0, 1].
        init_cfg (dict, optional): Initialisation config.

    Attributes:
        loss_names (tuple[str]): Losses that the model can compute.

    Raises:
        ValueError: If a loss is unknown.
    """

    loss_names: tuple[str, ...] = ()

    def __init__(
        self,
        losses: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(_in_mmagic(data_preprocessor), init_cfg)
        unknown = sorted(set(losses or ()) - set(self.loss_names))
        if unknown:
            raise ValueError(
                f'{type(self).__name__} has no loss {", ".join(unknown)}; it has '
                f'{", ".join(self.loss_names)}'
            )
        self.losses = nn.ModuleDict(
            {
                name: cfg
                if isinstance(cfg, nn.Module)
                else MODELS.build(_in_mmagic(cfg))
                for name, cfg in (losses or {}).items()
                if cfg is not None
            }
        )

    def forward(
        self, inputs: Tensor, data_samples=None, mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor] | list:
        """Run the model as MMEngine's loops ask.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            data_samples (DataSample, optional): Targets.
            mode (str): ``'tensor'``, ``'loss'`` or ``'predict'``.

        Returns:
            Tensor | dict[str, Tensor] | list[DataSample]: :meth:`forward_tensor`,
            the losses of :meth:`forward_train`, or :meth:`forward_inference` in data
            samples.

        Raises:
            ValueError: If the mode is unknown, or the inputs or targets do not fit.
        """
        if mode == 'tensor':
            return self.forward_tensor(inputs)
        if mode == 'loss':
            with cast_convolutions(self), cut_dense_weights(self):
                return self.forward_train(inputs, data_samples)
        if mode == 'predict':
            outputs = self.forward_inference(inputs, data_samples)
            return self.data_preprocessor.pack(outputs, inputs, data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    def forward_tensor(self, inputs: Tensor) -> Tensor:
        """Compute the model's output image for a window."""
        raise NotImplementedError

    def forward_train(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Compute ``loss_<name>`` for each configured loss."""
        raise NotImplementedError

    def forward_inference(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Compute the images to be measured, ``pred_img`` and any target it needs."""
        raise NotImplementedError

    def compute_losses(
        self, pairs: Mapping[str, tuple[Tensor, Tensor]]
    ) -> dict[str, Tensor]:
        """Apply the configured losses to pairs of prediction and target."""
        return {
            f'loss_{name}': loss(*pairs[name]) for name, loss in self.losses.items()
        }

    def describe_weights(self, names: Iterable[str]) -> str:
        """Advise on weights that do not fit, given their names."""
        return 'use the config it was trained with'

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
            own, other = map(_family_of, (self.state_dict(), given))
            if own != other and None not in (own, other):
                advice = f'the checkpoint is of {other}, the config of {own}'
            else:
                advice = self.describe_weights(given)
            raise ValueError(
                f'the checkpoint does not fit this {type(self).__name__}: {misfit}; '
                + advice
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


class Targets:
    """Targets of a batch, checked against the inputs when they are asked for.

    Args:
        data_samples (DataSample, optional): Of the batch.
        shapes (dict[str, tuple]): Expected shape of each target.
    """

    def __init__(self, data_samples, shapes: dict[str, tuple[int, ...]]) -> None:
        self._data_samples = data_samples
        self._shapes = shapes

    def __getitem__(self, key: str) -> Tensor:
        if self._data_samples is None or key not in self._data_samples:
            raise ValueError(
                f'the configured losses need {key!r} in the data samples; '
                'load and pack it in the pipeline, or leave the loss out'
            )
        target = self._data_samples.get(key)
        if tuple(target.shape) != self._shapes[key]:
            raise ValueError(
                f'{key!r} must be {self._shapes[key]} for these inputs and scale, '
                f'got {tuple(target.shape)}'
            )
        return target


def _family_of(names: Iterable[str]) -> str | None:
    names = list(names)
    found = (f for part, f in FAMILIES.items() if any(part in name for name in names))
    return next(found, None)


def _in_mmagic(cfg: dict | None) -> dict | None:
    """Let a config name MMagic's classes, whatever MMEngine's default scope is."""
    return cfg if not isinstance(cfg, dict) else dict(_scope_='mmagic', **cfg)
