"""Scenes of moving layers, seen by a moving camera.

A layer is a flat piece of a photo. Its points move by similarity transforms, so that
the flow of what is visible is known exactly. Places are (x, y) in pixels of the HR
frame, whose centre is that of the rotations of the camera; time is counted in frames
from the centre frame of a window.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, cos, exp, sin

import cv2
import numpy as np

# How much larger than in the frame layers are kept: linear interpolation is then about
# as good as cubic, at a fifth of its time.
OVERSAMPLING = 2
# How far apart sub-frames may lie, in LR pixels. The blurry LR frame is then within 3
# levels of 255 of the one that infinitely many would give.
SUB_FRAME_STEP = 0.75
# What a path is measured by, within one exposure.
_PATH_POINTS = 5
# Scaling the motion scales the flow, but for rotation and zoom, which converge fast.
_SPEED_STEPS = 4


@dataclass(frozen=True)
class Trajectory:
    """A smooth similarity transform over time, the identity at time 0.

    Its four parameters are shifts in x and y in pixels, an angle in radians, and the
    logarithm of a zoom.

    Args:
        centre (np.ndarray): Fixed point of rotation and zoom, (x, y).
        velocity (np.ndarray): Change of the parameters per frame, (4,).
        acceleration (np.ndarray): Change of the velocity per frame, (4,).
        waves (np.ndarray): Amplitudes of K sine waves, (K, 4).
        frequencies (np.ndarray): Their frequencies, in radians a frame, (K, 4).
        phases (np.ndarray): Their phases in radians, (K, 4).
    """

    centre: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    waves: np.ndarray
    frequencies: np.ndarray
    phases: np.ndarray

    def scaled(self, factor: float) -> 'Trajectory':
        """The same way with all parameters so many times as large."""
        return replace(
            self,
            velocity=factor * self.velocity,
            acceleration=factor * self.acceleration,
            waves=factor * self.waves,
        )

    def pose(self, time: float) -> np.ndarray:
        """Matrix (3, 3) from places at time 0 to places at another time."""
        swing = np.sin(self.frequencies * time + self.phases) - np.sin(self.phases)
        x, y, angle, log_zoom = (
            self.velocity * time
            + self.acceleration * time**2 / 2
            + (self.waves * swing).sum(0)
        )
        return similarity(angle, exp(log_zoom), self.centre, self.centre + (x, y))


@dataclass(frozen=True)
class Layer:
    """A flat thing in a scene.

    Args:
        image (np.ndarray): Its colours, uint8 RGB of shape (h, w, 3), mirrored beyond
            its borders. It is interpolated linearly, which dulls it unless it is larger
            than it will be seen; :data:`OVERSAMPLING` times is enough.
        mask (np.ndarray | None): Its opacity in [0, 1], float32 of shape (h, w), 0 at
            its borders and beyond. None is opaque everywhere.
        placement (np.ndarray): Matrix (3, 3) from places in the image to places in the
            frame at time 0.
        trajectory (Trajectory): How it moves in the scene.
    """

    image: np.ndarray
    mask: np.ndarray | None
    placement: np.ndarray
    trajectory: Trajectory

    def corners(self) -> np.ndarray:
        """Homogeneous places of the image's corners, as columns (3, 4)."""
        bottom, right = (side - 1 for side in self.image.shape[:2])
        return np.array([(0, right, right, 0), (0, 0, bottom, bottom), (1, 1, 1, 1)])


