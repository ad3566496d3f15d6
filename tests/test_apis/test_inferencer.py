import functools
import io
import os
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import read_clip, tiny_config, tiny_network
from mmagic.apis import MMagicInferencer, init_model
from mmengine import Config
from mmengine.utils import ProgressBar

from fmanet_mm.apis import VSRDBInferencer
from fmanet_mm.models.fmanet.window import WindowRestoration
from fmanet_mm.restoration import StreamingRestorer, WriteOptions
from fmanet_mm.restoration.images import to_image, to_tensor
from fmanet_mm.utils import config_root
from fmanet_mm.video.reader import open_frames
from fmanet_mm.video.writer import open_writer


@pytest.fixture
def inferencer(config_file, checkpoint):
    return MMagicInferencer(
        model_name='fmanet',
        model_config=config_file,
        model_ckpt=checkpoint,
        device='cpu',
    )


@pytest.fixture
def expected(config_file, checkpoint):
    """What MMagic's model restores of a clip."""
    model = init_model(config_file, checkpoint, device='cpu')

    def restore(clip):
        frames = map(to_tensor, read_clip(clip))
        return [to_image(x) for x in StreamingRestorer(model).restore(frames)]

    return restore


def test_restores_a_video_file_to_a_video_file(
    tmp_path, inferencer, make_clip, expected
):
    clip = make_clip('clip.mp4', fps=Fraction(30000, 1001))
    out = str(tmp_path / 'new' / 'out.mp4')
    result = inferencer.infer(video=clip, result_out_dir=out)
    assert result == dict(path=out, num_frames=4)
    with open_frames(out) as frames:
        assert frames.info.fps == Fraction(30000, 1001)
        restored = list(frames)
    for frame, other in zip(restored, expected(clip), strict=True):
        assert frame.shape == (20, 28, 3)
        assert np.abs(frame.astype(int) - other).mean() < 8  # lossy codec


@pytest.mark.parametrize('name', ['clip.mkv', 'frames'])
def test_restores_to_images(tmp_path, inferencer, make_clip, expected, name):
    clip = make_clip(name)
    out = tmp_path / 'out'
    result = inferencer.infer(video=clip, result_out_dir=str(out))
    assert result['num_frames'] == 4
    assert sorted(os.listdir(out)) == [f'{i:08d}.png' for i in range(4)]
    restored = read_clip(out)
    np.testing.assert_array_equal(restored, expected(clip))


@pytest.mark.parametrize('num_frames', [1, 2, 3])
@pytest.mark.parametrize('size', [(10, 14), (9, 13)])
def test_every_frame_gives_a_frame(tmp_path, inferencer, make_clip, num_frames, size):
    clip = make_clip('clip.mp4', num_frames, size)
    inferencer.infer(video=clip, result_out_dir=str(tmp_path / 'out.mp4'))
    frames = read_clip(tmp_path / 'out.mp4')
    assert [frame.shape for frame in frames] == num_frames * [
        (2 * size[0], 2 * size[1], 3)
    ]


def test_a_config_alone_is_enough(tmp_path, config_file, checkpoint, make_clip):
    inferencer = MMagicInferencer(model_config=config_file, model_ckpt=checkpoint)
    assert isinstance(inferencer.inferencer.inferencer, VSRDBInferencer)
    clip = make_clip('clip.mp4', 1)
    inferencer.infer(video=clip, result_out_dir=str(tmp_path / 'out'))
    assert os.listdir(tmp_path / 'out') == ['00000000.png']


def test_shows_progress(tmp_path, inferencer, make_clip, monkeypatch):
    shown = io.StringIO()
    bar = functools.partial(ProgressBar, file=shown)
    monkeypatch.setattr('fmanet_mm.apis.inferencer.ProgressBar', bar)
    clip = make_clip('clip.mp4')
    inferencer.infer(video=clip, result_out_dir=str(tmp_path / 'out'))
    assert '4/4' in shown.getvalue()


