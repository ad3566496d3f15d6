"""What the models of all stages share."""

from torch import Tensor

EXPOSURE = dict(type='ExposureExtractor')
"""Config of the exposure extractor, unless a model's config says otherwise."""


def check_clip(inputs: Tensor) -> None:
    """Raise a ValueError unless ``inputs`` are clips, (N, T, 3, H, W)."""
    if inputs.dim() != 5 or inputs.size(2) != 3 or 0 in inputs.shape:
        raise ValueError(
            f'expected clips (N, T, 3, H, W) of at least one frame, '
            f'got {tuple(inputs.shape)}'
        )


def both_neighbours(pairs: Tensor) -> Tensor:
    """Leave out what belongs to the neighbours beyond the ends of a clip.

    Args:
        pairs (Tensor): Of the previous and the following neighbour of each frame,
            (N, T, 2, ...).

    Returns:
        Tensor: Those that exist, (N, 2T - 2, ...), in the order of the frames.
    """
    return pairs.flatten(1, 2)[:, 1:-1]
