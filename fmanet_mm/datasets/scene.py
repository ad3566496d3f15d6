"""Scenes of moving layers, seen by a moving camera.

A layer is a flat piece of a photo. Its points move by similarity transforms, so that
the flow of visible pixels is known exactly. Positions are (x, y) in pixels of the HR
frame, whose centre is also the centre of camera rotations; time is counted in frames
from the middle of a window or clip.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, cos, exp, floor, inf, sin

import cv2
import numpy as np

OVERSAMPLING = 2
"""Factor by which layers are stored larger than in the frame.

Linear interpolation is then about as good as cubic, in a fifth of the time.
"""

SUB_FRAME_STEP = 0.75
"""Largest distance between sub-frames, in LR pixels.

The blurry LR frame is then within 3 levels of 255 of the limit of many sub-frames.
"""

# Sample points of a path per exposure.
_PATH_POINTS = 5
# Scaling the motion scales the flow, except rotation and zoom, which converge fast.
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
        swing (float): Largest time in frames, in either direction, that velocity and
            acceleration lead away from the start; the motion then reverses smoothly. In
            long clips objects thus stay near. By default they never turn back.
    """

    centre: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    waves: np.ndarray
    frequencies: np.ndarray
    phases: np.ndarray
    swing: float = inf

    def scaled(self, factor: float) -> 'Trajectory':
        """The same trajectory with all motion multiplied by ``factor``."""
        return replace(
            self,
            velocity=factor * self.velocity,
            acceleration=factor * self.acceleration,
            waves=factor * self.waves,
        )

    def pose(self, time: float) -> np.ndarray:
        """Matrix (3, 3) from positions at time 0 to positions at ``time``."""
        shake = np.sin(self.frequencies * time + self.phases) - np.sin(self.phases)
        if self.swing < inf:
            time = self.swing * sin(time / self.swing)
        x, y, angle, log_zoom = (
            self.velocity * time
            + self.acceleration * time**2 / 2
            + (self.waves * shake).sum(0)
        )
        return similarity(angle, exp(log_zoom), self.centre, self.centre + (x, y))


@dataclass(frozen=True)
class Layer:
    """A flat object in a scene.

    Args:
        image (np.ndarray): Its colours, uint8 RGB of shape (h, w, 3), mirrored beyond
            its borders. It is interpolated linearly, which blurs it unless it is larger
            than displayed; :data:`OVERSAMPLING` times is enough.
        mask (np.ndarray, optional): Its opacity in [0, 1], float32 of shape (h, w), 0
            at its borders and beyond. None is opaque everywhere.
        placement (np.ndarray): Matrix (3, 3) from positions in the image to positions
            in the frame at time 0.
        trajectory (Trajectory): Its motion in the scene.
    """

    image: np.ndarray
    mask: np.ndarray | None
    placement: np.ndarray
    trajectory: Trajectory

    def corners(self) -> np.ndarray:
        """Homogeneous positions of the image's corners, as columns (3, 4)."""
        bottom, right = (side - 1 for side in self.image.shape[:2])
        return np.array([(0, right, right, 0), (0, 0, bottom, bottom), (1, 1, 1, 1)])

    @cached_property
    def outline(self) -> np.ndarray:
        """Homogeneous positions around all that its mask shows, as columns (3, K).

        Beyond their convex hull even interpolated opacities are exactly 0.
        """
        if not self.mask.any():
            return self.corners()
        shown = cv2.copyMakeBorder(
            (self.mask > 0).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT
        )
        shown = cv2.dilate(shown, np.ones((3, 3), np.uint8))
        (rows,) = shown.any(1).nonzero()
        first, last = shown[rows].argmax(1), shown[rows, ::-1].argmax(1)
        ends = np.concatenate((first, shown.shape[1] - 1 - last))
        ends = np.stack((ends, np.concatenate((rows, rows))), axis=1)
        hull = cv2.convexHull(ends.astype(np.int32)).reshape(-1, 2).T - 1
        return np.vstack((hull, np.ones_like(hull[:1])))

    @cached_property
    def border_mode(self) -> int:
        """What OpenCV sees beyond the image; the fastest that no pixel shows."""
        borders = self.mask[[0, -1]].any() or self.mask[:, [0, -1]].any()
        return cv2.BORDER_REFLECT_101 if borders else cv2.BORDER_CONSTANT