@pytest.mark.parametrize('name', ['fmanet_stage2.py', 'fmanet_s_stage2.py'])
def test_init_model_takes_our_configs(name):
    model = init_model(str(config_root() / name), device='cpu')
    assert (model.num_frames, model.scale, model.training) == (3, 4, False)


def test_a_network_of_another_family_is_restored_by_its_restorer(tmp_path, make_clip):
    """A config that names a restorer is ours to restore, whatever its network."""
    config = Config(
        dict(
            model=dict(
                type='BaseEditModel',
                generator=dict(type='BicubicUpsampling', scale=4),
                pixel_loss=dict(type='L1Loss'),
            ),
            restorer=dict(type='WindowRestorer', num_frames=3, scale=4),
        )
    )
    inferencer = MMagicInferencer(model_config=config, device='cpu')
    result = inferencer.infer(
        video=make_clip('clip', 2), result_out_dir=str(tmp_path / 'out')
    )
    assert result['num_frames'] == 2
    assert [image.shape for image in read_clip(tmp_path / 'out')] == 2 * [(40, 56, 3)]


# extra_parameters


def test_images_are_named_as_asked(tmp_path, inferencer, make_clip):
    clip = make_clip('clip.mp4', 2)
    names = dict(filename_tmpl='im{:03d}.png', start_idx=7)
    inferencer.infer(
        video=clip, result_out_dir=str(tmp_path / 'out'), extra_parameters=names
    )
    assert sorted(os.listdir(tmp_path / 'out')) == ['im007.png', 'im008.png']


def test_images_keep_their_names(tmp_path, config_file, checkpoint, make_clip):
    names = WriteOptions(filenames=['000009.jpg', '000010.jpg'])
    clip = make_clip('frames', 2, options=names)
    inferencer = MMagicInferencer(
        model_name='fmanet',
        model_config=config_file,
        model_ckpt=checkpoint,
        extra_parameters=dict(filename_tmpl=None),
    )
    inferencer.infer(video=clip, result_out_dir=str(tmp_path / 'out'))
    assert sorted(os.listdir(tmp_path / 'out')) == ['000009.png', '000010.png']


def test_extra_parameters_do_not_leak(config_file, checkpoint):
    own = dict(start_idx=5)
    first = VSRDBInferencer(config_file, checkpoint, 'cpu', own)
    second = VSRDBInferencer(config_file, checkpoint, 'cpu')
    assert first.extra_parameters['start_idx'] == 5
    assert second.extra_parameters['start_idx'] == 0


def test_unknown_extra_parameters_are_named(
    tmp_path, config_file, checkpoint, inferencer, make_clip
):
    with pytest.raises(ValueError, match=r"\['window_size'\].*'filename_tmpl'"):
        VSRDBInferencer(config_file, checkpoint, 'cpu', dict(window_size=3))
    with pytest.raises(ValueError, match='max_seq_len'):
        inferencer.infer(
            video=make_clip('clip.mp4'),
            result_out_dir=str(tmp_path / 'out'),
            extra_parameters=dict(max_seq_len=3),
        )


# Bad input


def test_a_checkpoint_is_needed(config_file):
    with pytest.raises(ValueError, match='no checkpoint was given'):
        MMagicInferencer(model_name='fmanet', model_config=config_file)


def test_a_missing_checkpoint_is_named(config_file):
    with pytest.raises(FileNotFoundError, match='absent.pth'):
        VSRDBInferencer(config_file, 'absent.pth', 'cpu')


def test_a_missing_config_is_named(checkpoint):
    with pytest.raises(FileNotFoundError, match='absent.py'):
        VSRDBInferencer('absent.py', checkpoint, 'cpu')


def test_a_checkpoint_of_stage_1_is_named(tmp_path, config_file):
    path = tmp_path / 'first.pth'
    torch.save(dict(state_dict=tiny_network(stage=1).state_dict()), path)
    with pytest.raises(ValueError, match='first.pth: .* of stage 1'):
        VSRDBInferencer(config_file, str(path), 'cpu')


