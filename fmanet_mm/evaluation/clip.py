"""Measuring the frames of one clip as they arrive."""

from dataclasses import dataclass, field

import numpy as np

from .measures import KeptFrame, Measures


@dataclass
class ClipMeasurement:
    """Measured values of a clip.

    Frames may arrive in any order and from several processes. A frame is dropped once
    both neighbours are measured.

    Attributes:
        values (dict[int, dict[str, float]]): Values by the frame's place in the clip,
            then by the measure's name. Those of a pair belong to its second frame.
    """

    values: dict[int, dict[str, float]] = field(default_factory=dict)
    _pairs: set[int] = field(default_factory=set)
    _waiting: dict[int, KeptFrame] = field(default_factory=dict)

    def add(
        self,
        place: int,
        output: np.ndarray,
        target: np.ndarray,
        measures: Measures,
        scene: np.ndarray | None = None,
    ) -> None:
        """Measure a frame and the pairs that it completes, unless already measured.

        Args:
            place (int): Place of the frame in the clip; consecutive frames have
                consecutive places.
            output (np.ndarray): uint8 RGB image of shape (H, W, 3).
            target (np.ndarray): The ground truth.
            measures (Measures): The measures to take.
            scene (np.ndarray, optional): uint8 RGB image of any size in which motion is
                measured; by default the target.

        Raises:
            ValueError: If the shapes differ or are too small.
        """
        if place in self.values:
            return
        if output.shape != target.shape:
            raise ValueError(
                f'the output has (H, W) = {output.shape[:2]}, but its target has '
                f'{target.shape[:2]}; both must have one size'
            )
        self.values[place] = measures.of_frame(output, target)
        if measures.needs_pairs:
            self._waiting[place] = measures.keep(output, target, scene)
            self._measure_pairs((place, place + 1), measures)
            for neighbour in (place - 1, place, place + 1):
                if {neighbour - 1, neighbour + 1} <= self.values.keys():
                    self._waiting.pop(neighbour, None)

    def finish(self) -> None:
        """Release the frames that wait for neighbours beyond the ends of the clip."""
        self._waiting.clear()

    def merge(self, other: 'ClipMeasurement', measures: Measures) -> None:
        """Add the values that another process measured on the same clip."""
        for place, values in other.values.items():
            self.values.setdefault(place, {}).update(values)
        self._pairs |= other._pairs
        self._waiting |= other._waiting
        self._measure_pairs(sorted(self._waiting), measures)

    def _measure_pairs(self, places, measures: Measures) -> None:
        """Measure the pairs that end at these places, if both frames are known."""
        for place in places:
            ends = self._waiting.get(place - 1), self._waiting.get(place)
            if place not in self._pairs and all(ends):
                self.values[place].update(measures.of_pair(*ends))
                self._pairs.add(place)
