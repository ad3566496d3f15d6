import pytest
import torch
import torch.nn.functional as F

from fmanet_mm.ops import (
    by_strips,
    fast_strip_rows,
    fast_strips,
    frame_rows,
    multi_flow_warp,
    split_groups,
    split_rows,
    strips,
    warp_groups,
)


def rows_of(parts):
    return [(part.begin, part.top, part.bottom, part.end) for part in parts]


@torch.no_grad()
def test_strips_bring_their_surroundings_but_not_more_than_there_is():
    with strips(4):
        assert rows_of(split_rows(10, halo=2)) == [
            (0, 0, 4, 6),
            (2, 4, 8, 10),
            (6, 8, 10, 10),
        ]
        assert rows_of(split_rows(4, halo=2)) == [(0, 0, 4, 4)]
    assert rows_of(split_rows(10, halo=2)) == [(0, 0, 10, 10)]
    assert len(split_rows(10, halo=2, max_rows=5)) == 2
    with strips(2):
        assert len(split_rows(10, halo=2, max_rows=5)) == 5


@pytest.mark.parametrize(
    ('size', 'device', 'rows'),
    [
        ((180, 320), 'cpu', 40),
        ((720, 1280), 'cpu', 24),
        ((40, 320), 'cpu', None),
        ((180, 320), 'cuda', None),
    ],
)
def test_the_fastest_strips_hold_so_many_pixels(size, device, rows):
    assert fast_strip_rows(*size, torch.device(device)) == rows


def test_the_fastest_strips_are_taken_where_nothing_else_is_said():
    frames = torch.empty(30, 600)
    with torch.no_grad():
        with fast_strips(frames):
            assert [part.bottom for part in split_rows(30, halo=2)] == [24, 30]
        with strips(20), fast_strips(frames):
            assert [part.bottom for part in split_rows(30, halo=2)] == [20, 30]
    with fast_strips(frames):
        assert len(split_rows(30, halo=2)) == 1


@torch.no_grad()
def test_the_first_strips_alone_show_what_they_take():
    with strips(4, at_most=2):
        assert rows_of(split_rows(10, halo=2)) == [(0, 0, 4, 6), (2, 4, 8, 10)]
    with strips(4, at_most=1):
        assert by_strips(torch.ones_like, torch.rand(1, 10, 5), halo=2).shape[1] == 10


def test_whole_frames_where_gradients_are_recorded():
    with strips(4):
        assert len(split_rows(10, halo=2)) == 1


@pytest.mark.parametrize('rows', [1, 2, 5, 7, 100])
@torch.no_grad()
def test_convolution_by_strips_is_exact(rows):
    x = torch.rand(2, 3, 7, 5, dtype=torch.float64)
    first, second = (torch.rand(3, 3, 3, 3, dtype=torch.float64) for _ in range(2))

    def function(x):
        return F.conv2d(F.conv2d(x, first, padding=1).relu(), second, padding=1)

    with strips(rows):
        out = by_strips(function, x, halo=2)
        too_little = by_strips(function, x, halo=1)
    torch.testing.assert_close(out, function(x), rtol=1e-12, atol=1e-12)
    assert rows >= 7 or not torch.allclose(too_little, function(x))


@torch.no_grad()
def test_output_may_be_larger_and_inputs_many():
    x, y = torch.rand(1, 4, 9, 5), torch.rand(9, 1)
    with strips(2):
        out = by_strips(lambda x, y: F.pixel_shuffle(x * y, 2), x, y, halo=0, scale=2)
    torch.testing.assert_close(out, F.pixel_shuffle(x * y, 2))
    assert out.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_strips_are_not_cut_again():
    heights = []

    def inner(x):
        heights.append(x.size(-2))
        return x

    with strips(3):
        by_strips(lambda x: by_strips(inner, x, halo=1), torch.rand(1, 1, 7, 2), halo=1)
    assert heights == [4, 5, 2]


@torch.no_grad()
def test_warp_reads_the_whole_frame_for_each_strip():
    x = torch.rand(2, 4, 9, 8, dtype=torch.float64)
    flow_masks = 4 * torch.randn(2, 6, 9, 8, dtype=torch.float64)
    groups = split_groups(x, 2)
    with strips(2):
        out = by_strips(
            lambda flow_masks, rows: warp_groups(groups, flow_masks, rows),
            flow_masks,
            frame_rows(x),
            halo=0,
        )
    torch.testing.assert_close(out, multi_flow_warp(x, flow_masks))


@torch.no_grad()
def test_strips_end_with_their_context_and_must_have_rows():
    with pytest.raises(RuntimeError), strips(1):
        raise RuntimeError
    assert len(split_rows(10, halo=0)) == 1
    with pytest.raises(ValueError, match='at least 1 row, got 0'), strips(0):
        pass
