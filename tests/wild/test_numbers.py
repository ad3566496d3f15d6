"""Networks whose numbers are not finite."""

import os

import numpy as np
import pytest
import torch
from helpers import moving_images, read_clip, tiny_network, write_folder
from torch import nn

from fmanet_mm.cli.restore_video import main
from fmanet_mm.restoration import (
    NotFiniteError,
    SequenceRestorer,
    StreamingRestorer,
    VideoRestorer,
)
from fmanet_mm.restoration.adapters import WindowFunction


class Overflowing(nn.Module):
    """Doubles the centre of a window, and overflows in half precision if told to."""

    def __init__(self, bad_value=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.bad_value = bad_value

    def forward(self, window):
        large = window[:, window.size(1) // 2] * self.weight
        if torch.is_autocast_enabled('cpu'):
            large = large * float('inf')
        if self.bad_value is not None:
            is_bad = (window[:, window.size(1) // 2, 0, 0, 0] * 255).round() == 99
            large = torch.where(is_bad, self.bad_value, large)
        return large.repeat_interleave(2, -1).repeat_interleave(2, -2)


def restore(network, images, dtype=None):
    function = WindowFunction(network, 3, 2)
    restorer = StreamingRestorer(function, autocast_dtype=dtype)
    return list(VideoRestorer(restorer).restore_frames(images))


def test_what_overflows_in_half_precision_is_computed_in_float32():
    images = moving_images(4)
    restored = restore(Overflowing(), images, torch.bfloat16)
    for image, output in zip(images, restored, strict=True):
        np.testing.assert_array_equal(output, image.repeat(2, 0).repeat(2, 1))


def test_so_are_clips_that_are_restored_at_once():
    class Sequence(nn.Module):
        weight = None

        def forward(self, clip):
            bad = float('nan') if torch.is_autocast_enabled('cpu') else 0
            return clip.repeat_interleave(2, -1).repeat_interleave(2, -2) + bad

    frames = [torch.rand(3, 8, 8) for _ in range(3)]
    restorer = SequenceRestorer(Sequence(), 2, autocast_dtype=torch.bfloat16)
    assert all(frame.isfinite().all() for frame in restorer.restore(frames))


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_a_frame_that_is_never_finite_is_named(value, dtype):
    images = [np.full((8, 8, 3), value, np.uint8) for value in (1, 2, 99, 3)]
    with pytest.raises(NotFiniteError, match='frame 2 cannot .* fp32 too.* checkpoint'):
        restore(Overflowing(value), images, dtype)


@pytest.mark.parametrize('dtype', ['fp32', 'bf16'])
@pytest.mark.parametrize('name', ['clip.mp4', 'clip'])
def test_the_command_stops_and_writes_nothing_black(
    tmp_path, config_file, make_clip, capsys, dtype, name
):
    weights = tiny_network().state_dict()
    weights['net_r.kernel_head.0.weight'] *= float('nan')
    torch.save(dict(state_dict=weights), tmp_path / 'nan.pth')
    arguments = [
        str(make_clip(name)), '--out', str(tmp_path / f'out_{name}'), '--dtype', dtype,
        '--config', config_file, '--checkpoint', str(tmp_path / 'nan.pth'),
        '--device', 'cpu',
    ]  # fmt: skip
    assert main(arguments) == 1
    assert f'frame 0 of {tmp_path / name} cannot be restored' in capsys.readouterr().err
    assert not list(tmp_path.glob('*out*'))


def test_what_is_done_is_kept_and_resumed(
    tmp_path, config_file, checkpoint, monkeypatch, capsys
):
    clip = write_folder(tmp_path / 'clip', moving_images(6))
    arguments = [
        str(clip), '--out', str(tmp_path / 'out'), '--config', config_file,
        '--checkpoint', checkpoint, '--device', 'cpu',
    ]  # fmt: skip
    restore = StreamingRestorer.restore

    def fail(self, frames):
        for number, frame in enumerate(restore(self, frames)):
            yield frame * (float('inf') if number == 4 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(StreamingRestorer, 'restore', fail)
        assert main(arguments) == 1
    error = capsys.readouterr().err
    assert 'frame 4 of' in error
    assert f'the finished part is kept as {tmp_path}/.out.partial, --resume' in error
    assert len(os.listdir(tmp_path / '.out.partial/images')) == 4
    assert main([*arguments, '--resume']) == 0
    assert len(read_clip(tmp_path / 'out')) == 6
