"""Making a VSRDB set from video."""

import weakref

import av
import cv2
import numpy as np
import pytest

from fmanet_mm.preparation import video_to_vsrdb
from fmanet_mm.preparation.video_to_vsrdb import (
    INFO_FILE,
    Source,
    VSRDBRecipe,
    convert_videos,
)
from fmanet_mm.utils.degradation import (
    average_frames,
    bicubic_downsample,
    crop_to_multiple,
)

KINDS = ('sharp', 'blur_bicubic/X4', 'sharp_bicubic/X4')


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'set'


@pytest.fixture
def make_folder(tmp_path):
    """Return a function that writes frames to a folder, by default noise."""

    def make(name, number, size=(64, 72), constant=False):
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(number)
        frames = []
        for index in range(number):
            frame = rng.integers(0, 256, (*size, 3), np.uint8)
            if constant:
                frame[:] = 3 * index
            frames.append(frame)
            write(folder / f'{index:04d}.png', frame)
        return folder, frames

    return make


@pytest.fixture
def video(tmp_path):
    """A real file of 30 frames in MPEG-4."""
    path = tmp_path / 'My clip (1).mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=240)
        stream.width, stream.height, stream.pix_fmt = 80, 64, 'yuv420p'
        rng = np.random.default_rng(0)
        for _ in range(30):
            image = rng.integers(0, 256, (64, 80, 3), np.uint8)
            packets = stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24'))
            container.mux(packets)
        container.mux(stream.encode())
    return path


