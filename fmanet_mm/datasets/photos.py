"""Still images to build scenes from."""

import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..video.images import list_images, open_image, read_image

SHIPPED_PHOTOS = {
    'skimage': (
        'data/astronaut.png',
        'data/brick.png',
        'data/camera.png',
        'data/chelsea.png',
        'data/coffee.png',
        'data/coins.png',
        'data/grass.png',
        'data/gravel.png',
        'data/hubble_deep_field.jpg',
        'data/ihc.png',
        'data/motorcycle_left.png',
        'data/page.png',
        'data/rocket.jpg',
    ),
    'sklearn': ('datasets/images/china.jpg', 'datasets/images/flower.jpg'),
}
"""Sharp photos shipped in these wheels; no download."""

MIN_PHOTO_SIZE = 128
"""Smaller photos would be upscaled too much."""


def shipped_photos() -> list[Path]:
    """Find the photos in the installed scikit-image and scikit-learn.

    Returns:
        list[Path]: Files of :data:`SHIPPED_PHOTOS`.

    Raises:
        FileNotFoundError: If a package or a photo of it is missing.
    """
    photos = []
    for package, names in SHIPPED_PHOTOS.items():
        spec = find_spec(package)
        if spec is None:
            raise FileNotFoundError(
                f'the photos shipped with {package} are missing, since it is not '
                'installed; install scikit-image and scikit-learn, or give folders '
                'of your own with shipped=False'
            )
        photos += [Path(spec.origin).parent / name for name in names]
    for photo in photos:
        if not photo.is_file():
            raise FileNotFoundError(
                f'there is no {photo}; this version of the package does not ship it; '
                'install the version in requirements/constraints.txt, or give folders '
                'of your own with shipped=False'
            )
    return photos


def find_photos(
    folders: Sequence[str | os.PathLike] = (), shipped: bool = True
) -> list[Path]:
    """List the photos to use, and check the header of each.

    Args:
        folders (Sequence[str | PathLike]): Folders of images.
        shipped (bool): Whether those of :func:`shipped_photos` come first.

    Returns:
        list[Path]: Image files.

    Raises:
        FileNotFoundError: If a folder is missing or empty, or a shipped photo missing.
        ValueError: If there is nothing to list, or an image is unreadable or has a side
            below :data:`MIN_PHOTO_SIZE`.
    """
    if isinstance(folders, str | os.PathLike):
        raise ValueError(f'folders must be a list of folders, got {folders!r}')
    if not (shipped or folders):
        raise ValueError(
            'there are no photos: give folders of images, or use the shipped ones '
            'with shipped=True'
        )
    given = [photo for folder in folders for photo in list_images(Path(folder))]
    for photo in given:
        with open_image(photo) as header:
            if min(header.size) < MIN_PHOTO_SIZE:
                raise ValueError(
                    f'{photo} has (H, W) = {header.size[::-1]}; both sides must be at '
                    f'least {MIN_PHOTO_SIZE}; remove it from its folder'
                )
    return (shipped_photos() if shipped else []) + given


@lru_cache(maxsize=16)
def read_photo(path: Path) -> np.ndarray:
    """Read a photo as uint8 RGB of shape (H, W, 3); the last few are cached.

    The array is shared and read-only.

    Raises:
        ValueError: If it is damaged.
    """
    photo = read_image(path)
    photo.flags.writeable = False
    return photo
