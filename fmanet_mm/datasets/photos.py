"""Still images to make scenes of."""

import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..video.images import list_images, open_image, read_image

# Of what the wheels hold, without any download: photos and textures that are sharp.
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
# Smaller ones would have to be enlarged too far.
MIN_PHOTO_SIZE = 128


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
                f'The photos shipped with {package} are not there, it is not '
                'installed. Install scikit-image and scikit-learn, or give folders '
                'of your own with shipped=False.'
            )
        photos += [Path(spec.origin).parent / name for name in names]
    for photo in photos:
        if not photo.is_file():
            raise FileNotFoundError(
                f'There is no {photo}, this version of the package does not ship it. '
                'Install the version of requirements/constraints.txt, or give folders '
                'of your own with shipped=False.'
            )
    return photos


def find_photos(
    folders: Sequence[str | os.PathLike] = (), shipped: bool = True
) -> list[Path]:
    """List the photos to use; of each the header is looked at.

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
        raise ValueError(f'folders must be a list of folders, got {folders!r}.')
    if not (shipped or folders):
        raise ValueError(
            'There are no photos: give folders of images, or take those that are '
            'shipped with shipped=True.'
        )
    given = [photo for folder in folders for photo in list_images(Path(folder))]
    for photo in given:
        with open_image(photo) as header:
            if min(header.size) < MIN_PHOTO_SIZE:
                raise ValueError(
                    f'{photo} has (H, W) = {header.size[::-1]}; both sides must be at '
                    f'least {MIN_PHOTO_SIZE}. Take it out of its folder.'
                )
    return (shipped_photos() if shipped else []) + given


@lru_cache(maxsize=16)
def read_photo(path: Path) -> np.ndarray:
    """Read a photo as uint8 RGB of shape (H, W, 3); the last few are kept.

    The array is shared and cannot be written to.

    Raises:
        ValueError: If it is damaged.
    """
    photo = read_image(path)
    photo.flags.writeable = False
    return photo
