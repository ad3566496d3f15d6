"""Damaged files of all kinds: they are read, or refused by an error that names them."""

import io
from pathlib import Path

import av
import cv2
import golden
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from fmanet_mm.datasets import LoadFrames
from fmanet_mm.flow import load_flow
from fmanet_mm.flow.checkpoint import load_checkpoint
from fmanet_mm.flow.raft import build_raft
from fmanet_mm.flow.raft_converter import convert_raft
from fmanet_mm.models.fmanet.official_weights import convert_files
from fmanet_mm.utils.annotation import read_annotation
from fmanet_mm.video.images import read_image
from fmanet_mm.video.reader import open_frames


def fuzz(max_examples):
    """Bounds for the time, the same examples in each run."""
    return settings(
        max_examples=max_examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )


@st.composite
def damaged(draw, sources):
    """Bytes of one of the sources with some flipped, lost, zeroed, moved or repeated.

    Half of the damage is done to the first 200 bytes, where headers are.
    """
    data = bytearray(draw(st.sampled_from(sources)))
    for _ in range(draw(st.integers(1, 3))):
        if not data:
            break
        last = len(data) - 1
        start = draw(st.integers(0, min(last, 200)) | st.integers(0, last))
        stop = start + draw(st.integers(1, 8) | st.integers(1, len(data)))
        block = data[start:stop]
        match draw(st.sampled_from(['flip', 'set', 'cut', 'lose', 'zero', 'repeat'])):
            case 'flip':
                data[start] ^= 1 << draw(st.integers(0, 7))
            case 'set':
                data[start] = draw(st.integers(0, 255))
            case 'cut':
                del data[start:]
            case 'lose':
                del data[start:stop]
            case 'zero':
                data[start:stop] = bytes(len(block))
            case 'repeat':
                data[stop:stop] = block
    return bytes(data)


def survives(read, path, errors=(ValueError,)):
    """Read a file; it may be refused, if the error says which one."""
    try:
        return read(path)
    except errors as error:
        assert str(path) in str(error), repr(error)
        assert type(error) in errors, repr(error)
    return None


def picture(height=24, width=40):
    generator = np.random.default_rng(0)
    rough = generator.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(rough, (width, height))


