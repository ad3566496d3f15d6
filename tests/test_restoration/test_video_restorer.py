import os
from collections import Counter
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from fmanet_mm.apis import EndedEarlyError, StreamingRestorer, VideoRestorer
from fmanet_mm.export import export_network
from fmanet_mm.restoration.images import to_image, to_tensor
from fmanet_mm.restoration.video_restorer import find_config, load_model
from fmanet_mm.utils import config_root
from fmanet_mm.video.limits import Limits
from fmanet_mm.video.options import ReadOptions
from fmanet_mm.video.reader import open_frames


@pytest.fixture
def restorer(config_file, checkpoint):
    return VideoRestorer(config_file, checkpoint, 'cpu')


@pytest.fixture
def expected(restorer):
    """What the network gives for the frames of a shot."""

    def restore(images):
        inputs = map(to_tensor, images)
        return list(StreamingRestorer(restorer.model).restore(inputs))

    return restore


def make_images(num_frames, size=(9, 13), seed=0, dtype=np.uint8):
    generator = np.random.default_rng(seed)
    shape = (num_frames, *size, 3)
    return list(generator.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True))


def make_folder(path, images):
    path.mkdir()
    for index, image in enumerate(images):
        cv2.imwrite(str(path / f'{index:04d}.png'), image[..., ::-1])
    return path


def two_shots():
    """Noise on a dark, then on a bright ground."""
    dark = [image // 4 for image in make_images(5)]
    bright = [image // 4 + 190 for image in make_images(4, seed=1)]
    return dark, bright


# Frames


def test_restores_frames_as_the_network_does(restorer, expected):
    images = make_images(4)
    restored = list(restorer.restore_frames(images))
    assert len(restored) == 4
    for image, tensor in zip(restored, expected(images), strict=True):
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, to_image(tensor))


@pytest.mark.parametrize('num_frames', [1, 2])
def test_short_clips_give_every_frame(restorer, num_frames):
    assert len(list(restorer.restore_frames(make_images(num_frames)))) == num_frames


def test_16_bits_stay_16_bits(restorer, expected):
    images = make_images(3, dtype=np.uint16)
    restored = list(restorer.restore_frames(images))
    for image, tensor in zip(restored, expected(images), strict=True):
        assert image.dtype == np.uint16
        exact = 65535 * tensor.clamp(0, 1).permute(1, 2, 0).double().numpy()
        assert np.abs(image - exact).max() < 0.51
    assert any((image % 257).any() for image in restored)


def test_takes_frames_when_they_are_needed(restorer):
    taken = 0

    def source():
        nonlocal taken
        for image in make_images(6):
            taken += 1
            yield image

    restored = restorer.restore_frames(source())
    for index in range(6):
        next(restored)
        assert taken == min(index + 2, 6)


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((9, 13), np.uint8),
        np.zeros((9, 13, 4), np.uint8),
        np.zeros((9, 13, 3), np.float32),
    ],
)
def test_names_a_frame_that_is_none(restorer, image):
    with pytest.raises(ValueError, match=r'frame 0 must be \(H, W, 3\) of uint8'):
        list(restorer.restore_frames([image]))


@pytest.mark.parametrize(('scale', 'size'), [(1.5, (14, 20)), (2, (18, 26))])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_scale_shrinks_what_the_network_gives(restorer, expected, scale, size, dtype):
    images = make_images(2, dtype=dtype)
    restored = list(restorer.restore_frames(images, scale))
    for image, tensor in zip(restored, expected(images), strict=True):
        assert image.shape == (*size, 3)
        whole = tensor.permute(1, 2, 0).numpy()
        smaller = cv2.resize(whole, size[::-1], interpolation=cv2.INTER_AREA)
        target = np.iinfo(dtype).max * smaller.clip(0, 1)
        assert np.abs(image - target).max() < 0.51


@pytest.mark.parametrize('scale', [0.5, 1, 2.5])
def test_refuses_sizes_that_the_network_does_not_give(restorer, scale):
    with pytest.raises(ValueError, match=f'above 1 and at most 2, .* got {scale}'):
        restorer.restore_frames([], scale)


# The network


