"""Images as phones, scanners, drawing programs and the web write them."""

import io
import os
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from fmanet_mm.video.image_files import embed_profile, is_srgb
from fmanet_mm.video.images import read_image
from fmanet_mm.video.options import ReadOptions
from fmanet_mm.video.reader import open_frames
from fmanet_mm.video.writer import open_writer

SUFFIXES = ['.jpg', '.jpe', '.jfif', '.png', '.webp', '.tif']


def picture(height=16, width=24):
    """A picture without any symmetry."""
    y, x = np.mgrid[:height, :width]
    planes = (255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 5 + y / 9))
    return np.stack(planes, 2).astype(np.uint8)


def colours(number):
    return 40 * number, 200 - 30 * number, 80


def flat(number, size=(32, 24)):
    return Image.new('RGB', size, colours(number))


def save(path, image, orientation=1, **options):
    """Write an image with an EXIF orientation."""
    image = Image.fromarray(image)
    exif = Image.Exif()
    exif[0x0112] = orientation
    kind = {'.jpe': 'JPEG', '.jfif': 'JPEG'}.get(path.suffix)
    if path.suffix == '.tif':
        image.save(path, tiffinfo={274: orientation}, **options)
    else:
        if path.suffix == '.webp':
            options['lossless'] = True
        image.save(path, kind, exif=exif, **options)
    return path


# Orientation


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('orientation', range(1, 9))
def test_images_are_upright(tmp_path, suffix, orientation):
    path = save(tmp_path / f'a{suffix}', picture(), orientation)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
    given = read_image(path)
    assert given.shape == expected.shape
    assert np.abs(given.astype(int) - expected).max() <= 1


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('order', ['<', '>'])
def test_tiff_of_16_bits_is_upright(tmp_path, orientation, order):
    image = picture().astype(np.uint16) * 257 + 3
    path = tmp_path / 'a.tif'
    path.write_bytes(tiff_16(image, orientation, order))
    upright = ImageOps.exif_transpose(with_orientation(picture(), orientation))
    expected = np.asarray(upright).astype(np.uint16) * 257 + 3
    np.testing.assert_array_equal(read_image(path, None), expected)


def with_orientation(image, orientation):
    image = Image.fromarray(image)
    image.getexif()[0x0112] = orientation
    return image


def tiff_16(image, orientation, order):
    """A TIFF of 16 bits, in either order of bytes."""
    height, width, _ = image.shape
    pixels = image.astype(f'{order}u2').tobytes()
    start = 8 + len(pixels)
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, start + 2 + 12 * 11 + 4),
        (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8), (274, 3, 1, orientation),
        (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(pixels)), (284, 3, 1, 1),
    ]  # fmt: skip
    entries = b''
    for tag, kind, count, value in tags:
        form = 'HH' if kind == 3 and count == 1 else 'I'
        values = (value, 0) if form == 'HH' else (value,)
        entries += struct.pack(f'{order}HHI{form}', tag, kind, count, *values)
    return (
        (b'II' if order == '<' else b'MM')
        + struct.pack(f'{order}HI', 42, start)
        + pixels
        + struct.pack(f'{order}H', len(tags))
        + entries
        + struct.pack(f'{order}IHHH', 0, 16, 16, 16)
    )


def test_damaged_exif_data_are_ignored(tmp_path):
    image = Image.fromarray(picture())
    image.save(tmp_path / 'a.jpg', exif=b'Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x12\0')
    assert read_image(tmp_path / 'a.jpg').shape == (16, 24, 3)


# Values


def test_cielab_becomes_rgb(tmp_path):
    rgb = [(200, 40, 30), (30, 160, 60), (240, 240, 240), (20, 40, 160)]
    image = Image.new('RGB', (4, 1))
    for x, value in enumerate(rgb):
        image.putpixel((x, 0), value)
    srgb, lab = (ImageCms.createProfile(name) for name in ('sRGB', 'LAB'))
    ImageCms.profileToProfile(image, srgb, lab, outputMode='LAB').save(
        tmp_path / 'a.tif'
    )
    given = read_image(tmp_path / 'a.tif')[0].astype(int)
    assert np.abs(given - rgb).max() <= 4  # 8 bits of CIELAB are coarse


