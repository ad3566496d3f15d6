import numpy as np
import pytest
import torch
from mmagic.apis import init_model

from fmanet_mm.apis import StreamingRestorer, restoration_video_inference
from fmanet_mm.restoration.images import to_image, to_tensor
from fmanet_mm.utils import config_root
from fmanet_mm.video.reader import open_frames


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_restores_a_short_clip_in_memory(config_file, checkpoint, make_clip, name):
    clip = make_clip(name)
    model = init_model(config_file, checkpoint, device='cpu')
    restored = restoration_video_inference(model, clip)
    assert restored.shape == (1, 4, 3, 20, 28)
    frames = np.stack(list(open_frames(clip))).transpose(0, 3, 1, 2)
    inputs = torch.from_numpy(frames).float() / 255
    expected = torch.stack(list(StreamingRestorer(model).restore(inputs)))
    torch.testing.assert_close(restored[0], expected, rtol=0, atol=0)


@pytest.mark.parametrize('name', ['fmanet_stage2.py', 'fmanet_s_stage2.py'])
def test_init_model_takes_our_configs(name):
    model = init_model(str(config_root() / name), device='cpu')
    assert (model.num_frames, model.scale, model.training) == (3, 4, False)


def test_names_a_missing_clip(make_model):
    with pytest.raises(FileNotFoundError, match='absent.mp4'):
        restoration_video_inference(make_model(), 'absent.mp4')


def test_refuses_a_model_of_stage_1(make_model, make_clip):
    with pytest.raises(ValueError, match='stage 2'):
        restoration_video_inference(make_model(stage=1), make_clip('clip.mp4'))


def test_images_and_tensors_become_each_other():
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3) * 4
    tensor = to_tensor(image, dtype=torch.float64)
    assert tensor.dtype == torch.float64
    assert tensor.shape == (3, 4, 5)
    assert tensor[2, 1, 3] == image[1, 3, 2] / 255
    np.testing.assert_array_equal(to_image(tensor), image)


def test_images_are_rounded_and_clipped():
    tensor = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 2.0]).expand(3, 1, 4)
    assert to_image(tensor)[0, :, 0].tolist() == [0, 0, 1, 255]


def test_images_of_16_bits_keep_them():
    image = np.arange(0, 65536, 1093, np.uint16).reshape(4, 5, 3)
    tensor = to_tensor(image, dtype=torch.float64)
    assert tensor[2, 1, 3] == image[1, 3, 2] / 65535
    np.testing.assert_array_equal(to_image(tensor, np.uint16), image)