def encoded(suffix, image, *parameters):
    done, data = cv2.imencode(suffix, image, parameters)
    assert done
    return data.tobytes()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def video(codec, container_format, pixels='yuv420p', title='a title'):
    file = io.BytesIO()
    with av.open(file, 'w', container_format) as container:
        container.metadata['title'] = title
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
        for index in range(6):
            image = np.roll(picture(48, 64), 4 * index, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    return file.getvalue()


def saved(value, **kwargs):
    file = io.BytesIO()
    torch.save(value, file, **kwargs)
    return file.getvalue()


GENERATOR = np.random.default_rng(0)
FLOWS = [npy(GENERATOR.normal(size=(4, 6, 2)).astype(dtype)) for dtype in ('f2', 'f4')]
IMAGES = {
    '.png': [encoded('.png', picture()), encoded('.png', picture()[..., 0])],
    '.jpg': [encoded('.jpg', picture())],
    '.webp': [encoded('.webp', picture())],
    '.tif': [encoded('.tif', picture()), encoded('.tif', picture().astype('u2') * 257)],
    '.bmp': [encoded('.bmp', picture())],
    '.ppm': [encoded('.ppm', picture())],
}
ANNOTATIONS = [
    b'000 100\n001 100\n',
    'a/b c 5\n\nüöß\n'.encode(),
    b'GOPR0384_11_00\r\nx 1\r\n',
]


VIDEOS = {
    'mp4': [video('libx264', 'mp4'), video('mpeg4', 'mp4'), video('libx265', 'mp4')],
    'mkv': [video('libx264', 'matroska'), video('ffv1', 'matroska')],
    'webm': [video('libvpx-vp9', 'webm')],
    'avi': [video('mpeg4', 'avi'), video('mjpeg', 'avi', 'yuvj420p')],
    'ts': [video('libx264', 'mpegts'), video('mpeg2video', 'mpegts')],
    'gif': [video('gif', 'gif', 'rgb8')],
    'raw': [video('libx264', 'h264'), video('mpeg2video', 'mpeg2video')],
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('fuzz')


@fuzz(300)
@given(content=damaged(ANNOTATIONS) | st.binary(max_size=40))
def test_annotations(folder, content):
    path = folder / 'train.txt'
    path.write_bytes(content)
    clips = survives(read_annotation, path)
    for clip, length in (clips or {}).items():
        assert not Path(clip).is_absolute() and '..' not in Path(clip).parts
        assert length is None or length >= 0


@fuzz(400)
@given(content=damaged(FLOWS))
def test_flow(folder, content):
    path = folder / '00000001_00000000.npy'
    path.write_bytes(content)
    flow = survives(load_flow, path)
    if flow is not None:
        assert flow.dtype == np.float32 and flow.shape[2] == 2
        assert np.isfinite(flow).all()


@fuzz(300)
@given(content=damaged(IMAGES['.png']))
def test_frames_of_a_set(folder, content):
    path = folder / '00000000.png'
    path.write_bytes(content)
    results = survives(lambda path: LoadFrames('img')(dict(img_path=str(path))), path)
    if results is not None:
        assert results['img'].dtype == np.uint8 and results['img'].shape[2] == 3


@pytest.mark.parametrize('suffix', IMAGES)
@fuzz(150)
@given(data=st.data())
def test_images(folder, suffix, data):
    path = folder / f'image{suffix}'
    path.write_bytes(data.draw(damaged(IMAGES[suffix])))
    image = survives(read_image, path)
    if image is not None:
        assert image.dtype == np.uint8 and image.shape[2] == 3


@pytest.mark.parametrize('kind', VIDEOS)
@fuzz(120)
@given(data=st.data())
def test_videos(folder, kind, data):
    path = folder / f'clip.{kind}'
    path.write_bytes(data.draw(damaged(VIDEOS[kind])))

    def read(path):
        with open_frames(path) as frames:
            for count, frame in enumerate(frames):
                assert frame.dtype == np.uint8
                assert frame.shape == (frames.height, frames.width, 3)
                assert count < 100

    survives(read, path)


@pytest.mark.parametrize('container_format', ['avi', 'matroska', 'mp4'])
def test_title_in_another_encoding(tmp_path, container_format):
    path = tmp_path / 'clip'
    data = video('mpeg4', container_format, title='Uebung')
    assert b'Uebung' in data
    path.write_bytes(data.replace(b'Uebung', '\xdcbungen'.encode('latin-1')[:6]))
    with open_frames(path) as frames:
        assert len(list(frames)) == 6


def test_unknown_codec(tmp_path):
    path = tmp_path / 'clip.avi'
    path.write_bytes(video('mpeg4', 'avi').replace(b'FMP4', b'QQQQ'))
    with pytest.raises(ValueError, match='clip.avi holds video of an unknown codec'):
        open_frames(path)


def test_image_wider_than_opencv_reads(tmp_path):
    path = tmp_path / 'image.bmp'
    data = bytearray(IMAGES['.bmp'][0])
    data[18:22] = (2**20 + 1).to_bytes(4, 'little')
    path.write_bytes(data)
    with pytest.raises(ValueError, match='image.bmp cannot be read as an image'):
        read_image(path)


def test_annotation_in_another_encoding_or_with_endless_numbers(tmp_path):
    path = tmp_path / 'train.txt'
    path.write_bytes('\xfc 5\n'.encode('latin-1'))
    with pytest.raises(ValueError, match='train.txt is not UTF-8 text'):
        read_annotation(path)
    path.write_text(f'000 {"9" * 5000}\n')
    with pytest.raises(ValueError, match='train.txt, line 1 must be'):
        read_annotation(path)


def small_weights():
    weights = build_raft('raft_small').state_dict()
    return {f'module.{name}': value for name, value in [*weights.items()][:9]}


LEGACY = dict(_use_new_zipfile_serialization=False)
TINY = golden.load('tiny_stage2')
NET_D = golden.part(TINY, golden.NET_D)
# Without the checksums of a zip file, damage reaches the pickle.
CHECKPOINTS = [
    saved({'model_D_state_dict': NET_D}),
    saved({'model_D_state_dict': {**dict([*NET_D.items()][:3])}}, **LEGACY),
    saved(small_weights(), **LEGACY),
    saved({'state_dict': small_weights()}),
]
ODD_VALUES = st.sampled_from(
    [
        None, 3, 'text', [], {}, torch.zeros(()), torch.zeros(3, dtype=torch.int8),
        torch.zeros(2, 3, 1, 1, 1), torch.eye(3).to_sparse(), torch.zeros(0, 4),
        torch.full((4,), torch.nan), torch.zeros(2, 2, dtype=torch.complex64),
    ]
)  # fmt: skip
ODD_NAMES = st.sampled_from(['', 'module.', 'd_conv.0.weight', 7, None, ('a', 1)])


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """A tiny network of stage 1."""
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    net_d = dict(type='NetD', **golden.net_d_config(TINY))
    Config(dict(model=dict(type='FMANetStage1', net_d=net_d))).dump(path)
    return path


@fuzz(60)
@given(content=damaged(CHECKPOINTS))
def test_damaged_checkpoints(folder, config, content):
    path, out = folder / 'net.pt', folder / 'out.pth'
    path.write_bytes(content)
    survives(lambda path: convert_files(config, path, None, out), path)

    loaded = survives(load_checkpoint, path)
    if loaded is not None:
        with pytest.raises(ValueError):
            convert_raft(loaded[0], 'small')


@fuzz(60)
@given(data=st.data())
def test_odd_weights_of_the_authors(folder, config, data):
    path, out = folder / 'odd.pt', folder / 'out.pth'
    weights = dict(NET_D)
    names = st.sampled_from([*weights]) | ODD_NAMES
    for _ in range(data.draw(st.integers(1, 2))):
        weights[data.draw(names)] = data.draw(ODD_VALUES)
    content = data.draw(st.just(weights) | ODD_VALUES)
    torch.save({'model_D_state_dict': content}, path)
    survives(lambda path: convert_files(config, path, None, out), path)


@fuzz(30)
@given(data=st.data())
def test_odd_weights_of_raft(data):
    weights = small_weights()
    names = st.sampled_from([*weights]) | ODD_NAMES
    for _ in range(data.draw(st.integers(1, 2))):
        weights[data.draw(names)] = data.draw(ODD_VALUES)
    with pytest.raises(ValueError):
        convert_raft(weights, 'small')