@pytest.mark.parametrize(
    ('kind', 'orientation'), [('RGBA', 1), ('RGBA', 6), ('LA', 6), ('two RGBA', 1)]
)
def test_colours_behind_an_alpha_channel_stay(tmp_path, kind, orientation):
    rgb = Image.fromarray(picture())
    rgb = rgb.convert('L') if kind == 'LA' else rgb
    image = rgb.copy()
    image.putalpha(Image.fromarray(picture()[..., 1]))
    pages = [image] if 'two' in kind else []
    image.save(
        tmp_path / 'a.tif', tiffinfo={274: orientation}, save_all=bool(pages),
        append_images=pages,
    )  # fmt: skip
    expected = np.asarray(rgb.convert('RGB'))
    expected = expected if orientation == 1 else np.rot90(expected, -1)
    if not pages:
        np.testing.assert_array_equal(read_image(tmp_path / 'a.tif'), expected)
        return
    with open_frames(tmp_path / 'a.tif') as frames:
        assert len(given := list(frames)) == 2
    np.testing.assert_array_equal(given[1], expected)


@pytest.mark.parametrize('white', [1, 15, 100, 255, 1023, 4095, 65535])
@pytest.mark.parametrize('kind', [2, 3, 5, 6])
def test_netpbm_is_scaled_to_white(tmp_path, white, kind):
    channels = 3 if kind in (3, 6) else 1
    values = np.linspace(0, white, 12 * channels).astype(int).reshape(3, 4, channels)
    dtype = '>u2' if white > 255 else 'u1'
    head = f'P{kind}\n# by hand\n4 3\n{white}\n'.encode()
    body = values.astype(dtype).tobytes()
    if kind in (2, 3):
        body = ' '.join(map(str, values.ravel())).encode()
    path = tmp_path / 'a.pnm'
    path.write_bytes(head + body)
    given = read_image(path, np.uint16)
    expected = np.broadcast_to(values / white, (3, 4, 3))
    np.testing.assert_allclose(given / 65535, expected, atol=0.5 / 255)
    path.write_bytes(head + body[: len(body) // 2])
    with pytest.raises(ValueError, match='a.pnm cannot be read as an image'):
        read_image(path)


# Several pictures in a file


def save_animation(path, **options):
    first, *rest = (flat(number) for number in range(5))
    first.save(path, save_all=True, append_images=rest, **options)
    return path


ANIMATIONS = {
    'a.tif': {},
    'a.webp': dict(duration=[100, 50, 250, 100, 400], lossless=True),
    'a.png': dict(duration=[100, 50, 250, 100, 400]),
    'a.gif': dict(duration=[100, 50, 250, 100, 400]),
}
TIMES = [0, 0.1, 0.15, 0.4, 0.5]


@pytest.mark.parametrize('name', ANIMATIONS)
def test_a_file_of_several_pictures_is_a_clip(tmp_path, name):
    path = save_animation(tmp_path / name, **ANIMATIONS[name])
    with open_frames(path, ReadOptions(folder_fps=10)) as frames:
        images, times = zip(*((f.image, f.time) for f in frames.timed()), strict=True)
        last = frames.last_duration
    assert len(images) == 5
    if name != 'a.gif':
        assert float(last) == pytest.approx(0.1 if name == 'a.tif' else 0.4)
    for number, image in enumerate(images):
        assert np.abs(image.astype(int) - colours(number)).max() <= 1
    expected = [n / 10 for n in range(5)] if name == 'a.tif' else TIMES
    assert [float(time) for time in times] == pytest.approx(expected)


@pytest.mark.parametrize('name', ['a.tif', 'a.webp'])
def test_a_part_of_several_pictures(tmp_path, name):
    path = save_animation(tmp_path / name, **ANIMATIONS[name])
    with open_frames(path, ReadOptions(start=0.12, end=0.45, folder_fps=10)) as frames:
        assert frames.num_frames == (3 if name == 'a.tif' else 2)
        assert len(list(frames)) == frames.num_frames
    with pytest.raises(ValueError, match='holds no frames'):
        open_frames(path, ReadOptions(start=9))


@pytest.mark.parametrize('name', ['a.tif', 'a.webp', 'a.png'])
def test_in_a_folder_several_pictures_are_named(tmp_path, name):
    folder = tmp_path / 'clip'
    folder.mkdir()
    save_animation(folder / name, **ANIMATIONS[name])
    with pytest.raises(ValueError, match=rf'{name} holds 5 pictures; name it as an'):
        open_frames(folder)
    flat(0).save(folder / '0.png')
    with open_frames(folder) as frames:
        with pytest.raises(ValueError, match=rf'at frame 1: .*{name} holds 5 pict'):
            list(frames)


def test_deep_pages_are_clips_of_16_bits(tmp_path):
    images = [np.full((8, 8, 3), 1000 * n + 7, np.uint16) for n in range(3)]
    cv2.imwritemulti(str(tmp_path / 'a.tif'), images)
    with open_frames(tmp_path / 'a.tif', ReadOptions(keep_depth=True)) as frames:
        np.testing.assert_array_equal(list(frames), images)


def test_a_thumbnail_is_no_page(tmp_path):
    thumbnail = flat(1, (8, 6))
    thumbnail.encoderinfo = dict(tiffinfo={254: 1})
    path = tmp_path / 'a.tif'
    flat(0).save(path, save_all=True, append_images=[thumbnail])
    with Image.open(path) as image:
        image.seek(1)
        if image.tag_v2.get(254) != 1:
            pytest.skip('this Pillow writes no thumbnails')
    assert (read_image(path) == colours(0)).all()


def test_further_pictures_of_a_photo_are_no_frames(tmp_path):
    path = tmp_path / 'a.jpg'
    flat(0).save(path, 'MPO', save_all=True, append_images=[flat(1)])
    assert np.abs(read_image(path).astype(int) - colours(0)).max() <= 2


# Colour profiles


@pytest.fixture(scope='module')
def wide_profile():
    """An ICC profile whose red and green are exchanged, so that it has an effect."""
    profile = bytearray(
        ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    )
    profile = profile.replace(b'rXYZ', b'tXYZ').replace(b'gXYZ', b'rXYZ')
    profile = bytes(profile.replace(b'tXYZ', b'gXYZ'))
    for text in ('sRGB', 'sRGB'.encode('utf-16-be').decode('latin1')):
        profile = profile.replace(text.encode('latin1'), text.encode('latin1')[::-1])
    return profile


def save_clip(folder, profile, image=(200, 40, 30)):
    folder.mkdir()
    for number in range(2):
        Image.new('RGB', (8, 6), image).save(
            folder / f'{number}.png', icc_profile=profile
        )
    return folder


def copy(source, target, **options):
    with open_frames(source, ReadOptions(**options)) as frames:
        with open_writer(target, frames.info) as writer:
            for frame in frames:
                writer.write(frame)
    return target


def test_images_keep_their_profile(tmp_path, wide_profile):
    clip = save_clip(tmp_path / 'clip', wide_profile)
    out = copy(clip, tmp_path / 'out')
    for name in os.listdir(out):
        with Image.open(out / name) as image:
            assert image.info['icc_profile'] == wide_profile
            assert image.getpixel((0, 0)) == (200, 40, 30)


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_a_profile_is_embedded_as_formats_say(wide_profile, suffix):
    for profile in (wide_profile, wide_profile + os.urandom(100_000)):
        _, data = cv2.imencode(suffix, picture())
        with Image.open(
            io.BytesIO(embed_profile(data.tobytes(), suffix, profile))
        ) as image:
            image.load()
            assert image.info['icc_profile'] == profile


def test_to_srgb_converts(tmp_path, wide_profile):
    assert not is_srgb(wide_profile)
    clip = save_clip(tmp_path / 'clip', wide_profile)
    out = copy(clip, tmp_path / 'out', to_srgb=True)
    with Image.open(out / os.listdir(out)[0]) as image:
        assert 'icc_profile' not in image.info
        assert np.abs(np.subtract(image.getpixel((0, 0)), (40, 200, 30))).max() <= 3


def test_stacks_keep_their_profile(tmp_path, wide_profile):
    stack = save_animation(tmp_path / 'a.tif', icc_profile=wide_profile)
    out = copy(stack, tmp_path / 'out')
    with Image.open(out / '00000000.png') as image:
        assert image.info['icc_profile'] == wide_profile


def test_a_video_without_place_for_a_profile_is_reported(
    tmp_path, wide_profile, caplog
):
    clip = save_clip(tmp_path / 'clip', wide_profile)
    copy(clip, tmp_path / 'out.mp4')
    assert '--to-srgb converts' in caplog.text
    caplog.clear()
    copy(clip, tmp_path / 'srgb.mp4', to_srgb=True)
    assert caplog.text == ''


def test_another_profile_within_a_clip_is_reported(tmp_path, wide_profile, caplog):
    clip = save_clip(tmp_path / 'clip', wide_profile)
    Image.new('RGB', (8, 6)).save(clip / '2.png')
    copy(clip, tmp_path / 'out')
    assert '2.png has another colour profile' in caplog.text
