"""A page on which a restored video is compared with its input, for any browser."""

import base64
import html
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import zip_longest
from os import PathLike

import cv2
import numpy as np
import torch

from ...models.baselines.bicubic import BicubicUpsampling
from ...utils.files import atomic_write
from ...utils.names import printable
from ...utils.quality import SSIM_WINDOW, psnr, ssim
from ...video.frames import check_image
from ..flow_colours import flow_to_rgb

LAYERS = dict(
    input='Input', bicubic='Bicubic', restored='Restored', target='Ground truth'
)
"""Names of the pictures of a frame, in the order in which they are shown.

With several methods, a picture for each takes the place of the two in the middle.
"""

JPEG_SETTINGS = [
    cv2.IMWRITE_JPEG_QUALITY, 95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]  # fmt: skip


@dataclass
class _Frame:
    """A frame of the page.

    Attributes:
        index (int): Its number in the clip.
        images (dict[str, str]): Data URI of each layer.
        quality (dict[str, tuple]): PSNR and SSIM of the layers that are measured; None
            where there is none.
        pictures (list[dict]): ``caption`` and ``image`` of what the network learned.
    """

    index: int
    images: dict[str, str]
    quality: dict[str, tuple[float | None, float | None]]
    pictures: list[dict[str, str]]

    @property
    def num_bytes(self) -> int:
        pictures = sum(len(picture['image']) for picture in self.pictures)
        return pictures + sum(map(len, self.images.values()))


