"""What an exported network says about itself."""

import json
from dataclasses import asdict, dataclass
from os import PathLike

from mmengine import Config

from ..models import FMANet
from ..version import __version__

KEY = 'fmanet_mm'
"""Name under which every format keeps the description, as JSON."""

_NOT_SETTINGS = ('type', 'init_cfg', 'with_cp')


@dataclass(frozen=True)
class Description:
    """What must be known to use an exported network.

    Attributes:
        num_frames (int): Frames of a window, T.
        scale (int): Ratio of HR to LR size, s.
        net_d (dict): Arguments of :class:`~fmanet_mm.models.NetD`, numbers all.
        net_r (dict): Arguments of :class:`~fmanet_mm.models.NetR`, likewise.
        channel_order (str): Of the images that go in and come out.
        version (str): Of fmanet_mm, which exported it.
    """

    num_frames: int
    scale: int
    net_d: dict[str, float]
    net_r: dict[str, float]
    channel_order: str = 'RGB'
    version: str = __version__

    @classmethod
    def of(cls, model: FMANet) -> 'Description':
        """Describe a model by the config it was built from, ``model.cfg``.

        Raises:
            ValueError: If it is not of stage 2, or has parts that numbers do not tell,
                as ablations have.
        """
        if getattr(model, 'net_r', None) is None:
            raise ValueError(
                f'a {type(model).__name__} without net_r restores nothing that could '
                'be exported; use a config and a checkpoint of stage 2'
            )
        settings = {
            net: {
                name: value
                for name, value in model.cfg.model[net].items()
                if name not in _NOT_SETTINGS
            }
            for net in ('net_d', 'net_r')
        }
        for net, values in settings.items():
            for name, value in values.items():
                if not isinstance(value, int | float):
                    raise ValueError(
                        f'{net} is built with {name}={value!r}, and an exported '
                        'network is described by numbers alone; use it with its config '
                        'and checkpoint instead'
                    )
        return cls(model.num_frames, model.scale, **settings)

    @property
    def config(self) -> Config:
        """A config of the network, without losses."""
        net_d = dict(self.net_d, type='NetD')
        net_r = dict(self.net_r, type='NetR')
        return Config(dict(model=dict(type='FMANet', net_d=net_d, net_r=net_r)))

    def to_json(self) -> str:
        """Write it down."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str | None, path: str | PathLike) -> 'Description':
        """Read what :meth:`to_json` wrote, and trust it with numbers only.

        Args:
            text (str, optional): From the file; None or empty if it has none.
            path (str | PathLike): The file, to name it in errors.

        Raises:
            ValueError: If there is none, or it is not such a description.
        """
        if not text:
            raise ValueError(
                f'{path} does not say which network it holds; write it with '
                'tools/deployment/export.py'
            )
        try:
            description = cls(**json.loads(text))
            numbers = [description.num_frames, description.scale]
            numbers += [*description.net_d.values(), *description.net_r.values()]
            sound = all(isinstance(number, int | float) for number in numbers)
        except (TypeError, ValueError, AttributeError):
            sound = False
        if not sound or description.channel_order != 'RGB':
            raise ValueError(
                f'{path} describes its network in a way that fmanet_mm {__version__} '
                f'does not understand: {text[:200]!r}; export it again'
            )
        return description
