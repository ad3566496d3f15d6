"""The description by which a weights file or a graph names its network."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from ..version import __version__
from .adapters import RESTORERS, default_restorer

KEY = 'fmanet_mm'
"""Name of the entry in a file's metadata."""

TRAINING_KEYS = frozenset(
    (
        'data_preprocessor',
        'init_cfg',
        'losses',
        'pixel_loss',
        'test_cfg',
        'train_cfg',
        'spynet_pretrained',
        'with_cp',
    )
)
"""Arguments of a model that only training and testing need."""


@dataclass(frozen=True)
class Description:
    """All it takes to use an exported network.

    Attributes:
        network (dict): Config of the network, without training arguments.
        restorer (dict): Config of the restorer that applies it.
        num_frames (int): Frames of a window, T.
        scale (int): Ratio of the output's size to the input's, s.
        min_size (int): Least height and width of the frames that it takes as a graph.
        takes_presence (bool): Whether, as a graph, it reads besides a window which of
            its frames exist; otherwise a clip's first and last frame are repeated.
        channel_order (str): Of the images that go in and come out.
        version (str): Of fmanet_mm, which exported it.
    """

    network: dict[str, Any]
    restorer: dict[str, Any]
    num_frames: int
    scale: int
    min_size: int = 8
    takes_presence: bool = False
    channel_order: str = 'RGB'
    version: str = __version__

    @classmethod
    def of(cls, network: nn.Module) -> 'Description':
        """Describe a network by the config it was built from, ``network.cfg``.

        Raises:
            ValueError: If it is no network of windows, or not of this package.
        """
        by_levels = hasattr(network, 'advance')
        if not by_levels and not hasattr(network, 'refine'):
            raise ValueError(
                f'{type(network).__name__} restores no windows and cannot be exported; '
                'use a config and a checkpoint of a network that does, such as one of '
                'stage 2'
            )
        description = cls(
            network=without_training(network.cfg.model.to_dict()),
            restorer=dict(network.cfg.get('restorer', default_restorer(network))),
            num_frames=2 * network.num_levels + 1 if by_levels else network.num_frames,
            scale=network.scale,
            min_size=getattr(network, 'min_size', cls.min_size),
            takes_presence=by_levels,
        )
        try:
            description._check()
        except ValueError as error:
            raise ValueError(
                f'{type(network).__name__} cannot be exported: {error}; use it with '
                'its config and checkpoint instead'
            ) from error
        return description

    @property
    def config(self) -> Config:
        """A config of the network, without losses."""
        return Config(dict(model=self.network, restorer=self.restorer))

    def to_json(self) -> str:
        """Write it as text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str | None, path: str | PathLike) -> 'Description':
        """Read the text of :meth:`to_json`.

        It can only name networks of this package, built from plain values; nothing in
        it reads a file or runs code.

        Args:
            text (str, optional): From the file; None or empty if it has none.
            path (str | PathLike): The file, to name it in errors.

        Raises:
            ValueError: If there is none, or it is not such a description.
        """
        if not text:
            raise ValueError(
                f'{path} does not describe its network; export it with '
                'tools/deployment/export.py, or name its config (--config)'
            )
        try:
            description = cls(**_upgrade(json.loads(text)))
            description._check()
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise ValueError(
                f'{path} describes its network in a way that fmanet_mm {__version__} '
                f'does not understand ({error}): {text[:200]!r}; export it again'
            ) from error
        return description

    def _check(self) -> None:
        if self.channel_order != 'RGB':
            raise ValueError(f'the channel order {self.channel_order!r} is unknown')
        for number in (self.num_frames, self.scale, self.min_size):
            if not isinstance(number, int) or number < 1:
                raise ValueError(f'{number!r} is no positive number')
        if not isinstance(self.takes_presence, bool):
            raise ValueError(f'{self.takes_presence!r} is not true or false')
        for config in (self.network, self.restorer):
            if not isinstance(config, dict) or 'type' not in config:
                raise ValueError(f'{config!r} is no config with a type')
        if self.restorer['type'] not in RESTORERS.module_dict:
            raise ValueError(f'there is no restorer {self.restorer["type"]!r}')
        if self.network != without_training(self.network):
            raise ValueError('it has training arguments')
        for name, value in _leaves(self.network):
            if name == 'type' and not _is_own_network(value):
                raise ValueError(f'there is no network {value!r}')
            if name.startswith('_'):
                raise ValueError(f'{name!r} is no argument of a network')


def without_training(value: Any) -> Any:
    """A model's config, at any depth, without :data:`TRAINING_KEYS`."""
    if isinstance(value, dict):
        return {
            name: without_training(item)
            for name, item in value.items()
            if name not in TRAINING_KEYS
        }
    if isinstance(value, list | tuple):
        return [without_training(item) for item in value]
    return value


def _leaves(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    """Names and values of all that is no collection."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, key)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item, name)
    else:
        yield name, value


def register_networks() -> None:
    """Register the networks of this package, whose import takes a second."""
    from .. import models  # noqa: F401


def _is_own_network(name: Any) -> bool:
    register_networks()
    # Not MODELS.get(), which imports whatever a dotted name points to.
    found = MODELS.module_dict.get(name) if isinstance(name, str) else None
    return found is not None and found.__module__.startswith('fmanet_mm.models.')


def _upgrade(values: dict[str, Any]) -> dict[str, Any]:
    """Bring the description of version 0.1, which knew one family, to today's form."""
    if 'network' in values:
        return values
    values = dict(values)
    nets = {name: values.pop(name) for name in ('net_d', 'net_r')}
    network = dict(type='FMANet', **nets)
    return dict(network=network, restorer=dict(type='StreamingRestorer'), **values)
