"""The figures of benchmarks/startup.py."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / 'benchmarks' / 'startup.py'


@pytest.fixture(scope='module')
def startup():
    spec = importlib.util.spec_from_file_location('startup', FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_is_compared_to_an_empty_program_and_the_api_to_torch(startup):
    seconds = ([0.02, 0.03, 0.9], [0.12, 0.15, 0.2], [2, 2, 3], [2, 3, 4])
    text = startup.report(dict(zip(startup.PROGRAMS, seconds, strict=True)))
    assert 'fmanet-restore --help: 5.0 times an empty program' in text
    assert '+1.00 s over torch, 1.50 times its import' in text
    assert '0.03 s   (0.02 to 0.90)' in text


def test_programs_that_fail_are_not_measured(startup):
    assert startup.seconds(['-c', 'pass']) > 0
    with pytest.raises(startup.subprocess.CalledProcessError):
        startup.seconds(['-c', 'raise SystemExit(1)'])
