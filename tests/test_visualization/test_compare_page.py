import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from browser import CHROMIUM, DRIVER, Browser
from mmagic.evaluation.metrics.psnr import psnr
from mmagic.evaluation.metrics.ssim import ssim

from fmanet_mm.visualization.compare_page import ComparePage, write_compare_page

SCALE = 4
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason='needs Chromium. On Debian: apt install chromium chromium-driver',
)


def make_clip(num_frames=3, height=24, width=36):
    """Inputs, restored frames and targets; every frame has a colour of its own."""
    generator = np.random.default_rng(0)
    targets = []
    for index in range(num_frames):
        noise = generator.uniform(0, 60, (height, width, 3))
        large = cv2.resize(noise, (SCALE * width, SCALE * height))
        targets.append((large + [20 * index % 190, 90, 30]).astype(np.uint8))
    inputs = [cv2.resize(image, (width, height)) for image in targets]
    restored = [np.clip(image + 3.0, 0, 255).astype(np.uint8) for image in targets]
    return inputs, restored, targets


class Parser(HTMLParser):
    """Counts elements and collects what they refer to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.references, self.data, self.words = [], [], '', ''
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.references += [attributes[k] for k in ('src', 'href') if k in attributes]
        if tag not in ('meta', 'link', 'img', 'input'):
            self.open.append(tag)
        self.in_data = attributes.get('id') == 'data'

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] == 'script':
            self.data += text if self.in_data else ''
        else:
            self.words += text


def read(path):
    parser = Parser(path.read_text())
    assert parser.open == []
    return parser, json.loads(parser.data)


def decode(uri):
    header, data = uri.split(',')
    assert re.fullmatch('data:image/(png|jpeg);base64', header)
    array = np.frombuffer(base64.b64decode(data), np.uint8)
    return cv2.imdecode(array, cv2.IMREAD_COLOR)[..., ::-1]


def shown(page):
    return [frame['index'] for frame in page['frames']]


def test_needs_nothing_from_outside(tmp_path):
    path = tmp_path / 'new' / 'page.html'
    write_compare_page(path, *make_clip())
    parser, page = read(path)
    assert parser.references == ['data:,']
    for image in page['frames'][0]['images'].values():
        assert image.startswith('data:image/')
    text = re.sub('base64,[^"]*', '', path.read_text())
    assert not re.search(r'https?:|//[a-z]|@import|url\(', text)
    assert "default-src 'none'; img-src data:;" in text
    assert [file.name for file in path.parent.iterdir()] == ['page.html']


def test_shows_the_pictures_it_was_given(tmp_path):
    inputs, restored, targets = make_clip()
    write_compare_page(tmp_path / 'page.html', inputs, restored, targets)
    parser, page = read(tmp_path / 'page.html')
    assert '3 frames, from 36×24 to 144×96 pixels' in parser.words
    assert shown(page) == [0, 1, 2]
    keys = ['input', 'bicubic', 'restored', 'target']
    assert [layer['key'] for layer in page['layers']] == keys
    for index, frame in enumerate(page['frames']):
        images = {key: decode(image) for key, image in frame['images'].items()}
        assert np.array_equal(images['input'], inputs[index])
        for key, image in (('restored', restored), ('target', targets)):
            assert np.abs(images[key] - image[index].astype(float)).mean() < 1.5
        smooth = cv2.resize(inputs[index], (144, 96), interpolation=cv2.INTER_CUBIC)
        assert np.abs(images['bicubic'] - smooth.astype(float)).mean() < 2.5


def test_measures_as_the_evaluation_does(tmp_path):
    inputs, restored, targets = make_clip()
    restored[0][:2] = 0  # at the border, which does not count
    restored[2] = targets[2].copy()
    write_compare_page(tmp_path / 'page.html', inputs, restored, targets)
    _, page = read(tmp_path / 'page.html')
    expected = [
        (psnr(a, b, crop_border=4), ssim(a, b, crop_border=4))
        for a, b in zip(restored, targets, strict=True)
    ]
    assert expected[0][0] == pytest.approx(expected[1][0], abs=0.1)
    for frame, (decibels, similarity) in zip(
        page['frames'][:2], expected[:2], strict=True
    ):
        assert frame['metrics'][2:] == [f'{decibels:.2f}', f'{similarity:.4f}']
    assert page['frames'][2]['metrics'][2:] == ['∞', '1.0000']
    assert page['metrics']['columns'][2:] == ['Restored, PSNR (dB)', 'Restored, SSIM']
    assert page['metrics']['mean'][2:] == [
        '∞',
        f'{np.mean([similarity for _, similarity in expected]):.4f}',
    ]


def test_several_methods_take_the_place_of_the_restored_picture(tmp_path):
    inputs, restored, targets = make_clip()
    methods = [{'<A>': image, 'B': 255 - image} for image in restored]
    write_compare_page(tmp_path / 'page.html', inputs, methods, targets)
    _, page = read(tmp_path / 'page.html')
    names = [layer['name'] for layer in page['layers']]
    assert names == ['Input', '<A>', 'B', 'Ground truth']
    _, first, second, _ = (layer['key'] for layer in page['layers'])
    assert page['right'] == second
    for image, frame in zip(restored, page['frames'], strict=True):
        for key, expected in ((first, image), (second, 255 - image)):
            shown = decode(frame['images'][key])
            assert np.abs(shown - expected.astype(float)).mean() < 1.5
    assert page['metrics']['columns'] == [
        *('<A>, PSNR (dB)', '<A>, SSIM', 'B, PSNR (dB)', 'B, SSIM')
    ]
    assert (
        page['frames'][0]['metrics'][0]
        == f'{psnr(restored[0], targets[0], crop_border=4):.2f}'
    )


def test_all_frames_are_by_the_same_methods():
    (image, *_), (restored, *_), _ = make_clip()
    page = ComparePage('title')
    page.add(image, dict(A=restored))
    for other in (dict(B=restored), restored, {}):
        with pytest.raises(
            ValueError, match=r"the methods .*, the first frame \['A'\]"
        ):
            page.add(image, other)


def test_images_too_small_for_ssim_have_none(tmp_path):
    clip = make_clip(1, height=4, width=4)  # 16 - 2 * 4 pixels are left
    write_compare_page(tmp_path / 'page.html', *clip)
    _, page = read(tmp_path / 'page.html')
    metrics = page['frames'][0]['metrics']
    assert metrics[1::2] == ['–', '–'] and float(metrics[2]) > 20


def test_without_truth_nothing_is_measured(tmp_path):
    write_compare_page(tmp_path / 'page.html', *make_clip()[:2])
    _, page = read(tmp_path / 'page.html')
    assert page['metrics'] is None
    assert page['frames'][0]['metrics'] == []


@pytest.mark.parametrize(
    ('length', 'most', 'wanted', 'expected'),
    [
        (5, 5, 5, [0, 1, 2, 3, 4]),
        (6, 5, 6, [0, 2, 4]),
        (20, 5, 11, [0, 4, 8, 12, 16]),
        (21, 5, 12, [0, 8, 16]),
        (3, 1, 3, [0]),
    ],
)
def test_chooses_frames_evenly(tmp_path, length, most, wanted, expected):
    page = ComparePage('clip', max_frames=most)
    asked = 0
    for image, restored, _ in zip(*make_clip(length, 6, 6), strict=True):
        asked += page.wants_next
        page.add(image, restored)
    page.write(tmp_path / 'page.html')
    parser, data = read(tmp_path / 'page.html')
    assert shown(data) == expected
    assert asked == wanted
    assert data['clip_length'] == length
    if length > most:
        assert f'{len(expected)} of {length} frames' in parser.words


def test_keeps_to_its_size_but_shows_a_frame(tmp_path):
    clip = make_clip(8)[:2]
    path = tmp_path / 'page.html'
    write_compare_page(path, *clip)
    frame = sum(map(len, read(path)[1]['frames'][0]['images'].values()))
    write_compare_page(path, *clip, max_bytes=3 * frame)
    assert shown(read(path)[1]) == [0, 4]
    write_compare_page(path, *clip, max_bytes=1)
    assert shown(read(path)[1]) == [0]


def test_shows_what_was_learned(tmp_path):
    inputs, restored, _ = make_clip(1)
    flow = np.zeros((3, 24, 36, 2), np.float32)
    flow[2, ..., 0] = 3
    kernels = np.zeros((3, 6, 6))
    kernels[1, 2, 4] = 0.5
    kernels[0, 1, 1] = 0.25
    write_compare_page(
        tmp_path / 'page.html', inputs, restored, flows=[flow], kernels=[kernels]
    )
    pictures = read(tmp_path / 'page.html')[1]['frames'][0]['pictures']
    assert [picture['caption'] for picture in pictures] == [
        'flow to frame −1, up to 0.0\u00a0px',
        'flow to frame +1, up to 3.0\u00a0px',
        'degradation kernel, frame −1',
        'degradation kernel, this frame',
        'degradation kernel, frame +1',
    ]
    still, moving, before, centre, _ = (decode(x['image']) for x in pictures)
    assert still.min() == 255 and moving.shape == (24, 36, 3) and moving.min() < 50
    brightness = centre.sum(-1)
    assert np.unravel_index(brightness.argmax(), (6, 6)) == (2, 4)
    assert brightness[2, 4] > before.sum(-1)[1, 1] > before.sum(-1)[0, 0]


def test_deep_images_look_the_same(tmp_path):
    inputs, restored, _ = make_clip(1)
    deep = [[image.astype(np.uint16) * 257 for image in x] for x in (inputs, restored)]
    write_compare_page(tmp_path / 'flat.html', inputs, restored)
    write_compare_page(tmp_path / 'deep.html', *deep)
    flat, deep = ((tmp_path / name).read_bytes() for name in ('flat.html', 'deep.html'))
    assert flat == deep


def test_deblurring_alone_is_compared_with_its_input(tmp_path):
    _, restored, targets = make_clip(1)
    write_compare_page(tmp_path / 'page.html', restored, targets, targets)
    _, page = read(tmp_path / 'page.html')
    assert [x['key'] for x in page['layers']] == ['input', 'restored', 'target']
    assert page['metrics']['columns'][0] == 'Input, PSNR (dB)'


def test_a_title_is_text(tmp_path):
    title = '<script>alert(1)</script> & {{data}}'
    write_compare_page(tmp_path / 'page.html', *make_clip(1)[:2], title=title)
    parser, _ = read(tmp_path / 'page.html')
    assert title in parser.words


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda i, r, t: (i, r[:2], t), r"\['restored'\] end after 2"),
        (lambda i, r, t: ([], [], []), 'no frame to show in .*page.html'),
        (
            lambda i, r, t: (i, [x[:-1] for x in r], t),
            'frame 0 does not fit: input 24x',
        ),
        (lambda i, r, t: (i, r, [*t[:2], t[2][:8]]), 'frame 2 does not fit'),
        (lambda i, r, t: ([*i[:2], i[2][..., 0]], r, t), 'input of frame 2 must be'),
        (lambda i, r, t: (i, [x / 255 for x in r], t), 'restored.*got.* float64'),
    ],
)
def test_frames_that_do_not_fit_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write_compare_page(tmp_path / 'page.html', *change(*make_clip()))
    assert not list(tmp_path.iterdir())


def test_a_page_of_no_frames_is_refused():
    with pytest.raises(ValueError, match='max_frames must be at least 1, got 0'):
        ComparePage('clip', max_frames=0)


@pytest.fixture(scope='module')
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp('page') / 'page.html'
    flow = np.ones((3, 24, 36, 2), np.float32)
    write_compare_page(path, *make_clip(), flows=[flow] * 3, title='a clip')
    return path


@pytest.fixture(scope='module')
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture
def stage(browser, page_file):
    """Opens the page; maps fractions of the stage to points of the window."""
    browser.emulate()
    browser.open(page_file)
    browser.wait("document.querySelector('#right-image').complete")
    box = browser.run(
        '(({x, y, width, height}) => [x, y, width, height])'
        "(document.querySelector('#stage').getBoundingClientRect())"
    )
    yield lambda x, y: (box[0] + x * box[2], box[1] + y * box[3])
    assert browser.messages() == []


def text(browser, selector):
    return browser.run(f'document.querySelector({selector!r}).innerText')


def cut(browser):
    return int(
        browser.run("document.querySelector('#divider').getAttribute('aria-valuenow')")
    )


@needs_chromium
def test_the_border_follows_mouse_and_keys(browser, stage, tmp_path):
    assert cut(browser) == 50
    browser.screenshot(tmp_path / 'before.png')
    browser.drag(stage(0.5, 0.5), stage(0.4, 0.5), stage(0.25, 0.6))
    assert cut(browser) == 25
    browser.screenshot(tmp_path / 'after.png')
    before, after = (
        cv2.imread(str(tmp_path / name)) for name in ('before.png', 'after.png')
    )
    x, y = map(round, stage(0.375, 0.2))
    assert (before[y - 20 : y + 20, x - 20 : x + 20] != after[
        y - 20 : y + 20, x - 20 : x + 20
    ]).any()  # fmt: skip
    browser.press('right', 'right')
    assert cut(browser) == 29
    browser.press('home')
    assert cut(browser) == 0
    browser.press('end', 'left')
    assert cut(browser) == 98
    # From anywhere on the picture, not the border alone; that magnifies nothing.
    marker = "document.querySelector('#marker').style.left"
    before = browser.run(marker)
    browser.drag(stage(0.1, 0.5), stage(0.6, 0.5))
    assert cut(browser) == 60
    assert browser.run(marker) == before


@needs_chromium
def test_steps_through_the_frames(browser, stage):
    source = "document.querySelector('#right-image').src"
    first = browser.run(source)
    assert text(browser, '#frame-name') == 'Frame 1 of 3'
    browser.run("document.querySelector('#next').click()")
    assert text(browser, '#frame-name') == 'Frame 2 of 3'
    assert browser.run(source) != first
    browser.press('.', '.')
    assert text(browser, '#frame-name') == 'Frame 3 of 3'
    assert browser.run("document.querySelector('#next').disabled")
    assert text(browser, 'tr[aria-current] th') == '3'
    browser.press(',', ',')
    assert browser.run(source) == first


@needs_chromium
def test_a_click_magnifies_a_place(browser, stage):
    canvas = "document.querySelector('canvas[data-layer=restored]')"
    pixels = f'{canvas}.toDataURL()'
    browser.wait(f'{canvas}.width === 256')
    before = browser.run(pixels)
    browser.drag(stage(0.9, 0.8))
    browser.wait(f'{pixels} !== {json.dumps(before)}')
    assert cut(browser) == 50
    marker = browser.run("document.querySelector('#marker').style.left")
    assert 50 < float(marker.rstrip('%')) <= 56  # 64 of 144 pixels, up to the edge
    browser.run(
        'document.querySelector(\'input[name=zoom-choice][value="8"]\').click()'
    )
    marker = browser.run("document.querySelector('#marker').style.width")
    assert float(marker.rstrip('%')) == pytest.approx(100 * 32 / 144, abs=0.1)


@needs_chromium
def test_chooses_what_is_compared(browser, stage):
    browser.run("document.querySelector('#left-choice input[value=target]').click()")
    assert text(browser, '#left-label') == 'Ground truth'
    src = browser.run("document.querySelector('#left-image').src")
    assert src == browser.run('page.frames[0].images.target')
    assert text(browser, '#learned-title').startswith('What the network learned')


@needs_chromium
@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [320, 1600])
def test_fits_the_window_and_the_colour_scheme(browser, stage, scheme, width):
    browser.emulate(scheme, width)
    assert browser.run('document.documentElement.scrollWidth') <= width
    colour = browser.run('getComputedStyle(document.body).backgroundColor')
    levels = [int(level) for level in re.findall(r'\d+', colour)[:3]]
    assert (max(levels) < 80) == (scheme == 'dark')