def test_a_config_of_stage_1_is_refused(tmp_path, checkpoint):
    config, path = tiny_config(stage=1), tmp_path / 'first.pth'
    torch.save(dict(state_dict=tiny_network(stage=1).state_dict()), path)
    with pytest.raises(ValueError, match='FMANetStage1 restores no video.*stage 2'):
        VSRDBInferencer(config, path, 'cpu')
    with pytest.raises(ValueError, match='stage2.pth: .* of stage 2, the config of st'):
        VSRDBInferencer(config, checkpoint, 'cpu')


def test_a_checkpoint_of_another_width_is_named(checkpoint):
    config = tiny_config(channels=12)
    with pytest.raises(ValueError, match='stage2.pth: .* of another shape'):
        VSRDBInferencer(config, checkpoint, 'cpu')


class Malicious:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_nothing_in_a_checkpoint_is_executed(tmp_path, config_file):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'trace'
    torch.save(dict(state_dict={}, meta=Malicious(trace)), path)
    with pytest.raises(ValueError, match='evil.pth is not a checkpoint'):
        VSRDBInferencer(config_file, str(path), 'cpu')
    assert not trace.exists()
    pickle.loads(pickle.dumps(Malicious(trace)))
    assert trace.exists()  # it would have worked


def test_the_input_is_never_overwritten(inferencer, make_clip):
    clip = make_clip('clip.mp4')
    before = Path(clip).read_bytes()
    with pytest.raises(ValueError, match='clip.mp4 is the input'):
        inferencer.infer(video=clip, result_out_dir=clip)
    assert Path(clip).read_bytes() == before


def test_missing_arguments_are_named(tmp_path, inferencer, make_clip):
    with pytest.raises(ValueError, match='pass video='):
        inferencer.infer(img='image.png', result_out_dir=str(tmp_path / 'out.mp4'))
    with pytest.raises(ValueError, match='pass result_out_dir='):
        inferencer.infer(video=make_clip('clip.mp4'))


@pytest.mark.parametrize('content', [None, b'', b'no video'])
def test_a_bad_clip_leaves_no_output(tmp_path, inferencer, content):
    clip = tmp_path / 'bad.mp4'
    if content is not None:
        clip.write_bytes(content)
    out = tmp_path / 'new' / 'out.mp4'
    with pytest.raises((FileNotFoundError, ValueError), match='bad.mp4'):
        inferencer.infer(video=str(clip), result_out_dir=str(out))
    assert not out.parent.exists()


def test_what_precedes_damage_is_restored(tmp_path, inferencer, make_clip, expected):
    clip = Path(make_clip('clip.mkv', 12))
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 3 // 4])
    out = tmp_path / 'out'
    with pytest.raises(ValueError, match=r'clip.mkv ends at frame (\d+): .*') as error:
        inferencer.infer(video=str(clip), result_out_dir=str(out))
    number = len(os.listdir(out))
    assert 2 < number < 12
    assert f'ends at frame {number}:' in str(error.value)
    assert f'The {number} frames before it were restored to {out}' in str(error.value)
    assert sorted(os.listdir(tmp_path))[-2:] == ['out', 'stage2.pth']


def test_an_error_leaves_no_output(tmp_path, inferencer, make_clip, monkeypatch):
    clip = make_clip('clip.mp4')

    def fail(self, window, strips):
        raise RuntimeError('out of memory')

    monkeypatch.setattr(WindowRestoration, 'refine', fail)
    before = set(os.listdir(tmp_path))
    with pytest.raises(RuntimeError, match='out of memory'):
        inferencer.infer(video=clip, result_out_dir=str(tmp_path / 'out.mp4'))
    assert set(os.listdir(tmp_path)) == before


def test_paths_and_config_objects_are_welcome(tmp_path, config_file, checkpoint):
    config = Config.fromfile(config_file)
    with open_writer(tmp_path / 'clip.mp4') as writer:
        writer.write(np.zeros((6, 8, 3), np.uint8))
    inferencer = VSRDBInferencer(config, Path(checkpoint), torch.device('cpu'))
    result = inferencer(video=tmp_path / 'clip.mp4', result_out_dir=tmp_path / 'out')
    assert result == dict(path=str(tmp_path / 'out'), num_frames=1)
