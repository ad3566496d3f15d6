import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

# In the place of Python: answers questions with the real one, makes "environments" that
# hold a copy of itself, and notes what pip is asked to do in place of doing it.
FAKE_PYTHON = f"""#!/bin/bash
note() {{ echo "$*" >> "$FAKE_NOTES"; }}
case "$1 $2" in
    '-m venv')
        mkdir -p "$3/bin" && touch "$3/pyvenv.cfg" && cp "$0" "$3/bin/python" ;;
    '-m pip')
        note "${{@:2}} [ops=$MMCV_WITH_OPS gpus=${{CUDA_VISIBLE_DEVICES-all}}]"
        if [[ $* == *"+cpu"* && -z $FAKE_CPU_BUILDS ]]; then exit 1; fi
        if [[ $* == *"pip show"* ]]; then exit 1; fi
        if [[ $* == *"$FAKE_FAILURE"* ]]; then echo 'no such wheel' >&2; exit 1; fi ;;
    '-c import mmcv.ops') [[ -z $FAKE_OLD_MMCV ]] ;;
    '-c import platform'*) echo "${{FAKE_VERSION:-CPython 3.11.9}}" ;;
    '-c import venv'*) [[ -z $FAKE_NO_VENV ]] ;;
    '-c import os, sysconfig'*) [[ -z $FAKE_NO_HEADERS ]] ;;
    'tools/verify_env.py '*) note verify $2 ;;
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


def make_program(path, script):
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(0o755)


def df_that_finds(gigabytes):
    free = gigabytes * 1024**2
    return (
        'echo Filesystem 1024-blocks Used Available\n'
        f'echo /dev/sda {free + 87902848} 87902848 {free}'
    )


@pytest.fixture
def setup(checkout, tmp_path):
    """Run set-up; gives its result and what pip was asked to do."""
    notes = tmp_path / 'notes'
    ours = ('FMANET', 'LIGHT', 'FULL_MMCV', 'FORCE_CUDA', 'CPU_ONLY')
    base = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    # No NVIDIA GPU and a disk with room, wherever the tests run.
    programs = tmp_path / 'programs'
    programs.mkdir()
    make_program(programs / 'nvidia-smi', '[ -n "$FAKE_GPU" ]')
    make_program(programs / 'df', df_that_finds(gigabytes=90))
    base['PATH'] = f'{programs}:{base["PATH"]}'

    def run(*arguments, **environment):
        notes.write_text('')
        result = subprocess.run(
            ['bash', str(checkout / 'tools/setup_env.sh'), *arguments],
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


INSTALL = 'pip install -c requirements/constraints.txt'
INSTALL_FULL = 'pip install -c requirements/constraints-full-mmcv.txt'


def check_notes(notes, wanted):
    assert len(notes) == len(wanted)
    for note, beginning in zip(notes, wanted, strict=True):
        assert note.startswith(beginning)


def steps(result):
    return [line[:5] for line in result.stdout.splitlines() if line[0] == '[']


def test_fresh_setup_installs_in_the_order_that_works(setup, checkout):
    result, notes = setup(FAKE_GPU='1')
    assert result.returncode == 0, result.stderr
    wanted = [
        f'{INSTALL} torch torchvision [',
        'pip show -qq mmcv',
        f'{INSTALL} setuptools -r requirements/light.txt -r requirements/train.txt',
        f'{INSTALL} --no-build-isolation --no-deps -e .',
        f'{INSTALL} --force-reinstall --no-deps opencv-python-headless',
        'verify',
        'pip check',
    ]
    check_notes(notes, wanted)
    assert steps(result) == [f'[{step}/4]' for step in range(1, 5)]
    assert (checkout / '.venv/fmanet-setup.stamp').exists()


@pytest.mark.parametrize('how', ['argument', 'variable'])
def test_light_setup_installs_what_restoring_needs(setup, how):
    arguments = ['light'] if how == 'argument' else []
    variables = {} if how == 'argument' else {'LIGHT': '1'}
    result, notes = setup(*arguments, FAKE_GPU='1', **variables)
    assert result.returncode == 0, result.stderr
    wanted = [
        f'{INSTALL} torch [',
        f'{INSTALL} setuptools -r requirements/light.txt [',
        f'{INSTALL} --no-build-isolation --no-deps -e .',
        f'{INSTALL} --force-reinstall --no-deps opencv-python-headless',
        'verify light',
        'pip check',
    ]
    check_notes(notes, wanted)
    assert steps(result) == [f'[{step}/4]' for step in range(1, 5)]

    # What is missing is added when everything is wanted.
    _, notes = setup(FAKE_GPU='1')
    assert any('requirements/train.txt' in note for note in notes)


def test_torch_without_cuda_where_there_is_no_gpu_and_the_index_has_it(setup):
    result, notes = setup(FAKE_CPU_BUILDS='1')
    assert result.returncode == 0, result.stderr
    assert re.search(r' torch==[\d.]+\+cpu torchvision==[\d.]+\+cpu ', notes[0])
    assert notes[1].startswith('pip show')


def test_other_torch_if_the_index_has_none_without_cuda(setup):
    result, notes = setup()
    assert result.returncode == 0, result.stderr
    assert '+cpu' in notes[0]
    assert notes[1].startswith(f'{INSTALL} torch torchvision [')


@pytest.mark.parametrize(
    ('environment', 'expected'),
    [({'FAKE_GPU': '1'}, False), ({'CPU_ONLY': '0'}, False), ({'CPU_ONLY': '1'}, True),
     ({'FAKE_GPU': '1', 'CPU_ONLY': '1'}, True)],
)  # fmt: skip
def test_the_user_may_choose_whether_torch_has_cuda(setup, environment, expected):
    _, notes = setup(FAKE_CPU_BUILDS='1', **environment)
    assert ('+cpu' in notes[0]) == expected


def test_second_run_only_verifies_until_requirements_change(setup, checkout):
    setup()
    result, notes = setup()
    assert result.returncode == 0
    assert 'is up to date' in result.stdout
    check_notes(notes, ['verify', 'pip check'])

    with open(checkout / 'requirements/tests.txt', 'a') as file:
        file.write('one-more\n')
    _, notes = setup()
    assert len(notes) == 8

    _, notes = setup(LIGHT='1')
    assert len(notes) == 7


def test_environment_elsewhere(setup, tmp_path):
    result, _ = setup(FMANET_VENV=str(tmp_path / 'else where'))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'else where/fmanet-setup.stamp').exists()


def test_failing_pip_names_step_and_log_and_the_next_run_resumes(setup, checkout):
    result, notes = setup(FAKE_FAILURE='train.txt')
    assert result.returncode == 1
    assert 'train.txt' in notes[-1]
    assert 'no such wheel' in result.stderr
    assert 'step 2 (mmagic, mmflow and everything else) failed after' in result.stderr
    assert f'Full log: {checkout}/.venv/fmanet-setup.log' in result.stderr
    assert not (checkout / '.venv/fmanet-setup.stamp').exists()

    result, notes = setup()
    assert result.returncode == 0
    assert len(notes) == 8


def test_full_mmcv_is_built_with_the_torch_it_can_be_built_with(setup):
    result, notes = setup(FULL_MMCV='1')
    assert result.returncode == 0, result.stderr
    wanted = [
        f'{INSTALL_FULL} --upgrade pip setuptools wheel ninja',
        f'{INSTALL_FULL} torch torchvision [',
        f'{INSTALL_FULL} numpy psutil',
        'pip uninstall -y mmcv-lite',
        f'{INSTALL_FULL} --no-build-isolation --no-deps mmcv [ops=1 gpus=]',
        f'{INSTALL_FULL} setuptools -r requirements/light.txt',
        f'{INSTALL_FULL} --no-build-isolation --no-deps -e .',
        f'{INSTALL_FULL} --force-reinstall --no-deps opencv-python-headless',
        'verify',
        'pip check',
    ]
    check_notes(notes, wanted)
    assert 'requirements/train.txt' not in notes[5]
    assert steps(result) == [f'[{step}/7]' for step in range(1, 8)]


def test_full_mmcv_needs_the_rest_without_mmcv_lite(setup, checkout):
    setup(FULL_MMCV='1')
    ours = (checkout / '.venv/fmanet-train.txt').read_text()
    assert 'mmcv-lite' not in ours
    assert 'mmagic' in ours


def test_cached_mmcv_of_another_torch_is_built_again(setup):
    result, notes = setup(FULL_MMCV='1', FAKE_OLD_MMCV='1')
    assert result.returncode == 0, result.stderr
    (again,) = [note for note in notes if '--force-reinstall mmcv' in note]
    assert '--no-cache-dir' in again


def test_cuda_operators_on_request(setup):
    _, notes = setup(FULL_MMCV='1', FORCE_CUDA='1')
    (built,) = [note for note in notes if ' mmcv [' in note]
    assert '--no-cache-dir mmcv [ops=1 gpus=' in built
    assert not built.endswith('gpus=]')


def test_unknown_argument(setup, checkout):
    result, notes = setup('lite')
    assert result.returncode == 1
    assert 'unknown argument lite' in result.stderr
    assert not (checkout / '.venv').exists()


def test_light_and_full_exclude_each_other(setup):
    result, _ = setup('light', FULL_MMCV='1')
    assert result.returncode == 1
    assert 'not both' in result.stderr


@pytest.mark.parametrize('version', ['3.10.4', '3.11.9', '3.12.1'])
def test_fit_python(setup, version):
    result, _ = setup(FAKE_VERSION=f'CPython {version}')
    assert result.returncode == 0, result.stderr


def test_light_door_takes_python_3_13(setup):
    result, _ = setup('light', FAKE_VERSION='CPython 3.13.0')
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ('environment', 'message'),
    [
        ({'FAKE_VERSION': 'CPython 3.9.2'}, 'is CPython 3.9.2; the tested set needs'),
        ({'FAKE_VERSION': 'PyPy 3.11.1'}, 'is PyPy 3.11.1; the tested set needs'),
        ({'PYTHON': '/gone/python'}, 'PYTHON=/gone/python does not run'),
        ({'FAKE_VERSION': 'CPython 3.13.0'}, 'is CPython 3.13.0; the tested set needs'),
        ({'FAKE_NO_VENV': '1'}, 'apt install python3-venv'),
        ({'FAKE_NO_HEADERS': '1', 'FULL_MMCV': '1'}, 'apt install python3-dev'),
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
    result, notes = setup(FAKE_VERSION='CPython 3.9.1')
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


def programs_without(folder, *left_out):
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
    path = f'{tmp_path / "programs"}:{programs_without(tmp_path / "bin", "c++", "g++")}'
    result, notes = setup(PATH=path, FULL_MMCV='1')
    assert result.returncode == 1
    assert 'apt install g++' in result.stderr
    assert notes == []
    result, _ = setup(PATH=path)
    assert result.returncode == 0, 'only mmcv needs a compiler'


def test_full_disk(setup, tmp_path):
    make_program(tmp_path / 'programs/df', df_that_finds(gigabytes=2))
    result, notes = setup()
    assert result.returncode == 1
    assert 'has 2 GB free' in result.stderr
    assert 'FMANET_VENV=' in result.stderr
    assert notes == []