@dataclass(frozen=True)
class Scene:
    """Layers over one another, the first opaque, and a camera.

    Args:
        layers (Sequence[Layer]): From back to front.
        camera (Trajectory): How the camera moves the picture of the whole scene.
        size (tuple[int, int]): (H, W) of the LR frame.
        scale (int): Ratio of HR to LR size, s.
    """

    layers: Sequence[Layer]
    camera: Trajectory
    size: tuple[int, int]
    scale: int

    @property
    def hr_size(self) -> tuple[int, int]:
        """(sH, sW) of the HR frame."""
        return tuple(self.scale * side for side in self.size)

    def with_speed(self, speed: float) -> 'Scene':
        """The same picture at time 0 with all motion slower or faster.

        Args:
            speed (float): Mean length of the flow to the two neighbouring frames, in
                LR pixels, over the frame.

        Returns:
            Scene: One with that speed, to a hundredth or better.
        """
        if speed == 0:
            return self._scaled(0)
        scene = self
        for _ in range(_SPEED_STEPS):
            scene = scene._scaled(speed / scene.speed())
        return scene

    def speed(self) -> float:
        """Mean length of the flow to the two neighbouring frames, in LR pixels."""
        flow = [self.flow(time) for time in (-1, 1)]
        return float(np.linalg.norm(flow, axis=-1).mean())

    def render(self, time: float) -> np.ndarray:
        """Draw the scene as it is at an instant.

        Returns:
            np.ndarray: uint8 RGB of shape (sH, sW, 3).
        """
        background, *pieces = self.layers
        frame = _warp(
            background.image,
            self._to_frame(background, time),
            (0, 0, *self.hr_size),
            cv2.BORDER_REFLECT_101,
        )
        for piece in pieces:
            self._draw(piece, time, frame)
        return frame

    def sub_frames(self, time: float, exposure: float) -> Iterator[np.ndarray]:
        """Draw what passes while the shutter is open.

        The instants are spread evenly over the exposure, so close that no gaps are seen
        in the blur (:data:`SUB_FRAME_STEP`). Their number is odd, the middle one is
        ``time``.

        Args:
            time (float): Middle of the exposure.
            exposure (float): How long the shutter is open, in frames.

        Yields:
            np.ndarray: uint8 RGB of shape (sH, sW, 3).
        """
        step_length = SUB_FRAME_STEP * self.scale
        number = max(3, ceil(self._longest_path(time, exposure) / step_length) | 1)
        for step in range(-(number // 2), number // 2 + 1):
            yield self.render(time + exposure * step / number)

    def visible_layers(self, time: float) -> np.ndarray:
        """Tell which layer fills most of each LR pixel.

        Returns:
            np.ndarray: Indices of layers, int of shape (H, W).
        """
        height, width = self.hr_size
        light = np.ones((height, width), np.float32)
        shares = []
        for layer in reversed(self.layers):
            share = light
            if layer.mask is not None:
                to_frame = self._to_frame(layer, time)
                region = (0, 0, height, width)
                share = light * _warp(layer.mask, to_frame, region, cv2.BORDER_CONSTANT)
            light = light - share
            shares.append(
                cv2.resize(share, self.size[::-1], None, 0, 0, cv2.INTER_AREA)
            )
        return np.argmax(shares[::-1], axis=0)

    def flow(self, time: float) -> np.ndarray:
        """Flow from the frame at time 0 to that at another time.

        It is that of the layer that is visible at time 0, also where it is hidden or
        out of the frame at the other time.

        Returns:
            np.ndarray: float32 of shape (H, W, 2), x then y, in LR pixels.
        """
        moves = np.stack([self._pose(layer, time) for layer in self.layers])
        moves = (moves - np.eye(3))[:, :2] / self.scale
        # The middle of an LR pixel lies between HR pixels.
        rows, columns = (
            self.scale * np.arange(side) + (self.scale - 1) / 2 for side in self.size
        )
        at_pixel = moves[self._visible_at_centre]
        return (
            at_pixel[..., 0] * columns[:, None]
            + at_pixel[..., 1] * rows[:, None, None]
            + at_pixel[..., 2]
        ).astype(np.float32)

    @cached_property
    def _visible_at_centre(self) -> np.ndarray:
        return self.visible_layers(0)

    def _scaled(self, factor: float) -> 'Scene':
        layers = [
            replace(layer, trajectory=layer.trajectory.scaled(factor))
            for layer in self.layers
        ]
        scene = replace(self, layers=layers, camera=self.camera.scaled(factor))
        # Nothing moves at time 0.
        scene.__dict__['_visible_at_centre'] = self._visible_at_centre
        return scene

    def _pose(self, layer: Layer, time: float) -> np.ndarray:
        """Matrix from the frame at time 0 to the frame at another time."""
        return self.camera.pose(time) @ layer.trajectory.pose(time)

    def _to_frame(self, layer: Layer, time: float) -> np.ndarray:
        return self._pose(layer, time) @ layer.placement

    def _longest_path(self, time: float, exposure: float) -> float:
        """Longest way of a layer's corner during an exposure, in HR pixels."""
        times = time + exposure * np.linspace(-0.5, 0.5, _PATH_POINTS)
        return max(
            np.linalg.norm(np.diff(places, axis=0), axis=1).sum(0).max()
            for places in (
                [(self._to_frame(layer, t) @ layer.corners())[:2] for t in times]
                for layer in self.layers
            )
        )

    def _draw(self, piece: Layer, time: float, frame: np.ndarray) -> None:
        """Lay a piece over the frame, where it is in it."""
        to_frame = self._to_frame(piece, time)
        corners = (to_frame @ piece.corners())[:2]
        left, top = np.floor(corners.min(1)).astype(int).clip(0)
        right, bottom = np.ceil(corners.max(1)).astype(int) + 1
        part = frame[top : max(bottom, 0), left : max(right, 0)]
        if not part.size:
            return
        region = (top, left, *part.shape[:2])
        colour = _warp(piece.image, to_frame, region, cv2.BORDER_REFLECT_101)
        opacity = _warp(piece.mask, to_frame, region, cv2.BORDER_CONSTANT)
        part[:] = cv2.blendLinear(
            colour, np.ascontiguousarray(part), opacity, 1 - opacity
        )


def similarity(
    angle: float, zoom: float, origin: Sequence[float], target: Sequence[float]
) -> np.ndarray:
    """Matrix (3, 3) that turns and enlarges about ``origin``, which goes to ``target``.

    Args:
        angle (float): In radians, from x to y.
        zoom (float): Ratio of the sizes.
        origin (Sequence[float]): Place (x, y).
        target (Sequence[float]): Where that goes to.
    """
    c, s = zoom * cos(angle), zoom * sin(angle)
    x, y = target - np.array([[c, -s], [s, c]]) @ origin
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1]])


def _warp(
    image: np.ndarray,
    to_frame: np.ndarray,
    region: tuple[int, int, int, int],
    border: int,
) -> np.ndarray:
    """Bring an image to a region (top, left, height, width) of the frame."""
    top, left, height, width = region
    from_region = np.linalg.inv(to_frame) @ similarity(0, 1, (0, 0), (left, top))
    return cv2.warpAffine(
        image,
        from_region[:2],
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
