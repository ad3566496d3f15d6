import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

# Stands in for Python: answers questions with the real one, makes "environments" that
# hold a copy of itself, and notes what pip is asked to do in place of doing it.
FAKE_PYTHON = f"""#!/bin/bash
note() {{ echo "$*" >> "$FAKE_NOTES"; }}
case "$1 $2" in
    '-m venv')
        mkdir -p "$3/bin" && touch "$3/pyvenv.cfg" && cp "$0" "$3/bin/python" ;;
    '-m pip')
        note "${{@:2}} [ops=$MMCV_WITH_OPS gpus=${{CUDA_VISIBLE_DEVICES-all}}]"
        if [[ $* == *"$FAKE_FAILURE"* ]]; then echo 'no such wheel' >&2; exit 1; fi ;;
    '-c import mmcv.ops') [[ -z $FAKE_OLD_MMCV ]] ;;
    '-c import platform'*) echo "${{FAKE_VERSION:-CPython 3.11.9}}" ;;
    '-c import venv'*) [[ -z $FAKE_NO_VENV ]] ;;
    '-c import os, sysconfig'*) [[ -z $FAKE_NO_HEADERS ]] ;;
    'tools/verify_env.py '*) note verify ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """The files that set-up reads, in a folder with a space in its name."""
    repo = tmp_path / 'my checkout'
    for name in ('tools/setup_env.sh', 'setup.py', 'pyproject.toml'):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / name, repo / name)
    shutil.copytree(REPO / 'requirements', repo / 'requirements')
    python = tmp_path / 'fake_python'
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    return repo


@pytest.fixture
def setup(checkout, tmp_path):
    """Run set-up; gives its result and what pip was asked to do."""
    notes = tmp_path / 'notes'
    base = {k: v for k, v in os.environ.items() if not k.startswith('FMANET')}

    def run(**environment):
        notes.write_text('')
        result = subprocess.run(
            ['bash', str(checkout / 'tools/setup_env.sh')],
            env={
                **base,
                'PYTHON': str(tmp_path / 'fake_python'),
                'FAKE_NOTES': str(notes),
                'FAKE_FAILURE': 'never',
                **environment,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        return result, notes.read_text().splitlines()

    return run


def test_fresh_setup_installs_in_the_order_that_works(setup, checkout):
    result, notes = setup()
    assert result.returncode == 0, result.stderr
    install = 'pip install -c requirements/constraints.txt'
    wanted = [
        f'{install} --upgrade pip setuptools wheel',
        f'{install} torch torchvision numpy',
        f'{install} --no-build-isolation --no-deps mmcv',
        f'{install} -r requirements/runtime.txt',
        f'{install} --force-reinstall --no-deps opencv',
        f'{install} --no-build-isolation --no-deps -e .',
        'verify',
        'pip check',
    ]
    assert len(notes) == len(wanted)
    for note, beginning in zip(notes, wanted, strict=True):
        assert note.startswith(beginning)
    assert notes[2].endswith('[ops=1 gpus=]')
    assert [line[:5] for line in result.stdout.splitlines() if line[0] == '['] == [
        f'[{step}/6]' for step in range(1, 7)
    ]
    assert (checkout / '.venv/fmanet-setup.stamp').exists()


def test_second_run_only_verifies_until_requirements_change(setup, checkout):
    setup()
    result, notes = setup()
    assert result.returncode == 0
    assert 'is up to date' in result.stdout
    assert [note.partition(' [')[0] for note in notes] == ['verify', 'pip check']

    with open(checkout / 'requirements/tests.txt', 'a') as file:
        file.write('one-more\n')
    _, notes = setup()
    assert len(notes) == 8


def test_environment_elsewhere(setup, tmp_path):
    result, _ = setup(FMANET_VENV=str(tmp_path / 'else where'))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'else where/fmanet-setup.stamp').exists()


def test_failing_pip_names_step_and_log_and_the_next_run_goes_on(setup, checkout):
    result, notes = setup(FAKE_FAILURE='torchvision')
    assert result.returncode == 1
    assert len(notes) == 2
    assert 'no such wheel' in result.stderr
    assert 'step 2 (torch, torchvision, numpy) failed after' in result.stderr
    assert f'Full log: {checkout}/.venv/fmanet-setup.log' in result.stderr
    assert not (checkout / '.venv/fmanet-setup.stamp').exists()

    result, notes = setup()
    assert result.returncode == 0
    assert len(notes) == 8


def test_cached_mmcv_of_another_torch_is_built_anew(setup):
    result, notes = setup(FAKE_OLD_MMCV='1')
    assert result.returncode == 0, result.stderr
    assert 'building it anew' in result.stdout
    (again,) = [note for note in notes if '--force-reinstall mmcv' in note]
    assert '--no-cache-dir' in again
    assert '[7/7] verify' in result.stdout


def test_cuda_operators_on_request(setup):
    _, notes = setup(FORCE_CUDA='1')
    assert '--no-cache-dir mmcv [ops=1 gpus=' in notes[2]
    assert not notes[2].endswith('gpus=]')


@pytest.mark.parametrize(
    ('environment', 'message'),
    [
        ({'FAKE_VERSION': 'CPython 3.9.2'}, 'is CPython 3.9.2; the tested set needs'),
        ({'FAKE_VERSION': 'PyPy 3.11.1'}, 'is PyPy 3.11.1; the tested set needs'),
        ({'PYTHON': '/gone/python'}, 'PYTHON=/gone/python does not run'),
        ({'FAKE_NO_VENV': '1'}, 'apt install python3.11-venv'),
        ({'FAKE_NO_HEADERS': '1'}, 'apt install python3.11-dev'),
    ],
)
def test_unfit_python_is_refused_before_any_work(setup, checkout, environment, message):
    result, notes = setup(**environment)
    assert result.returncode == 1
    assert message in result.stderr
    assert notes == []
    assert not (checkout / '.venv').exists()


def test_environment_of_another_python_is_left_alone(setup, checkout):
    setup()
    result, notes = setup(FAKE_VERSION='CPython 3.12.1')
    assert result.returncode == 1
    assert f'Remove {checkout}/.venv' in result.stderr
    assert notes == []


def test_folder_that_is_no_environment_is_left_alone(setup, tmp_path):
    precious = tmp_path / 'precious'
    precious.mkdir()
    (precious / 'thesis.tex').touch()
    result, notes = setup(FMANET_VENV=str(precious))
    assert result.returncode == 1
    assert f'{precious} is not a virtual environment' in result.stderr
    assert [path.name for path in precious.iterdir()] == ['thesis.tex']


def tools_without(folder, *left_out):
    """A PATH with the usual programs but those in ``left_out``."""
    folder.mkdir()
    for place in reversed(os.environ['PATH'].split(':')):
        for program in Path(place).glob('*') if os.path.isdir(place) else ():
            link = folder / program.name
            if program.name not in left_out:
                link.unlink(missing_ok=True)
                link.symlink_to(program)
    return folder


def test_missing_compiler(setup, tmp_path):
    path = tools_without(tmp_path / 'bin', 'c++', 'g++')
    result, notes = setup(PATH=str(path))
    assert result.returncode == 1
    assert 'apt install g++' in result.stderr
    assert notes == []


def test_full_disk(setup, tmp_path):
    path = tools_without(tmp_path / 'bin', 'df')
    (path / 'df').write_text(
        '#!/bin/sh\necho Filesystem 1024-blocks Used Available\n'
        'echo /dev/sda 90000000 87902848 2097152\n'
    )
    (path / 'df').chmod(0o755)
    result, notes = setup(PATH=str(path))
    assert result.returncode == 1
    assert 'has 2 GB free' in result.stderr
    assert 'FMANET_VENV=' in result.stderr
    assert notes == []
