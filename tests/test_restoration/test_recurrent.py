"""Recurrent networks: a state that is carried along a clip, and not further."""

import numpy as np
import pytest
import torch
from helpers import (
    interrupt_at,
    noise_images,
    read_clip,
    same_files,
    two_shots,
    write_folder,
)
from torch import nn

from fmanet_mm.ops import Strips
from fmanet_mm.ops.live_bytes import LiveBytes
from fmanet_mm.restoration import (
    RecurrentRestorer,
    RestoreOptions,
    Resume,
    VideoRestorer,
)
from fmanet_mm.restoration.memory import recurrent_peak_bytes


class Running(nn.Module):
    """Enlarges the mean of a frame and what was restored before it; notes sizes."""

    scale = 2

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), 0.5))
        self.calls = []

    def step(self, frame, state, strips):
        if not frame.is_meta:
            self.calls.append((tuple(frame.shape[2:]), strips.rows))
        (last,) = state or (frame,)
        mean = strips.map(
            lambda a, b: torch.cat([self.weight * (a + b)] * 50).mean(0, True),
            *(frame, last),
            halo=0,
        )
        return mean.repeat_interleave(2, -1).repeat_interleave(2, -2), (mean,)


def plain(frames):
    """Its formula."""
    mean = frames[0]
    for frame in frames:
        mean = 0.5 * (frame + mean)
        yield mean.repeat_interleave(2, 2).repeat_interleave(2, 1)


def clip_of(num_frames, size=(9, 13)):
    return torch.rand(num_frames, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ('multiple', 'padded'), [(1, (9, 13)), (4, (12, 16)), (8, (16, 16))]
)
def test_the_state_is_carried_along_a_clip_of_any_size(multiple, padded):
    network, frames = Running(), clip_of(4)
    restorer = RecurrentRestorer(network, multiple=multiple)
    assert (restorer.context, restorer.scale) == (None, 2)
    for _ in range(2):  # the second clip begins without a state
        restored = torch.stack(list(restorer.restore(frames)))
        torch.testing.assert_close(restored, torch.stack(list(plain(frames))))
    assert network.calls == 8 * [(padded, None)]
    assert list(restorer.restore([])) == []


def test_frames_are_taken_one_by_one():
    taken = []

    def frames():
        for index, frame in enumerate(clip_of(3)):
            taken.append(index)
            yield frame

    for index, _ in enumerate(RecurrentRestorer(Running()).restore(frames())):
        assert taken[-1] == index


def test_nothing_is_carried_over_a_cut(tmp_path):
    dark, bright = two_shots()
    clip = write_folder(tmp_path / 'clip', dark + bright)
    restorer = VideoRestorer(RecurrentRestorer(Running()))
    restorer.restore_video(clip, tmp_path / 'out')
    expected = [
        image for shot in (dark, bright) for image in restorer.restore_frames(shot)
    ]
    np.testing.assert_array_equal(read_clip(tmp_path / 'out'), expected)


@pytest.mark.parametrize('number', [1, 4])
def test_a_resumed_run_has_the_state_of_one_that_was_not_interrupted(tmp_path, number):
    clip = write_folder(tmp_path / 'clip', noise_images(5))
    restorer = VideoRestorer(RecurrentRestorer(Running()))
    restorer.restore_video(clip, tmp_path / 'whole')
    keep = RestoreOptions(resume=Resume(keep_partial=True))
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_video(clip, tmp_path / 'out', keep, interrupt_at(number))
    resume = RestoreOptions(resume=Resume(enabled=True))
    restorer.restore_video(clip, tmp_path / 'out', resume)
    assert same_files(tmp_path / 'out', tmp_path / 'whole')


def test_a_memory_budget_is_kept_by_strips():
    frames = clip_of(2, (64, 16))
    whole = RecurrentRestorer(Running()).peak_bytes(64, 16)
    budget = 0.5 * whole / 2**30
    restorer = RecurrentRestorer(Running(), memory_budget=budget)
    restored = torch.stack(list(restorer.restore(frames)))
    torch.testing.assert_close(restored, torch.stack(list(plain(frames))))
    assert {rows for _, rows in restorer.network.calls} == {16}
    assert restorer.peak_bytes(64, 16) < budget * 2**30


@pytest.mark.parametrize('rows', [None, 8])
def test_the_estimate_is_what_steps_take(rows):
    network, state = Running(), None
    with torch.no_grad(), LiveBytes() as tensors:
        for _ in range(3):
            state = network.step(torch.rand(1, 3, 64, 16), state, Strips(rows))[1]
    assert recurrent_peak_bytes(network, 64, 16, Strips(rows)) == pytest.approx(
        tensors.peak, rel=0.05
    )


def test_a_state_that_overflows_in_half_precision_is_computed_again():
    class Overflowing(nn.Module):
        scale = 1
        dtypes = ()

        def step(self, frame, state, strips):
            is_half = torch.is_autocast_enabled('cpu')
            if not frame.is_meta:
                self.dtypes += (None if state is None else state[0].dtype, is_half)
            state = frame.new_full((1,), torch.inf if is_half else 1)
            return frame, (state.bfloat16(),)

    network = Overflowing()
    restorer = RecurrentRestorer(network, autocast_dtype=torch.bfloat16)
    assert len(list(restorer.restore(clip_of(2)))) == 2
    first = (None, True, None, False)
    assert network.dtypes == (*first, torch.bfloat16, True, torch.float32, False)
    assert not torch.is_autocast_enabled('cpu')


def test_a_frame_that_does_not_fit_is_named():
    restorer = RecurrentRestorer(Running(), min_size=8)
    with pytest.raises(ValueError, match=r'frame 2 is \(3, 9, 14\)'):
        list(restorer.restore([*clip_of(2), *clip_of(1, (9, 14))]))
    with pytest.raises(ValueError, match='Running needs frames of at least 8x8'):
        list(restorer.restore(clip_of(1, (7, 9))))


def test_other_networks_and_budgets_are_refused():
    with pytest.raises(ValueError, match='Linear carries no state .* WindowRestorer'):
        RecurrentRestorer(nn.Linear(1, 1))
    with pytest.raises(ValueError, match='memory_budget must be a positive'):
        RecurrentRestorer(Running(), memory_budget=0)