@dataclass(frozen=True)
class Scene:
    """A stack of layers, the first opaque, and a camera.

    Args:
        layers (Sequence[Layer]): From back to front.
        camera (Trajectory): Motion of the complete picture, from the camera.
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
        """The same picture at time 0 with all motion scaled to a speed.

        Args:
            speed (float): Mean length of the flow to the two neighbouring frames, in
                LR pixels, over the frame.

        Returns:
            Scene: A scene with that speed, within 1 %.
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
        """Render the scene at an instant.

        Returns:
            np.ndarray: uint8 RGB of shape (sH, sW, 3).
        """
        background, *pieces = zip(self.layers, self._to_frame(time), strict=True)
        layer, to_frame = background
        size = self.hr_size[::-1]
        frame = _warp(
            layer.image, _to_image(to_frame, 0, 0), size, cv2.BORDER_REFLECT_101
        )
        for piece, to_frame in pieces:
            _render_piece(piece, to_frame, frame)
        return frame

    def sub_frames(self, time: float, exposure: float) -> Iterator[np.ndarray]:
        """Render the instants during which the shutter is open.

        They are spaced evenly over the exposure, close enough that the blur shows no
        gaps (:data:`SUB_FRAME_STEP`). Their number is odd; the middle one is ``time``.

        Args:
            time (float): Middle of the exposure.
            exposure (float): Time the shutter is open, in frames.

        Yields:
            np.ndarray: uint8 RGB of shape (sH, sW, 3).
        """
        step_length = SUB_FRAME_STEP * self.scale
        number = max(3, ceil(self._longest_path(time, exposure) / step_length) | 1)
        for step in range(-(number // 2), number // 2 + 1):
            yield self.render(time + exposure * step / number)

    def visible_layers(self, time: float) -> np.ndarray:
        """Find the layer that fills most of each LR pixel.

        Returns:
            np.ndarray: Indices of layers, int of shape (H, W).
        """
        height, width = self.hr_size
        light = np.ones((height, width), np.float32)
        shares = []
        matrices = self._to_frame(time)
        for layer, to_frame in zip(self.layers[::-1], matrices[::-1], strict=True):
            share = light
            if layer.mask is not None:
                to_image = _to_image(to_frame, 0, 0)
                share = light * _warp(
                    layer.mask, to_image, (width, height), cv2.BORDER_CONSTANT
                )
            light = light - share
            shares.append(
                cv2.resize(share, self.size[::-1], None, 0, 0, cv2.INTER_AREA)
            )
        return np.argmax(shares[::-1], axis=0)

    def flow(self, time: float) -> np.ndarray:
        """Flow from the frame at time 0 to the frame at ``time``.

        It is that of the layer visible at time 0, even where that is hidden or outside
        the frame at ``time``.

        Returns:
            np.ndarray: float32 of shape (H, W, 2), x then y, in LR pixels.
        """
        return self._flow_of(self._visible_at_centre, self._poses(time))

    def neighbour_flow(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Flow from the frame at ``time`` to the frames before and after it.

        It is that of the layer visible at ``time``, see :meth:`flow`.

        Returns:
            tuple[np.ndarray]: To the previous and to the next frame, each float32 of
            shape (H, W, 2), x then y, in LR pixels.
        """
        visible = self.visible_layers(time)
        back = np.linalg.inv(np.stack(self._poses(time)))
        previous, following = (
            self._flow_of(visible, np.stack(self._poses(other)) @ back)
            for other in (time - 1, time + 1)
        )
        return previous, following

    @cached_property
    def _visible_at_centre(self) -> np.ndarray:
        return self.visible_layers(0)

    def _flow_of(self, visible: np.ndarray, moves: Sequence[np.ndarray]) -> np.ndarray:
        """Flow where each pixel moves with its layer."""
        shifts = (np.stack(moves) - np.eye(3))[:, :2] / self.scale
        # The centre of an LR pixel is between HR pixels.
        rows, columns = (
            self.scale * np.arange(side) + (self.scale - 1) / 2 for side in self.size
        )
        at_pixel = shifts[visible]
        return (
            at_pixel[..., 0] * columns[:, None]
            + at_pixel[..., 1] * rows[:, None, None]
            + at_pixel[..., 2]
        ).astype(np.float32)

    def _scaled(self, factor: float) -> 'Scene':
        layers = [
            replace(layer, trajectory=layer.trajectory.scaled(factor))
            for layer in self.layers
        ]
        scene = replace(self, layers=layers, camera=self.camera.scaled(factor))
        # Nothing moves at time 0.
        scene.__dict__['_visible_at_centre'] = self._visible_at_centre
        return scene

    def _poses(self, time: float) -> list[np.ndarray]:
        """For each layer the matrix from the frame at time 0 to that at ``time``."""
        camera = self.camera.pose(time)
        return [camera @ layer.trajectory.pose(time) for layer in self.layers]

    def _to_frame(self, time: float) -> list[np.ndarray]:
        """For each layer the matrix from its image to the frame at ``time``."""
        poses = zip(self._poses(time), self.layers, strict=True)
        return [pose @ layer.placement for pose, layer in poses]

    def _longest_path(self, time: float, exposure: float) -> float:
        """Longest path of a layer's corner during an exposure, in HR pixels."""
        times = time + exposure * np.linspace(-0.5, 0.5, _PATH_POINTS)
        matrices = zip(*map(self._to_frame, times), strict=True)
        return max(
            np.linalg.norm(np.diff(places, axis=0), axis=1).sum(0).max()
            for places in (
                [(to_frame @ layer.corners())[:2] for to_frame in of_layer]
                for layer, of_layer in zip(self.layers, matrices, strict=True)
            )
        )


def _render_piece(piece: Layer, to_frame: np.ndarray, frame: np.ndarray) -> None:
    """Blend a piece over the part of the frame that it covers."""
    left, top, right, bottom = _bounds(to_frame @ piece.corners())
    shown = _bounds(to_frame @ piece.outline)
    first_x, first_y = max(left, shown[0]), max(top, shown[1])
    part = frame[first_y : min(bottom, shown[3]), first_x : min(right, shown[2])]
    if not part.size:
        return
    # Warps begin at the first pixel of the image, since positions are rounded from
    # there on, and end at the last one that is shown.
    from_region = _to_image(to_frame, left, top)
    skipped_y, skipped_x = first_y - top, first_x - left
    size = skipped_x + part.shape[1], skipped_y + part.shape[0]
    colour, opacity = (
        np.ascontiguousarray(
            _warp(image, from_region, size, border)[skipped_y:, skipped_x:]
        )
        for image, border in (
            (piece.image, piece.border_mode),
            (piece.mask, cv2.BORDER_CONSTANT),
        )
    )
    part[:] = cv2.blendLinear(colour, np.ascontiguousarray(part), opacity, 1 - opacity)


def _bounds(positions: np.ndarray) -> tuple[int, int, int, int]:
    """Pixels (left, top, right, bottom) around positions, without negative ones."""
    x, y = positions[:2]
    first, end = (x.min(), y.min()), (x.max(), y.max())
    return *(max(floor(p), 0) for p in first), *(max(ceil(p) + 1, 0) for p in end)


def similarity(
    angle: float, zoom: float, origin: Sequence[float], target: Sequence[float]
) -> np.ndarray:
    """Matrix (3, 3) that rotates and scales about ``origin``, moved to ``target``.

    Args:
        angle (float): In radians, from x to y.
        zoom (float): Ratio of the sizes.
        origin (Sequence[float]): Position (x, y).
        target (Sequence[float]): New position of the origin.
    """
    c, s = zoom * cos(angle), zoom * sin(angle)
    x, y = target - np.array([[c, -s], [s, c]]) @ origin
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1]])


def _to_image(to_frame: np.ndarray, left: int, top: int) -> np.ndarray:
    """Matrix (2, 3) from a region of the frame, which begins there, to an image."""
    return (np.linalg.inv(to_frame) @ similarity(0, 1, (0, 0), (left, top)))[:2]


def _warp(
    image: np.ndarray, from_region: np.ndarray, size: tuple[int, int], border: int
) -> np.ndarray:
    """Warp an image to a region of (width, height) pixels."""
    return cv2.warpAffine(
        image,
        from_region,
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