def test_half_precision_is_near_and_does_not_leak(config_file, checkpoint, expected):
    images = make_images(3)
    half = VideoRestorer(config_file, checkpoint, 'cpu', 'bf16')
    differences = []
    for image, tensor in zip(
        half.restore_frames(images), expected(images), strict=True
    ):
        assert not torch.is_autocast_enabled('cpu')
        assert not torch.is_inference_mode_enabled()
        assert image.dtype == np.uint8
        differences.append(np.abs(image.astype(int) - to_image(tensor)))
    assert 0 < np.max(differences)
    assert np.mean(differences) < 2


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(dtype='fp16'), 'fp16 needs a GPU'),
        (dict(dtype='fp8'), r"one of \['fp32', 'bf16', 'fp16'\], got 'fp8'"),
        (dict(device='tpu9'), "there is no device 'tpu9'"),
        (dict(memory_budget=0), 'memory_budget must be a positive'),
        (dict(checkpoint=None), 'no checkpoint was given'),
        (dict(config=None), 'stage2.pth does not describe its network'),
    ],
)
def test_bad_arguments_are_named(config_file, checkpoint, arguments, message):
    given = dict(config=config_file, checkpoint=checkpoint, device='cpu') | arguments
    with pytest.raises(ValueError, match=message):
        VideoRestorer(**given)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there_is_named(config_file, checkpoint):
    with pytest.raises(ValueError, match='there is no GPU for device cuda:1'):
        VideoRestorer(config_file, checkpoint, 'cuda:1')


@pytest.mark.parametrize('name', ['fmanet_s_stage2', 'fmanet_s_stage2.py'])
def test_finds_the_configs_of_the_project(name):
    assert find_config(name) == config_root() / 'fmanet_s_stage2.py'


@pytest.mark.parametrize('name', ['absent', 'absent/fmanet_stage2.py'])
def test_names_a_missing_config_and_those_there_are(name):
    with pytest.raises(FileNotFoundError, match=f'{name}; .*fmanet_s_stage2'):
        find_config(name)


def test_configs_need_no_scope(make_config, checkpoint):
    """Some parts of a model are known to MMagic only, not to MMEngine."""
    config = make_config()
    config.model.data_preprocessor = dict(type='VSRDBDataPreprocessor')
    with DefaultScope.overwrite_default_scope('mmengine'):
        model = load_model(config, checkpoint)
    assert type(model.data_preprocessor).__name__ == 'VSRDBDataPreprocessor'


def test_a_file_of_ones_own_comes_before_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('fmanet_stage2.py').touch()
    assert find_config('fmanet_stage2.py') == Path('fmanet_stage2.py')


def test_weights_that_describe_themselves_need_no_config(
    tmp_path, config_file, checkpoint, restorer
):
    path = tmp_path / 'net.safetensors'
    export_network(load_model(config_file, checkpoint), path)
    images = make_images(2)
    np.testing.assert_array_equal(
        list(VideoRestorer(None, path, 'cpu').restore_frames(images)),
        list(restorer.restore_frames(images)),
    )


@pytest.mark.parametrize('arguments', [dict(dtype='bf16'), dict(memory_budget=1)])
def test_graphs_are_computed_as_they_are(tmp_path, arguments):
    with pytest.raises(ValueError, match='net.onnx is computed in fp32, on whole'):
        VideoRestorer(None, tmp_path / 'net.onnx', 'cpu', **arguments)


def test_a_graph_that_may_run_code_must_be_trusted(tmp_path):
    (tmp_path / 'net.pt2').touch()
    with pytest.raises(ValueError, match='trusted=True'):
        VideoRestorer(None, tmp_path / 'net.pt2', 'cpu')


# Videos


def test_a_folder_keeps_the_names_and_depth_of_its_images(tmp_path, restorer, expected):
    images = make_images(3, dtype=np.uint16)
    clip = make_folder(tmp_path / 'clip', images)
    restored = restorer.restore_video(clip, tmp_path / 'out')
    assert restored == (tmp_path / 'out', 3)
    assert sorted(os.listdir(tmp_path / 'out')) == ['0000.png', '0001.png', '0002.png']
    with open_frames(tmp_path / 'out', ReadOptions(keep_depth=True)) as frames:
        np.testing.assert_array_equal(
            list(frames), [to_image(x, np.uint16) for x in expected(images)]
        )


def test_a_file_gives_numbered_images(tmp_path, restorer, make_clip):
    restorer.restore_video(make_clip('clip.mp4', 2), tmp_path / 'out')
    assert sorted(os.listdir(tmp_path / 'out')) == ['00000000.png', '00000001.png']


def test_options_reach_reader_and_writer(tmp_path, restorer):
    clip = make_folder(tmp_path / 'clip', make_images(6))
    (clip / '0099.jpg').write_bytes(b'no frame')
    restored = restorer.restore_video(
        clip,
        tmp_path / 'out.mkv',
        start=0.2,
        end=Fraction(2, 5),
        folder_fps=10,
        pattern='*.png',
        detect_scenes=False,
        codec='libx264rgb',
        crf=0,
        pixel_format='rgb24',
    )
    assert restored.num_frames == 2
    with open_frames(tmp_path / 'out.mkv') as frames:
        assert frames.fps == 10
        written = list(frames)
    images = make_images(6)[2:4]
    np.testing.assert_array_equal(written, list(restorer.restore_frames(images)))