def write(path, frame):
    assert cv2.imwrite(str(path), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def read(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    files = (path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def source(num_frames, scene_cuts=()):
    return Source('a', 0, num_frames, 64, 64, list(scene_cuts))


def used_frames(recipe, clip):
    return range(clip.start, clip.start + recipe.span(clip.num_frames))


def test_layout_and_values(make_folder, out):
    folder, frames = make_folder('street', 20)
    clips = convert_videos([folder], out, VSRDBRecipe(sub_frames=5))
    assert clips == [('street_000', 'train', 0, 4)]
    assert names(out) == sorted(
        [INFO_FILE, 'train.txt', *(f'train_{kind[:-3]}' for kind in KINDS[1:])]
        + ['train_sharp']
    )
    assert (out / 'train.txt').read_text() == 'street_000 4\n'
    for kind in KINDS:
        assert names(out / f'train_{kind}/street_000') == [
            f'{index:08d}.png' for index in range(4)
        ]
    for index in range(4):
        window = frames[5 * index : 5 * index + 5]
        expected = (
            window[2],
            bicubic_downsample(average_frames(window), 4),
            bicubic_downsample(window[2], 4),
        )
        for kind, image in zip(KINDS, expected, strict=True):
            path = out / f'train_{kind}/street_000/{index:08d}.png'
            np.testing.assert_array_equal(read(path), image, err_msg=str(path))


@pytest.mark.parametrize(
    'stride, middles', [(1, [1, 2, 3, 4, 5, 6]), (3, [1, 4]), (5, [1, 6])]
)
def test_stride(make_folder, out, stride, middles):
    folder, _ = make_folder('a', 8, constant=True)
    recipe = VSRDBRecipe(sub_frames=3, stride=stride, min_clip_length=1)
    convert_videos([folder], out, recipe)
    for kind in KINDS:
        files = sorted((out / f'train_{kind}/a_000').iterdir())
        assert [read(file)[0, 0, 0] // 3 for file in files] == middles


def test_linear_light(make_folder, tmp_path):
    folder, frames = make_folder('a', 3)
    values = {}
    for linear in (False, True):
        recipe = VSRDBRecipe(3, linear_light=linear, min_clip_length=1)
        convert_videos([folder], tmp_path / str(linear), recipe)
        path = tmp_path / str(linear) / 'train_blur_bicubic/X4/a_000/00000000.png'
        values[linear] = read(path)
        expected = bicubic_downsample(average_frames(frames, linear), 4)
        np.testing.assert_array_equal(values[linear], expected)
    assert values[True].mean() > values[False].mean() + 5


def test_downscale_crop_and_scale(make_folder, out):
    folder, frames = make_folder('a', 3, size=(105, 111))
    recipe = VSRDBRecipe(3, scale=3, downscale=2, min_clip_length=1)
    convert_videos([folder], out, recipe)
    window = [bicubic_downsample(crop_to_multiple(frame, 6), 2) for frame in frames]
    assert window[0].shape == (51, 54, 3)
    expected = {
        'sharp': window[1],
        'sharp_bicubic/X3': bicubic_downsample(window[1], 3),
        'blur_bicubic/X3': bicubic_downsample(average_frames(window), 3),
    }
    for kind, image in expected.items():
        path = out / f'train_{kind}/a_000/00000000.png'
        np.testing.assert_array_equal(read(path), image)


def test_video_file(video, out):
    clips = convert_videos([video], out, VSRDBRecipe(7, stride=8))
    assert clips == [('My_clip_1_000', 'train', 0, 3)]
    with av.open(str(video)) as container:
        frames = [f.to_ndarray(format='rgb24') for f in container.decode(video=0)]
    sharp = read(out / 'train_sharp/My_clip_1_000/00000001.png')
    # Colour conversion may round in another way, neighbouring frames are far away.
    errors = [np.abs(sharp - frame.astype(float)).mean() for frame in frames]
    assert errors[11] < 5 and min(errors[:11] + errors[12:]) > 20


def test_long_sources_are_cut(make_folder, out):
    long, _ = make_folder('long', 33)
    short, _ = make_folder('short', 12)
    recipe = VSRDBRecipe(3, clip_length=4, min_clip_length=3)
    clips = convert_videos([short, long], out, recipe)
    assert clips == [
        ('long_000', 'train', 0, 4),
        ('long_001', 'train', 12, 4),
        ('long_002', 'train', 24, 3),
        ('short_000', 'train', 0, 4),
    ]
    text = 'long_000 4\nlong_001 4\nlong_002 3\nshort_000 4\n'
    assert (out / 'train.txt').read_text() == text
    # A remainder that is too short is left out.
    recipe = VSRDBRecipe(3, clip_length=4, min_clip_length=4)
    assert [clip.num_frames for clip in recipe.plan(source(33))] == [4, 4]


def test_many_clips_stay_in_order():
    recipe = VSRDBRecipe(3, clip_length=1, min_clip_length=1)
    clips = recipe.plan(source(3 * 1001))
    assert clips[-1].name == 'a_1000'
    assert sorted(clips) == clips


@pytest.mark.parametrize('sub_frames, stride', [(5, None), (5, 2), (5, 5), (3, 8)])
@pytest.mark.parametrize('held_out', [0, 0.1, 0.5])
def test_no_source_frame_is_in_two_clips(sub_frames, stride, held_out):
    recipe = VSRDBRecipe(sub_frames, stride, clip_length=7, held_out=held_out)
    for number in (100, 101, 153):
        clips = recipe.plan(source(number))
        used = [index for clip in clips for index in used_frames(recipe, clip)]
        assert len(set(used)) == len(used) and max(used) < number
        assert used == sorted(used)
        splits = [clip.split for clip in clips]
        assert splits == sorted(splits)
        assert set(splits) == ({'train', 'val'} if held_out else {'train'})


def test_clips_end_at_scene_cuts(make_folder, out):
    folder, _ = make_folder('a', 24, constant=True)
    for index in range(11, 24):
        write(folder / f'{index:04d}.png', np.full((64, 72, 3), 255 - index, np.uint8))
    clips = convert_videos([folder], out, VSRDBRecipe(3))
    assert clips == [('a_000', 'train', 0, 3), ('a_001', 'train', 11, 4)]
    # The held-out part begins within a shot.
    recipe = VSRDBRecipe(3, held_out=0.5)
    clips = recipe.plan(source(60, scene_cuts=(21, 42)))
    assert clips == [
        ('a_000', 'train', 0, 7),
        ('a_001', 'train', 21, 3),
        ('a_002', 'val', 30, 4),
        ('a_003', 'val', 42, 6),
    ]
    with pytest.raises(ValueError, match='of its 40 frames in 5 shots.*at most 8 in'):
        VSRDBRecipe(3).plan(source(40, scene_cuts=range(8, 40, 8)))


def test_held_out_part(make_folder, out):
    folder, _ = make_folder('a', 60, constant=True)
    clips = convert_videos([folder], out, VSRDBRecipe(3, held_out=0.25))
    assert clips == [('a_000', 'train', 0, 15), ('a_001', 'val', 45, 5)]
    assert (out / 'train.txt').read_text() == 'a_000 15\n'
    assert (out / 'val.txt').read_text() == 'a_001 5\n'
    assert read(out / 'val_sharp/a_001/00000000.png')[0, 0, 0] == 3 * 46
    assert len(names(out / 'val_blur_bicubic/X4/a_001')) == 5
    # At least one clip, however small the fraction.
    clips = VSRDBRecipe(3, held_out=0.01).plan(source(60))
    assert clips == [('a_000', 'train', 0, 17), ('a_001', 'val', 51, 3)]


@pytest.fixture
def interrupt(monkeypatch):
    """Return a function that lets so many images be written before Ctrl-C."""
    original = video_to_vsrdb.write_png

    def after(number):
        count = iter(range(number))

        def write_or_stop(path, image):
            if next(count, None) is None:
                raise KeyboardInterrupt
            original(path, image)

        monkeypatch.setattr(video_to_vsrdb, 'write_png', write_or_stop)
        return lambda: monkeypatch.setattr(video_to_vsrdb, 'write_png', original)

    return after


def test_goes_on_where_it_was(make_folder, tmp_path, out, interrupt, monkeypatch):
    folders = [make_folder(name, 24)[0] for name in 'ab']
    arguments = (folders, out, VSRDBRecipe(3, clip_length=4))
    calm = interrupt(3 * 4 * 3 + 5)
    with pytest.raises(KeyboardInterrupt):
        convert_videos(*arguments)
    calm()
    assert names(out / 'train_sharp') == ['a_000', 'a_001', 'b_000']
    assert not list(out.glob('*.txt')) and not (out / '.unfinished').exists()
    finished = out / 'train_sharp/b_000/00000000.png'
    before = finished.stat().st_mtime_ns
    # As if killed between moving the folders of a clip.
    (out / 'train_sharp_bicubic/X4/a_001').rename(tmp_path / 'gone')
    (out / '.unfinished/train_sharp/a_001').mkdir(parents=True)

    opened = []
    original = video_to_vsrdb.open_frames
    monkeypatch.setattr(
        video_to_vsrdb,
        'open_frames',
        lambda path: opened.append(path) or original(path),
    )
    convert_videos(*arguments)
    assert opened == folders, 'sources that were seen through are not again'
    assert finished.stat().st_mtime_ns == before
    convert_videos(*arguments)
    assert opened == folders, 'nothing is left to do'

    fresh = tmp_path / 'fresh'
    convert_videos(folders, fresh, arguments[2])
    assert contents(out) == contents(fresh)


def test_sets_are_not_mixed(make_folder, out):
    folder, _ = make_folder('a', 24)
    other, _ = make_folder('b', 24)
    convert_videos([folder], out, VSRDBRecipe(3))
    before = contents(out)
    for sources, recipe, error in (
        ([folder], VSRDBRecipe(5), 'sub_frames = 3, now 5; stride = 3, now 5'),
        ([folder], VSRDBRecipe(3, held_out=0.2), 'held_out = 0.0, now 0.2'),
        ([other], VSRDBRecipe(3), "sources = {'a': .*now {'b': "),
        ([folder, other], VSRDBRecipe(3), "sources = {'a': .*now {'a': .*'b': "),
    ):
        with pytest.raises(ValueError, match=f'set made with {error}'):
            convert_videos(sources, out, recipe)
    write(folder / '0003.png', np.zeros((64, 72, 3), np.uint8))
    with pytest.raises(ValueError, match="sources = {'a': .*now {'a': "):
        convert_videos([folder], out, VSRDBRecipe(3))
    assert contents(out) == before


def test_foreign_folders_are_left_alone(make_folder, out):
    folder, _ = make_folder('a', 24)
    out.mkdir()
    (out / 'thesis.tex').write_text('mine')
    for place in (out, out / 'thesis.tex', folder):
        before = contents(place)
        with pytest.raises(ValueError, match=f'{place} holds something else'):
            convert_videos([folder], place, VSRDBRecipe(3))
        assert contents(place) == before
    (out / 'thesis.tex').unlink()
    convert_videos([folder], out, VSRDBRecipe(3))


def test_bad_sources_are_named(make_folder, tmp_path, out, video):
    good, _ = make_folder('good', 24)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty.mp4').touch()
    (tmp_path / 'text.mp4').write_text('no video')
    make_folder('short', 8)
    make_folder('flat', 24, size=(60, 200))
    unequal, _ = make_folder('unequal', 24)
    write(unequal / '0020.png', np.zeros((64, 80, 3), np.uint8))
    unreadable, _ = make_folder('unreadable', 24)
    (unreadable / '0020.png').write_bytes(b'no image')
    (tmp_path / 'truncated.mkv').write_bytes(truncate(video, tmp_path))
    for name, kind, error in (
        ('nowhere.mp4', FileNotFoundError, 'nowhere.mp4'),
        ('empty', (ValueError, FileNotFoundError), 'empty'),
        ('empty.mp4', ValueError, 'empty.mp4'),
        ('text.mp4', ValueError, 'text.mp4'),
        ('truncated.mkv', ValueError, r'truncated.mkv ends at frame \d+'),
        (
            'short',
            ValueError,
            'short is too short: of its 8 frames .* takes 9',
        ),
        ('flat', ValueError, r'flat has .*\(60, 200\).* at least 64'),
        ('unequal', ValueError, 'unequal'),
        ('unreadable', ValueError, '0020.png'),
    ):
        with pytest.raises(kind, match=error):
            convert_videos([good, tmp_path / name], out, VSRDBRecipe(3))
        assert not out.exists(), name
    with pytest.raises(ValueError, match='good .* train gets at most 6 in'):
        recipe = VSRDBRecipe(3, min_clip_length=6, clip_length=6, held_out=0.375)
        convert_videos([good], out, recipe)
    with pytest.raises(ValueError, match='at least one'):
        convert_videos([], out, VSRDBRecipe(3))


def truncate(video, tmp_path):
    """Contents of a Matroska copy of the video, cut off in the middle of a frame."""
    copy = tmp_path / 'whole.mkv'
    with av.open(str(video)) as given, av.open(str(copy), 'w') as taken:
        stream = taken.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                taken.mux(packet)
    whole = copy.read_bytes()
    return whole[: len(whole) * 2 // 3]


def test_two_sources_of_one_name(make_folder, tmp_path, out):
    first, _ = make_folder('a b', 24)
    (tmp_path / 'other').mkdir()
    second, _ = make_folder('other/a+b', 24)
    with pytest.raises(ValueError, match=r'a b and .*a\+b would both .* a_b_000'):
        convert_videos([first, second], out, VSRDBRecipe(3))
    assert not out.exists()


def test_source_that_changes_meanwhile(make_folder, out, monkeypatch):
    folder, _ = make_folder('a', 24)
    original = video_to_vsrdb._scan

    def scan_and_shorten(name, path):
        found = original(name, path)
        (folder / '0023.png').unlink()
        return found

    monkeypatch.setattr(video_to_vsrdb, '_scan', scan_and_shorten)
    with pytest.raises(ValueError, match='a_001 ended early: 3 .* instead of 4'):
        convert_videos([folder], out, VSRDBRecipe(3, clip_length=4))
    assert names(out / 'train_sharp') == ['a_000']
    assert not (out / 'train.txt').exists() and not (out / '.unfinished').exists()


@pytest.mark.parametrize(
    'arguments, error',
    [
        (dict(sub_frames=4), 'sub_frames must be odd.* got 4'),
        (dict(sub_frames=1), 'at least 3, got 1'),
        (dict(stride=0), 'stride .* got 0'),
        (dict(scale=0), 'scale .* got 0'),
        (dict(downscale=0), 'downscale .* got 0'),
        (dict(min_clip_length=0), 'min_clip_length .* got 0'),
        (dict(clip_length=2), 'clip_length .* got 2 and 3'),
        (dict(held_out=1.0), 'held_out .* got 1.0'),
        (dict(held_out=-0.1), 'held_out .* got -0.1'),
    ],
)
def test_bad_arguments_are_named(arguments, error):
    with pytest.raises(ValueError, match=error):
        VSRDBRecipe(**{'sub_frames': 3, **arguments})


def test_few_frames_are_held():
    alive = []

    def frames():
        for _ in range(60):
            frame = np.zeros((64, 64, 3), np.uint8)
            alive.append(weakref.ref(frame))
            yield frame

    for _ in VSRDBRecipe(5).apply(frames()):
        assert sum(frame() is not None for frame in alive) <= 6
