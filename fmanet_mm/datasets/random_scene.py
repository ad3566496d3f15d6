"""Random scenes built from photos.

Lengths are in HR pixels, or relative to the smaller side of the frame. Only the
proportions of the sampled motion matter: :meth:`Scene.with_speed` sets its speed.
"""

from collections.abc import Callable
from math import inf

import cv2
import numpy as np

from .scene import OVERSAMPLING, Layer, Scene, Trajectory, similarity

MAX_SHRINKING = 2
"""Largest factor by which photos are downscaled, for other sizes and less noise."""

BACKGROUND_SIZE = 1.3
"""Background size relative to the frame; mirrored beyond."""

TILT = 0.1
"""Standard deviation of the angle of the background."""

PIECE_RADIUS = (0.12, 0.4)
"""Range of the radius of a piece, relative to the frame."""

OUTLINE_BLUR = (0.5, 2.5)
"""Range of the blur (sigma) of a piece's outline, from sharp to out of focus."""

OUTLINE_CORNERS = (5, 40)
"""Range of the number of corners of a piece, from angular to smooth."""

SHAKE_PERIODS = (2.5, 8)
"""Range of the periods of the waves of camera shake, in frames."""

SHAKE_SIZE = 0.25
"""Size of the waves of camera shake, relative to the speed."""

SHAKE_WAVES = 3
"""Number of waves of camera shake."""

TURN = 0.35
"""Rotation and zoom relative to the shift, measured at the rim of the moving object."""

ACCELERATION = 0.25
"""Acceleration relative to the velocity."""


def sample_scene(
    rng: np.random.Generator,
    sample_photo: Callable[[np.random.Generator], np.ndarray],
    size: tuple[int, int],
    scale: int,
    num_pieces: int,
    speed: float,
    swing: float = inf,
) -> Scene:
    """Sample a scene: a background, pieces in front of it, and a shaking camera.

    Args:
        rng (np.random.Generator): The only source of randomness.
        sample_photo (Callable): Returns a random photo, uint8 RGB of shape (h, w, 3).
        size (tuple[int, int]): (H, W) of the LR frame.
        scale (int): Ratio of HR to LR size, s.
        num_pieces (int): Number of layers in front of the background.
        speed (float): See :meth:`Scene.with_speed`.
        swing (float): See :class:`Trajectory`; of all objects and the camera.

    Returns:
        Scene: The scene.
    """
    frame = scale * np.array(size)
    layers = [_sample_background(rng, sample_photo(rng), frame)]
    layers += [
        _sample_piece(rng, sample_photo(rng), frame, swing) for _ in range(num_pieces)
    ]
    camera = _sample_trajectory(
        rng, _centre(frame), frame.min() / 2, SHAKE_WAVES, swing
    )
    return Scene(layers, camera, size, scale).with_speed(speed)


def _sample_background(
    rng: np.random.Generator, photo: np.ndarray, frame: np.ndarray
) -> Layer:
    image = _cut(rng, photo, np.rint(BACKGROUND_SIZE * frame).astype(int))
    placement = similarity(
        rng.normal(scale=TILT), 1 / OVERSAMPLING, _centre(image.shape), _centre(frame)
    )
    still = _sample_trajectory(rng, _centre(frame), frame.min() / 2, 0).scaled(0)
    return Layer(image, None, placement, still)


def _sample_piece(
    rng: np.random.Generator, photo: np.ndarray, frame: np.ndarray, swing: float
) -> Layer:
    radius = rng.uniform(*PIECE_RADIUS) * frame.min()
    mask = _sample_mask(rng, radius)
    image = _cut(rng, photo, np.array(mask.shape) // OVERSAMPLING)
    place = rng.uniform(size=2) * frame[::-1]
    placement = similarity(
        rng.uniform(-np.pi, np.pi), 1 / OVERSAMPLING, _centre(image.shape), place
    )
    trajectory = _sample_trajectory(rng, place, radius, 0, swing)
    return Layer(image, mask, placement, trajectory)


def _sample_mask(rng: np.random.Generator, radius: float) -> np.ndarray:
    """Sample a leaf-like mask, oversampled: a polygon with a wavy radius."""
    radius = OVERSAMPLING * radius
    blur = OVERSAMPLING * rng.uniform(*OUTLINE_BLUR)
    # Leave room for the blur and for zeros at the borders of the mask.
    half = OVERSAMPLING * int(np.ceil((radius + 3 * blur) / OVERSAMPLING) + 1)
    angles = np.linspace(0, 2 * np.pi, rng.integers(*OUTLINE_CORNERS), endpoint=False)
    swings = sum(
        rng.uniform(0, 0.6 / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
        for wave in (1, 2, 3, 5)
    )
    radii = radius * (1.2 + swings) / (1.2 + swings).max()
    corners = (
        half - 0.5 + radii[:, None] * np.stack((np.cos(angles), np.sin(angles)), 1)
    )
    mask = np.zeros((2 * half, 2 * half), np.float32)
    # OpenCV expects fixed-point coordinates, here with 4 fractional bits.
    cv2.fillPoly(mask, [np.rint(16 * corners).astype(np.int32)], 1, shift=4)
    return cv2.GaussianBlur(mask, (0, 0), blur)


def _cut(rng: np.random.Generator, photo: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Crop a random part of a photo, scale it to a size and oversample it.

    A photo that is too small is enlarged.
    """
    ratio = min(rng.uniform(1, MAX_SHRINKING), *np.array(photo.shape[:2]) / size)
    height, width = (int(ratio * side) for side in size)
    top = rng.integers(photo.shape[0] - height + 1)
    left = rng.integers(photo.shape[1] - width + 1)
    image = cv2.resize(
        photo[top : top + height, left : left + width],
        (int(size[1]), int(size[0])),
        interpolation=cv2.INTER_AREA if ratio > 1 else cv2.INTER_CUBIC,
    )
    return cv2.resize(
        image, None, fx=OVERSAMPLING, fy=OVERSAMPLING, interpolation=cv2.INTER_CUBIC
    )


def _sample_trajectory(
    rng: np.random.Generator,
    centre: np.ndarray,
    radius: float,
    num_waves: int,
    swing: float = inf,
) -> Trajectory:
    """Sample the motion of an object, about one pixel per frame at its rim."""
    direction = rng.uniform(0, 2 * np.pi)
    shift = rng.uniform(0, 2) * np.array((np.cos(direction), np.sin(direction)))
    units = np.array((1, 1, TURN / radius, TURN / radius))
    return Trajectory(
        centre=centre,
        velocity=np.concatenate((shift, units[2:] * rng.normal(size=2))),
        acceleration=ACCELERATION * units * rng.normal(size=4),
        waves=SHAKE_SIZE * units * rng.normal(size=(num_waves, 4)),
        frequencies=2 * np.pi / rng.uniform(*SHAKE_PERIODS, size=(num_waves, 4)),
        phases=rng.uniform(0, 2 * np.pi, size=(num_waves, 4)),
        swing=swing,
    )


def _centre(shape: np.ndarray | tuple[int, ...]) -> np.ndarray:
    """Centre (x, y) of an image of shape (H, W, ...)."""
    height, width = shape[:2]
    return np.array(((width - 1) / 2, (height - 1) / 2))
