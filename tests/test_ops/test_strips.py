import pytest
import torch
import torch.nn.functional as F

from fmanet_mm.ops import WHOLE_FRAMES, Strips, frame_rows, split_groups, warp_groups


def rows_of(parts):
    return [(part.begin, part.top, part.bottom, part.end) for part in parts]


@torch.no_grad()
def test_strips_bring_their_surroundings_but_not_more_than_there_is():
    assert rows_of(Strips(4).split(10, halo=2)) == [
        (0, 0, 4, 6),
        (2, 4, 8, 10),
        (6, 8, 10, 10),
    ]
    assert rows_of(Strips(4).split(4, halo=2)) == [(0, 0, 4, 4)]
    assert rows_of(WHOLE_FRAMES.split(10, halo=2)) == [(0, 0, 10, 10)]
    assert len(WHOLE_FRAMES.split(10, halo=2, max_rows=5)) == 2
    assert len(Strips(2).split(10, halo=2, max_rows=5)) == 5


@pytest.mark.parametrize(
    ('size', 'device', 'rows'),
    [
        ((180, 320), 'cpu', 40),
        ((720, 1280), 'cpu', 24),
        ((40, 320), 'cpu', None),
        ((180, 320), 'cuda', None),
    ],
)
def test_the_fastest_strips_fit_the_caches_of_a_cpu(size, device, rows):
    assert Strips.fastest(*size, torch.device(device)) == Strips(rows)


def test_strips_are_halved_until_they_are_mostly_surroundings():
    assert WHOLE_FRAMES.halved(33) == Strips(17)
    assert Strips(17).halved(33) == Strips(9)
    assert Strips(9).halved(33) is None


def test_strips_must_have_rows():
    with pytest.raises(ValueError, match='at least 1 row, got 0'):
        Strips(0)


def test_frames_stay_whole_where_gradients_are_recorded():
    assert len(Strips(4).split(10, halo=2)) == 1


@pytest.mark.parametrize('rows', [1, 2, 5, 7, 100])
@torch.no_grad()
def test_convolution_by_strips_is_exact(rows):
    x = torch.rand(2, 3, 7, 5, dtype=torch.float64)
    first, second = (torch.rand(3, 3, 3, 3, dtype=torch.float64) for _ in range(2))

    def function(x):
        return F.conv2d(F.conv2d(x, first, padding=1).relu(), second, padding=1)

    out = Strips(rows).map(function, x, halo=2)
    too_little = Strips(rows).map(function, x, halo=1)
    torch.testing.assert_close(out, function(x), rtol=1e-12, atol=1e-12)
    assert rows >= 7 or not torch.allclose(too_little, function(x))


@torch.no_grad()
def test_output_may_be_larger_and_inputs_many():
    x, y = torch.rand(1, 4, 9, 5), torch.rand(9, 1)
    out = Strips(2).map(lambda x, y: F.pixel_shuffle(x * y, 2), x, y, halo=0, scale=2)
    torch.testing.assert_close(out, F.pixel_shuffle(x * y, 2))
    assert out.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_warp_reads_the_whole_frame_for_each_strip():
    x = torch.rand(2, 4, 9, 8, dtype=torch.float64)
    flow_masks = 4 * torch.randn(2, 6, 9, 8, dtype=torch.float64)
    groups = split_groups(x, 2)
    out = Strips(2).map(
        lambda flow_masks, rows: warp_groups(groups, flow_masks, rows),
        flow_masks,
        frame_rows(x),
        halo=0,
    )
    torch.testing.assert_close(out, warp_groups(groups, flow_masks))
