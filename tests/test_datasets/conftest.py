"""Miniature VSRDB sets with the real naming."""

import cv2
import numpy as np
import pytest

from fmanet_mm.flow import flow_filename, save_flow

KINDS = {
    'gt': 'sharp',
    'img': 'blur_bicubic/X4',
    'img_sharp': 'sharp_bicubic/X4',
    'flow': 'flow/X4',
}


class VSRDBSet:
    """A set of noise below ``root``, scale 4.

    Args:
        root (Path): Root of the set.
        size (tuple[int, int]): (H, W) of the LR frames.
    """

    def __init__(self, root, size=(8, 12)):
        self.root = root
        self.size = size
        self.rng = np.random.default_rng(0)

    def add_clip(self, clip, length=5, split='train', reach=2, stems=None, **folders):
        """Write all kinds of a clip; ``folders`` replace those of REDS."""
        stems = stems or [f'{index:08d}' for index in range(length)]
        prefixes = {kind: f'{split}_{name}/{clip}' for kind, name in KINDS.items()}
        for kind, folder in (prefixes | folders).items():
            if kind == 'flow':
                self._write_flow(self.root / folder, stems, reach)
            else:
                for stem in stems:
                    self.write_frame(self.root / folder / f'{stem}.png', kind == 'gt')
        return self

    def write_frame(self, path, hr=False, size=None):
        height, width = size or self.size
        scale = 4 if hr else 1
        shape = (scale * height, scale * width, 3)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), self.rng.integers(0, 256, shape, np.uint8))

    def _write_flow(self, folder, stems, reach):
        for i, centre in enumerate(stems):
            for j, other in enumerate(stems):
                if 0 < abs(i - j) <= reach:
                    flow = self.rng.normal(size=(*self.size, 2)).astype(np.float16)
                    save_flow(folder / flow_filename(centre, other), flow)

    @staticmethod
    def prefix(split='train', kinds=tuple(KINDS)):
        return {kind: f'{split}_{KINDS[kind]}' for kind in kinds}


@pytest.fixture(scope='session')
def make_vsrdb_set():
    """The class, for sets of another size or scope."""
    return VSRDBSet


@pytest.fixture
def vsrdb_set(tmp_path):
    """A set with one clip of 5 frames, and room for more."""
    return VSRDBSet(tmp_path / 'set').add_clip('000')
