import subprocess
import sys
from dataclasses import FrozenInstanceError
from fractions import Fraction

import pytest

from fmanet_mm.video.limits import Limits
from fmanet_mm.video.options import ReadOptions, Resume, WriteOptions

HEAVY = 'av', 'cv2', 'numpy', 'PIL', 'torch', 'mmengine'


def modules_after(names):
    """Which of the heavy modules are imported along with others."""
    code = f'import sys, {names}; print(*(m for m in {HEAVY} if m in sys.modules))'
    done = subprocess.run(
        [sys.executable, '-c', code], check=True, capture_output=True, text=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    'name', ['options', 'limits', 'formats', 'clip_info', 'work_folder', 'timestamps']
)
def test_light_modules_import_the_standard_library_only(name):
    assert modules_after(f'fmanet_mm.video.{name}') == []


def test_reading_and_writing_need_no_torch():
    heavy = modules_after('fmanet_mm.video.writer, fmanet_mm.video.reader')
    assert not {'torch', 'mmengine'} & set(heavy)


def test_times_are_exact():
    options = ReadOptions(start=0.2, end=Fraction(1, 3), folder_fps=29.97)
    assert (options.start, options.end) == (Fraction(1, 5), Fraction(1, 3))
    assert options.folder_fps == Fraction(2997, 100)
    assert ReadOptions() == ReadOptions(None, None, 25, None, Limits(), False)


@pytest.mark.parametrize(
    ('part', 'message'),
    [
        (dict(start=-1), 'start must be at least 0 seconds, got -1'),
        (dict(end=-0.5), 'end must be at least 0 seconds, got -0.5'),
        (dict(start=0.1, end=0.1), 'end = 0.1 s leaves nothing; .* than start = 0.1 s'),
        (dict(end=0), 'end = 0 s leaves nothing; .* than start = 0 s'),
    ],
)
def test_parts_that_hold_nothing_are_refused(part, message):
    with pytest.raises(ValueError, match=message):
        ReadOptions(**part)


def test_a_run_that_resumes_can_be_resumed():
    assert Resume(enabled=True).keep_partial
    assert Resume(keep_partial=True) == Resume(False, True, {})
    assert not Resume().keep_partial


@pytest.mark.parametrize(
    ('options', 'name'), [(ReadOptions(), 'start'), (WriteOptions(), 'crf')]
)
def test_options_do_not_change(options, name):
    with pytest.raises(FrozenInstanceError):
        setattr(options, name, 1)