def test_limits_are_kept(tmp_path, restorer, make_clip):
    clip = make_clip('clip.mp4')
    with pytest.raises(ValueError, match='max_pixels'):
        restorer.restore_video(clip, tmp_path / 'out', limits=Limits(max_pixels=100))
    assert not (tmp_path / 'out').exists()


def test_progress_is_told_from_nothing_to_all(tmp_path, restorer):
    clip = make_folder(tmp_path / 'clip', make_images(3))
    told = []
    restorer.restore_video(
        clip, tmp_path / 'out', progress=lambda *numbers: told.append(numbers)
    )
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_windows_do_not_cross_cuts(tmp_path, restorer, expected):
    dark, bright = two_shots()
    clip = make_folder(tmp_path / 'clip', dark + bright)
    restorer.restore_video(clip, tmp_path / 'out')
    by_shots = [to_image(x) for x in [*expected(dark), *expected(bright)]]
    np.testing.assert_array_equal(list(open_frames(tmp_path / 'out')), by_shots)

    restorer.restore_video(clip, tmp_path / 'other', detect_scenes=False)
    as_one = [to_image(x) for x in expected(dark + bright)]
    np.testing.assert_array_equal(list(open_frames(tmp_path / 'other')), as_one)
    different = [(a != b).any() for a, b in zip(by_shots, as_one, strict=True)]
    assert different == [index in (4, 5) for index in range(9)]


def test_what_precedes_damage_is_restored(tmp_path, restorer, expected):
    images = make_images(5)
    clip = make_folder(tmp_path / 'clip', images)
    (clip / '0003.png').write_bytes(b'damaged')
    with pytest.raises(EndedEarlyError, match='ends at frame 3.* 3 frames') as caught:
        restorer.restore_video(clip, tmp_path / 'out')
    assert caught.value.restored == (tmp_path / 'out', 3)
    np.testing.assert_array_equal(
        list(open_frames(tmp_path / 'out')), [to_image(x) for x in expected(images[:3])]
    )


# Going on


def interrupt_at(number):
    def progress(done, total):
        if done == number:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize('number', range(9))
def test_going_on_gives_the_same_images(tmp_path, restorer, monkeypatch, number):
    dark, bright = two_shots()
    clip = make_folder(tmp_path / 'clip', dark + bright)
    restorer.restore_video(clip, tmp_path / 'whole')
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_video(
            clip, tmp_path / 'out', keep_partial=True, progress=interrupt_at(number)
        )
    assert not (tmp_path / 'out').exists()

    calls = Counter()
    refine = StreamingRestorer._refine

    def counting(self, window):
        calls['refine'] += 1
        return refine(self, window)

    monkeypatch.setattr(StreamingRestorer, '_refine', counting)
    told = []
    restorer.restore_video(
        clip,
        tmp_path / 'out',
        resume=True,
        progress=lambda *numbers: told.append(numbers),
    )
    assert told[0] == (number, 9)
    assert 9 - number <= calls['refine'] <= 9 - number + 1  # T // 2 of context
    names = sorted(os.listdir(tmp_path / 'whole'))
    assert sorted(os.listdir(tmp_path / 'out')) == names
    for name in names:
        whole, out = ((tmp_path / folder / name) for folder in ('whole', 'out'))
        assert whole.read_bytes() == out.read_bytes()


def test_without_a_run_to_go_on_with_it_begins(tmp_path, restorer):
    clip = make_folder(tmp_path / 'clip', make_images(2))
    assert restorer.restore_video(clip, tmp_path / 'out', resume=True).num_frames == 2


@pytest.mark.parametrize('difference', ['scale', 'scenes', 'dtype', 'checkpoint'])
def test_does_not_go_on_with_another_job(
    tmp_path, config_file, checkpoint, restorer, difference
):
    clip = make_folder(tmp_path / 'clip', make_images(4))
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_video(
            clip, tmp_path / 'out', keep_partial=True, progress=interrupt_at(2)
        )
    options = {}
    if difference == 'scale':
        options = dict(scale=1.5)
    elif difference == 'scenes':
        options = dict(detect_scenes=False)
    elif difference == 'dtype':
        restorer = VideoRestorer(config_file, checkpoint, 'cpu', 'bf16')
    else:
        other = tmp_path / 'other.pth'
        weights = torch.load(checkpoint)
        weights['state_dict']['net_d.flow_head.0.weight'] += 1
        torch.save(weights, other)
        restorer = VideoRestorer(config_file, other, 'cpu')
    with pytest.raises(ValueError, match=difference):
        restorer.restore_video(clip, tmp_path / 'out', resume=True, **options)


def test_nothing_is_kept_unless_asked_for(tmp_path, restorer):
    clip = make_folder(tmp_path / 'clip', make_images(4))
    before = set(os.listdir(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_video(clip, tmp_path / 'out', progress=interrupt_at(2))
    assert set(os.listdir(tmp_path)) == before
