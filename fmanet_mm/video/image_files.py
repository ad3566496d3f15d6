"""What formats of images hold besides pixels: orientation, pages, colour profiles."""

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageFile

_ORIENTATION = 274
_SUBFILE_TYPE = 254
_PHOTOMETRIC = 262
_BITS = 258
_REDUCED_OR_MASK = 0b101
_CIELAB = (8, 9, 10)
_RGB_PROFILE = b'RGB '

_UPRIGHT = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image.swapaxes(0, 1)[:, ::-1],
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: image.swapaxes(0, 1)[::-1],
}
"""How to turn an image upright, by the EXIF orientation; others are upright."""


def count_pages(header: ImageFile.ImageFile) -> int:
    """Return how many pictures a file shows, one after the other.

    Further pictures of a photo, such as a thumbnail, a mask or a map of brightness, do
    not count.
    """
    if header.format == 'MPO':
        return 1
    return len(list_pages(header))


def list_pages(header: ImageFile.ImageFile) -> list[int]:
    """Return the numbers in the file of the pictures of :func:`count_pages`."""
    numbers = range(getattr(header, 'n_frames', 1))
    if header.format != 'TIFF' or len(numbers) == 1:
        return [*numbers]
    pages = []
    for number in numbers:
        header.seek(number)
        if not header.tag_v2.get(_SUBFILE_TYPE, 0) & _REDUCED_OR_MASK:
            pages.append(number)
    header.seek(0)
    return pages or [0]


def read_orientation(header: ImageFile.ImageFile, data: np.ndarray) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none.

    Args:
        header (ImageFile): Of the file, not decoded yet.
        data (np.ndarray): Content of the file.
    """
    if header.format == 'TIFF':
        return header.tag_v2.get(_ORIENTATION, 1)
    if header.format == 'PNG' and b'eXIf' in data.tobytes():
        header.load()  # Its EXIF data may come after the pixels.
    return _read_exif(header).get(_ORIENTATION, 1)


def holds_notes(header: ImageFile.ImageFile) -> bool:
    """Whether an image has EXIF data besides its orientation."""
    return bool(_read_exif(header).keys() - {_ORIENTATION})


def turn_upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror (H, W, 3) as an EXIF orientation says."""
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else np.ascontiguousarray(turn(image))


