"""The usual colours of optical flow: hue is direction, saturation is length."""

import numpy as np

UNKNOWN = 1e6
"""Components of the flow beyond this are invalid, and shown in black."""

# Between two colours, the number of steps, and the channels that are full and change.
_TRANSITIONS = (
    (15, 0, 1),  # red to yellow
    (6, 1, 0),  # yellow to green
    (4, 1, 2),  # green to cyan
    (11, 2, 1),  # cyan to blue
    (13, 2, 0),  # blue to magenta
    (6, 0, 2),  # magenta to red
)


def flow_to_rgb(flow: np.ndarray) -> np.ndarray:
    """Colour a flow by Middlebury's wheel.

    Args:
        flow (np.ndarray): (H, W, 2), x then y, in pixels.

    Returns:
        np.ndarray: (H, W, 3), RGB in [0, 1]. The longest vector is fully saturated,
        zero is white, invalid vectors (NaN or beyond :data:`UNKNOWN`) are black.

    Raises:
        ValueError: If the flow has another shape.
    """
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(f'flow must have shape (H, W, 2), got {flow.shape}')
    invalid = (np.isnan(flow) | (np.abs(flow) > UNKNOWN)).any(-1)
    vectors = np.where(invalid[..., None], 0, flow)
    longest = _length(vectors).max(initial=0)
    if longest > np.finfo(float).eps:
        vectors = vectors / longest
    length = _length(vectors)
    wheel = _colour_wheel()
    turn = (np.arctan2(-vectors[..., 1], -vectors[..., 0]) / np.pi + 1) / 2
    place = turn * (len(wheel) - 1)
    before = np.floor(place).astype(int)
    share = (place - before.astype(np.float32))[..., None]
    colours = (1 - share) * wheel[before] + share * wheel[(before + 1) % len(wheel)]
    # Rounding can make the longest vector slightly longer than 1.
    inside = (length <= 1)[..., None]
    colours = np.where(inside, 1 - length[..., None] * (1 - colours), 0.75 * colours)
    colours[invalid] = 0
    return colours


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(vectors[..., 0] ** 2 + vectors[..., 1] ** 2)


def _colour_wheel() -> np.ndarray:
    """The colours, one for each of 55 directions, (55, 3)."""
    parts = []
    for number, (steps, full, changing) in enumerate(_TRANSITIONS):
        ramp = np.arange(steps) / steps
        part = np.zeros((steps, 3), np.float32)
        part[:, full] = 1
        part[:, changing] = 1 - ramp if number % 2 else ramp
        parts.append(part)
    return np.concatenate(parts)