class ComparePage:
    """Collects the frames of a clip and writes one HTML file, which needs nothing else.

    Of a long clip the page shows frames at even distances: all of them at first, then
    every second, every fourth ... as more come in. So the length of the clip need not
    be known, and the memory is that of the page.

    Args:
        title (str): Heading of the page.
        max_frames (int): Most frames that are shown.
        max_bytes (int): Most bytes of pictures, as they stand in the page; there is a
            frame at least.

    Raises:
        ValueError: If ``max_frames`` is not positive.
    """

    def __init__(
        self, title: str, *, max_frames: int = 12, max_bytes: int = 48 * 2**20
    ) -> None:
        if max_frames < 1:
            raise ValueError(f'max_frames must be at least 1, got {max_frames}')
        self.title = title
        self.max_frames = max_frames
        self.max_bytes = max_bytes
        self._frames: list[_Frame] = []
        # Names of the methods by the keys of their pictures.
        self._methods: dict[str, str] = {}
        self._layers: dict[str, str] = {}
        self._sizes = None
        self._every = 1
        self._clip_length = 0

    @property
    def wants_next(self) -> bool:
        """Whether the next frame would be shown, as far as is known yet."""
        return self._clip_length % self._every == 0

    def add(
        self,
        image: np.ndarray,
        restored: np.ndarray | Mapping[str, np.ndarray],
        target: np.ndarray | None = None,
        flow: np.ndarray | None = None,
        kernels: np.ndarray | None = None,
    ) -> None:
        """Add the clip's next frame.

        Args:
            image (np.ndarray): LR frame, (H, W, 3), RGB, uint8 or uint16.
            restored (np.ndarray | Mapping[str, np.ndarray]): HR frame, (sH, sW, 3),
                likewise; or those of several methods by their names.
            target (np.ndarray, optional): Sharp HR frame, likewise; for all frames or
                none.
            flow (np.ndarray, optional): From the frame to the frames of its window,
                (T, H, W, 2), x then y, pixels.
            kernels (np.ndarray, optional): Degradation kernels of a pixel for the
                frames of its window, (T, k, k).

        Raises:
            ValueError: If an image is of another kind or its size does not fit, or the
                methods are not those of the first frame.
        """
        images = dict(input=image) | self._by_method(restored)
        if target is not None:
            images['target'] = target
        index = self._clip_length
        images = {name: _to_uint8(name, index, x) for name, x in images.items()}
        self._check_sizes(index, images)
        wanted = self.wants_next
        self._clip_length += 1
        if wanted:
            self._frames.append(self._make_frame(index, images, flow, kernels))
            self._thin_out()

    def write(self, path: str | PathLike) -> None:
        """Write the page.

        Args:
            path (str | PathLike): HTML file; its folder is made if need be.

        Raises:
            ValueError: If there is no frame.
        """
        if not self._frames:
            raise ValueError(f'there is no frame to show in {path}')
        with atomic_write(path) as draft:
            draft.write_text(self._render(), encoding='utf-8')

    def _by_method(
        self, restored: np.ndarray | Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        if not isinstance(restored, Mapping):
            restored = {LAYERS['restored']: restored}
            methods = dict(restored=LAYERS['restored'])
        else:
            methods = {f'method{n}': name for n, name in enumerate(restored)}
        self._methods = self._methods or methods
        if not methods or methods != self._methods:
            raise ValueError(
                f'frame {self._clip_length} has the methods {[*methods.values()]}, the '
                f'first frame {[*self._methods.values()]}; all must have the same'
            )
        return dict(zip(methods, restored.values(), strict=True))

    def _check_sizes(self, index: int, images: dict[str, np.ndarray]) -> None:
        sizes = {name: image.shape[:2] for name, image in images.items()}
        self._sizes = self._sizes or sizes
        height, width = sizes['input']
        scale = sizes[self._first_method][0] // height
        large = (scale * height, scale * width)
        fits = all(size == large for name, size in sizes.items() if name != 'input')
        if sizes != self._sizes or not fits or scale == 0:
            raise ValueError(
                f'frame {index} does not fit: {_say_sizes(sizes)}, the first frame '
                f'{_say_sizes(self._sizes)}; restored frames and targets must be the '
                'same whole number of times as large as the input, for all frames'
            )

    @property
    def _first_method(self) -> str:
        return next(iter(self._methods))

    @property
    def _scale(self) -> int:
        return self._sizes[self._first_method][0] // self._sizes['input'][0]

    @property
    def _is_single(self) -> bool:
        return 'restored' in self._methods

    @property
    def _measured(self) -> tuple[str, ...]:
        """The layers that are compared with the ground truth."""
        if self._is_single:
            return ('bicubic' if self._scale > 1 else 'input'), 'restored'
        return tuple(self._methods)

    def _make_frame(
        self,
        index: int,
        images: dict[str, np.ndarray],
        flow: np.ndarray | None,
        kernels: np.ndarray | None,
    ) -> _Frame:
        if self._scale > 1 and self._is_single:
            images['bicubic'] = _enlarge(images['input'], self._scale)
        names = LAYERS
        if not self._is_single:
            first, last = (dict([(key, LAYERS[key])]) for key in ('input', 'target'))
            names = first | self._methods | last
        self._layers = {key: name for key, name in names.items() if key in images}
        quality = {}
        if 'target' in images:
            quality = {
                name: _measure(images[name], images['target'], self._scale)
                for name in self._measured
            }
        encoded = {
            name: _encode(images[name], '.png' if name == 'input' else '.jpg')
            for name in self._layers
        }
        pictures = [*_draw_flow(flow), *_draw_kernels(kernels)]
        return _Frame(index, encoded, quality, pictures)

    def _thin_out(self) -> None:
        while len(self._frames) > 1 and (
            len(self._frames) > self.max_frames
            or sum(frame.num_bytes for frame in self._frames) > self.max_bytes
        ):
            self._frames = self._frames[::2]
            self._every *= 2

    def _render(self) -> str:
        values = dict(
            title=html.escape(printable(self.title)),
            summary=self._summarise(),
            protocol=f'RGB, without a border of {self._scale} pixels; '
            'the mean is over the frames shown here.',
            # Names must not end the element that holds the data.
            data=json.dumps(self._data()).replace('<', '\\u003c'),
            style=_read('style.css'),
            script=_read('script.js'),
        )
        first, *parts = _read('template.html').split('{{')
        for part in parts:
            name, text = part.split('}}', 1)
            first += values[name] + text
        return first

    def _summarise(self) -> str:
        (height, width), (large_height, large_width) = (
            self._sizes[name] for name in ('input', self._first_method)
        )
        shown, length = len(self._frames), self._clip_length
        part = f'{shown} of {length} frames' if shown < length else f'{length} frames'
        if length == 1:
            part = '1 frame'
        return (
            f'{part}, from {width}&times;{height} to '
            f'{large_width}&times;{large_height} pixels'
        )

    def _data(self) -> dict:
        height, width = self._sizes[self._first_method]
        return dict(
            clip_length=self._clip_length,
            width=width,
            height=height,
            layers=[
                dict(key=key, name=printable(name))
                for key, name in self._layers.items()
            ],
            right=[*self._methods][-1],
            metrics=self._mean_quality(),
            frames=[
                dict(
                    index=frame.index,
                    images=frame.images,
                    metrics=_say_quality(frame.quality.values()),
                    pictures=frame.pictures,
                )
                for frame in self._frames
            ],
        )

    def _mean_quality(self) -> dict | None:
        if 'target' not in self._layers:
            return None
        mean = [
            tuple(
                None if None in values else float(np.mean(values))
                for values in zip(*(f.quality[name] for f in self._frames), strict=True)
            )
            for name in self._measured
        ]
        columns = [
            f'{printable(self._layers[name])}, {metric}'
            for name in self._measured
            for metric in ('PSNR (dB)', 'SSIM')
        ]
        return dict(columns=columns, mean=_say_quality(mean))


def write_compare_page(
    path: str | PathLike,
    inputs: Iterable[np.ndarray],
    restored: Iterable[np.ndarray | Mapping[str, np.ndarray]],
    targets: Iterable[np.ndarray] | None = None,
    flows: Iterable[np.ndarray] | None = None,
    kernels: Iterable[np.ndarray] | None = None,
    *,
    title: str = 'Before and after restoration',
    max_frames: int = 12,
    max_bytes: int = 48 * 2**20,
) -> None:
    """Write a page that compares a restored clip with its input.

    Args:
        path (str | PathLike): HTML file to write.
        inputs (Iterable[np.ndarray]): LR frames, (H, W, 3), RGB, uint8 or uint16. All
            are taken one by one; see :class:`ComparePage`, also for those below.
        restored (Iterable[np.ndarray | Mapping[str, np.ndarray]]): HR frames,
            (sH, sW, 3), likewise; or those of several methods by their names.
        targets (Iterable[np.ndarray], optional): Sharp HR frames, likewise.
        flows (Iterable[np.ndarray], optional): Each (T, H, W, 2).
        kernels (Iterable[np.ndarray], optional): Each (T, k, k).
        title (str): Heading of the page.
        max_frames (int): Most frames that are shown.
        max_bytes (int): Most bytes of pictures, as they stand in the page; there is a
            frame at least.

    Raises:
        ValueError: If there are no frames, or not as many of each kind, or they do not
            fit each other.
    """
    page = ComparePage(title, max_frames=max_frames, max_bytes=max_bytes)
    given = dict(
        image=inputs, restored=restored, target=targets, flow=flows, kernels=kernels
    )
    for frame in _in_step({k: v for k, v in given.items() if v is not None}):
        page.add(**frame)
    page.write(path)


def _in_step(kinds: dict[str, Iterable]) -> Iterator[dict]:
    """One of each kind at a time, of which there must be as many."""
    missing = object()
    rows = zip_longest(*kinds.values(), fillvalue=missing)
    for index, row in enumerate(rows):
        ended = [name for name, x in zip(kinds, row, strict=True) if x is missing]
        if ended:
            raise ValueError(
                f'there must be as many of each kind as frames, but {ended} '
                f'end after {index}'
            )
        yield dict(zip(kinds, row, strict=True))


def _to_uint8(name: str, index: int, image: np.ndarray) -> np.ndarray:
    check_image(image, f'{name} of frame {index}')
    if image.dtype == np.uint16:
        image = np.rint(image / 257).astype(np.uint8)
    return image


def _say_sizes(sizes: dict[str, tuple[int, int]]) -> str:
    return ', '.join(f'{name} {size[0]}x{size[1]}' for name, size in sizes.items())


def _enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    frame = torch.from_numpy(image).permute(2, 0, 1)[None, None].float()
    enlarged = BicubicUpsampling(scale)(frame)[0].clamp(0, 255).round()
    return enlarged.permute(1, 2, 0).numpy().astype(np.uint8)


def _measure(
    image: np.ndarray, target: np.ndarray, border: int
) -> tuple[float | None, float | None]:
    """PSNR and SSIM as in evaluation; None where the image is too small."""
    size = min(image.shape[:2]) - 2 * border
    return (
        psnr(image, target, border) if size > 0 else None,
        ssim(image, target, border) if size >= SSIM_WINDOW else None,
    )


def _say_quality(quality: Iterable[tuple[float | None, float | None]]) -> list[str]:
    return [
        '\u2013' if x is None else '\u221e' if np.isinf(x) else f'{x:.{digits}f}'
        for pair in quality
        for x, digits in zip(pair, (2, 4), strict=True)
    ]


def _draw_flow(flow: np.ndarray | None) -> Iterator[dict[str, str]]:
    if flow is None:
        return
    for t, vectors in enumerate(flow):
        if t == len(flow) // 2:
            continue
        vectors = np.ascontiguousarray(vectors, np.float32)
        longest = np.linalg.norm(vectors, axis=-1).max()
        picture = (255 * flow_to_rgb(vectors)).round().astype(np.uint8)
        yield dict(
            caption=f'flow to {_say_offset(t, len(flow))}, up to {longest:.1f}\u00a0px',
            image=_encode(picture, '.png'),
        )


def _draw_kernels(kernels: np.ndarray | None) -> Iterator[dict[str, str]]:
    if kernels is None:
        return
    white = max(float(np.max(kernels)), np.finfo(np.float32).tiny)
    for t, kernel in enumerate(kernels):
        grey = (255 * np.clip(kernel / white, 0, 1)).round().astype(np.uint8)
        picture = cv2.applyColorMap(grey, cv2.COLORMAP_MAGMA)[..., ::-1]
        yield dict(
            caption=f'degradation kernel, {_say_offset(t, len(kernels))}',
            image=_encode(picture, '.png'),
        )


def _say_offset(t: int, num_frames: int) -> str:
    offset = t - num_frames // 2
    return f'frame {offset:+d}'.replace('-', '\u2212') if offset else 'this frame'


def _encode(image: np.ndarray, suffix: str) -> str:
    """An RGB image as a data URI."""
    settings = JPEG_SETTINGS if suffix == '.jpg' else []
    _, data = cv2.imencode(suffix, image[..., ::-1], settings)
    kind = dict([('.jpg', 'jpeg'), ('.png', 'png')])[suffix]
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding='utf-8')