def without_orientation(data: np.ndarray) -> np.ndarray:
    """Change the content of a TIFF file so that all its pages are upright.

    OpenCV turns TIFF images of 8 bits, but no others.
    """
    data = data.copy()
    order = '<' if data[:2].tobytes() == b'II' else '>'
    is_big = struct.unpack_from(f'{order}H', data, 2)[0] == 43
    start, count, offset, entry = ('8', 'Q', 'Q', 20) if is_big else ('4', 'H', 'I', 12)
    place = struct.unpack_from(f'{order}{offset}', data, int(start))[0]
    seen = set()
    try:
        while place and place not in seen:
            seen.add(place)
            number = struct.unpack_from(f'{order}{count}', data, place)[0]
            place += struct.calcsize(f'{order}{count}')
            for at in range(place, place + number * entry, entry):
                if struct.unpack_from(f'{order}H', data, at)[0] == _ORIENTATION:
                    struct.pack_into(f'{order}H', data, at + entry // 5 * 4, 1)
            place += number * entry
            place = struct.unpack_from(f'{order}{offset}', data, place)[0]
    except struct.error:
        pass  # Damaged; the decoder says so.
    return data


def is_cielab(header: ImageFile.ImageFile) -> bool:
    """Whether a file is a TIFF in CIELAB."""
    return header.format == 'TIFF' and header.tag_v2.get(_PHOTOMETRIC) in _CIELAB


def decode_cielab(header: ImageFile.ImageFile) -> np.ndarray:
    """Decode an upright TIFF in CIELAB as (H, W, 3), uint8, RGB.

    Raises:
        ValueError: If it is not of 8 bits.
    """
    if header.mode != 'LAB':
        raise ValueError(
            f'{header.filename} is in CIELAB of more than 8 bits; convert it to RGB'
        )
    lab, srgb = ImageCms.createProfile('LAB'), ImageCms.createProfile('sRGB')
    return np.asarray(ImageCms.profileToProfile(header, lab, srgb, outputMode='RGB'))


def has_short_alpha(header: ImageFile.ImageFile) -> bool:
    """Whether a page of a TIFF file is RGB with alpha, of 8 bits."""
    return header.mode == 'RGBA' and header.tag_v2.get(_BITS) == (8, 8, 8, 8)


def decode_colours(data: np.ndarray, page: int) -> np.ndarray:
    """Decode a page of an upright TIFF file as (H, W, 3), uint8, without its alpha."""
    with Image.open(io.BytesIO(data.tobytes()), formats=('TIFF',)) as image:
        image.seek(page)
        return np.asarray(image.convert('RGB'))


def decode_netpbm(data: np.ndarray) -> np.ndarray | None:
    """Decode a PGM or PPM file.

    OpenCV does not scale values to white, and stops at some comments.

    Returns:
        np.ndarray | None: (H, W, 3), uint8 or uint16 of the full range, RGB; None if it
        is another file.

    Raises:
        OSError: If it is truncated.
    """
    content = data.tobytes()
    space = rb'(?:\s|#[^\n]*\n)+'
    header = re.match(rb'P([2356])' + 3 * (space + rb'(\d+)') + rb'\s', content)
    if header is None:
        return None
    kind, width, height, white = map(int, header.groups())
    if not 0 < white < 2**16:
        return None
    channels = 3 if kind in (3, 6) else 1
    number = height * width * channels
    if kind in (2, 3):
        values = np.array(content[header.end() :].split()[:number], np.int64)
    else:
        values = np.frombuffer(
            content, '>u2' if white > 255 else 'u1', offset=header.end()
        )
    if values.size < number:
        raise OSError('the file is truncated')
    dtype = np.uint16 if white > 255 else np.uint8
    values = values[:number].reshape(height, width, channels).clip(0, white)
    scaled = np.rint(values * (np.iinfo(dtype).max / white)).astype(dtype)
    return np.ascontiguousarray(np.broadcast_to(scaled, (height, width, 3)))


def read_profile(header: ImageFile.ImageFile) -> bytes | None:
    """Return the ICC profile of an image, if it is one of RGB."""
    profile = header.info.get('icc_profile')
    return profile if profile and profile[16:20] == _RGB_PROFILE else None


def is_srgb(profile: bytes) -> bool:
    """Whether an ICC profile says that it is that of sRGB."""
    try:
        description = ImageCms.getProfileDescription(_open_profile(profile))
    except ImageCms.PyCMSError:
        return False
    return 'srgb' in description.lower()


def convert_to_srgb(image: np.ndarray, profile: bytes) -> np.ndarray:
    """Convert (H, W, 3), uint8, from the colours of a profile to sRGB.

    Raises:
        ValueError: If it is uint16, or the profile cannot be used.
    """
    if image.dtype != np.uint8:
        raise ValueError('only images of 8 bits can be converted to sRGB')
    try:
        converted = ImageCms.profileToProfile(
            Image.fromarray(image),
            _open_profile(profile),
            ImageCms.createProfile('sRGB'),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except ImageCms.PyCMSError as error:
        raise ValueError(f'its colour profile cannot be used ({error})') from error
    return np.asarray(converted)


def embed_profile(data: bytes, suffix: str, profile: bytes) -> bytes | None:
    """Put an ICC profile into an encoded PNG or JPEG image.

    Returns:
        bytes | None: The image; None for other formats.
    """
    embed = {'.png': _embed_in_png, '.jpg': _embed_in_jpeg, '.jpeg': _embed_in_jpeg}
    function = embed.get(suffix.lower())
    return None if function is None else function(data, profile)


def _read_exif(header: ImageFile.ImageFile) -> dict[int, Any]:
    exif = Image.Exif()
    try:
        exif.load(header.info.get('exif', b''))
        return dict(exif)
    except Exception:  # Damaged EXIF data raise any exception.
        return {}


def _embed_in_png(data: bytes, profile: bytes) -> bytes:
    body = b'iCCP' + b'ICC profile\0\0' + zlib.compress(profile)
    chunk = (
        struct.pack('>I', len(body) - 4) + body + struct.pack('>I', zlib.crc32(body))
    )
    end = 33  # Of the signature and the first chunk, IHDR.
    return data[:end] + chunk + data[end:]


def _embed_in_jpeg(data: bytes, profile: bytes) -> bytes:
    size = 65519
    parts = [profile[at : at + size] for at in range(0, len(profile), size)]
    segments = b''.join(
        b'\xff\xe2'
        + struct.pack('>H', len(part) + 16)
        + b'ICC_PROFILE\0'
        + bytes((number, len(parts)))
        + part
        for number, part in enumerate(parts, start=1)
    )
    # After the segment of JFIF, which must come first.
    end = 4 + int.from_bytes(data[4:6], 'big') if data[2:4] == b'\xff\xe0' else 2
    return data[:end] + segments + data[end:]


def _open_profile(profile: bytes) -> ImageCms.ImageCmsProfile:
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except OSError as error:
        raise ImageCms.PyCMSError(str(error)) from error
