import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

REPO = Path(__file__).resolve().parents[1]
PARTS = ('configs', 'fmanet_mm', 'requirements', 'tools')


def run(*command, **options):
    """Run a command without the checkout on its path; gives its output."""
    environment = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    result = subprocess.run(
        list(map(str, command)),
        env=environment,
        capture_output=True,
        text=True,
        **options,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope='module')
def sdist(tmp_path_factory):
    """A source distribution of the checkout, which stays clean."""
    source = tmp_path_factory.mktemp('source')
    for path in REPO.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    for name in PARTS:
        shutil.copytree(
            REPO / name,
            source / name,
            ignore=shutil.ignore_patterns('__pycache__', '.mim'),
        )
    build = 'from setuptools import build_meta; build_meta.build_sdist("dist")'
    run(sys.executable, '-c', build, cwd=source)
    (path,) = (source / 'dist').glob('fmanet_mm-*.tar.gz')
    return path


@pytest.fixture(scope='module')
def wheel(sdist):
    """A wheel that was built from the source distribution, as installers do."""
    run(
        *(sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation'),
        *('--wheel-dir', sdist.parent, sdist),
    )
    (path,) = sdist.parent.glob('fmanet_mm-*.whl')
    return path


def tracked(*folders):
    """Files of some folders of the checkout."""
    return {
        str(path.relative_to(REPO))
        for folder in folders
        for path in (REPO / folder).rglob('*')
        if path.is_file()
        and not {'__pycache__', '.mim'} & set(path.relative_to(REPO).parts)
    }


def test_sdist_carries_what_the_wheel_is_built_from(sdist):
    with tarfile.open(sdist) as archive:
        carried = {name.partition('/')[2] for name in archive.getnames() if '/' in name}
    files = {'LICENSE', 'README.md', 'model-index.yml', 'pyproject.toml', 'setup.py'}
    assert tracked(*PARTS) | files <= carried


def test_wheel_carries_configs_and_tools(wheel):
    with zipfile.ZipFile(wheel) as archive:
        carried = {
            name.removeprefix('fmanet_mm/.mim/')
            for name in archive.namelist()
            if name.startswith('fmanet_mm/.mim/')
        }
        outside = {name.split('/')[0] for name in archive.namelist()}
    assert carried == tracked('configs', 'tools') | {'model-index.yml'}
    assert {name for name in outside if not name.endswith('.dist-info')} == {
        'fmanet_mm'
    }


def test_wheel_carries_the_parts_of_the_comparison_page(wheel):
    folder = Path('fmanet_mm/visualization/compare_page')
    with zipfile.ZipFile(wheel) as archive:
        carried = {
            Path(name).name for name in archive.namelist() if folder.name in name
        }
    there = {path.name for path in (REPO / folder).iterdir() if path.is_file()}
    assert carried == there > {'template.html', 'style.css', 'script.js'}


def test_wheel_is_marked_as_typed(wheel):
    with zipfile.ZipFile(wheel) as archive:
        assert 'fmanet_mm/py.typed' in archive.namelist()


def needed(requirements):
    """Installed distributions that requirements need, directly or not."""
    found, left = {}, [Requirement(text) for text in requirements]
    while left:
        requirement = left.pop()
        extras = ['', *requirement.extras]
        marker = requirement.marker
        if marker and not any(marker.evaluate({'extra': extra}) for extra in extras):
            continue
        if requirement.name not in found:
            found[requirement.name] = distribution(requirement.name)
            left += map(Requirement, found[requirement.name].requires or ())
    return found.values()


@pytest.fixture
def light_environment(wheel, tmp_path):
    """An environment with the wheel and what it requires, and nothing else.

    Its requirements are links to the installed ones, so that nothing is downloaded.
    """
    links = tmp_path / 'links'
    links.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (n for n in archive.namelist() if n.endswith('/METADATA'))
        lines = archive.read(metadata).decode().splitlines()
    required = [
        line.removeprefix('Requires-Dist: ')
        for line in lines
        if line.startswith('Requires-Dist: ') and 'extra ==' not in line
    ]
    assert len(required) <= 8
    for found in needed(required):
        for top in {file.parts[0] for file in found.files} - {'..', '__pycache__'}:
            if not (links / top).exists():
                (links / top).symlink_to(found.locate_file(top))

    environment = tmp_path / 'environment'
    run(sys.executable, '-m', 'venv', '--without-pip', environment)
    python = environment / 'bin/python'
    run(
        *(sys.executable, '-m', 'pip', '--python', python, 'install'),
        *('--no-index', '--no-deps', wheel),
    )
    (site,) = environment.glob('lib/python*/site-packages')
    (site / 'requirements.pth').write_text(f'{links}\n')
    return environment / 'bin'


def test_wheel_restores_a_clip_where_only_its_requirements_are(
    light_environment, tmp_path
):
    script = """
import numpy as np
from fmanet_mm.utils import config_root
from fmanet_mm.video.writer import open_writer
with open_writer('in.mp4', fps=30) as writer:
    for _ in range(4):
        writer.write(np.zeros((16, 24, 3), np.uint8))
print(config_root() / 'demo/fmanet_demo.safetensors')
"""
    weights = run(light_environment / 'python', '-c', script, cwd=tmp_path).strip()
    assert weights.startswith(str(light_environment.parent))
    run(
        *(light_environment / 'fmanet-restore', 'in.mp4', '--out', 'out.mp4'),
        *('--checkpoint', weights, '--device', 'cpu'),
        cwd=tmp_path,
    )
    script = """
from fmanet_mm.video.reader import open_frames
with open_frames('out.mp4') as frames:
    print([frame.shape for frame in frames], frames.fps)
"""
    shown = run(light_environment / 'python', '-c', script, cwd=tmp_path)
    assert shown.strip() == f'{[(64, 96, 3)] * 4} 30'


def test_installed_wheel_works_from_another_folder(wheel, tmp_path):
    target = tmp_path / 'site'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    # -I and -S: nothing of the checkout, neither its folder nor its editable install.
    dependencies = sysconfig.get_path('purelib')
    script = f"""
import sys
sys.path[:0] = [{str(target)!r}, {dependencies!r}]
import numpy as np
import torch
import fmanet_mm.openmmlab
from mmagic.apis import MMagicInferencer, init_model
from fmanet_mm.utils import config_root
from fmanet_mm.video.reader import open_frames
from fmanet_mm.video.writer import open_writer
print(fmanet_mm.__file__)
print(config_root())
name = 'fmanet_s_stage2'
model = init_model(str(config_root() / (name + '.py')), device='cpu')
torch.save(dict(state_dict=model.state_dict()), 'weights.pth')
with open_writer('in.mp4', fps=30) as writer:
    for _ in range(2):
        writer.write(np.zeros((16, 24, 3), np.uint8))
inferencer = MMagicInferencer(
    'fmanet', config_name=name, model_ckpt='weights.pth', device='cpu'
)
inferencer.infer(video='in.mp4', result_out_dir='out.mp4')
with open_frames('out.mp4') as frames:
    print()
    print([frame.shape for frame in frames], frames.fps)
"""
    result = subprocess.run(
        [sys.executable, '-I', '-S', '-c', script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        str(target / 'fmanet_mm/__init__.py'),
        str(target / 'fmanet_mm/.mim/configs'),
    ]
    assert lines[-1] == '[(64, 96, 3), (64, 96, 3)] 30'


def test_editable_install_links_to_the_checkout():
    carried = REPO / 'fmanet_mm/.mim'
    if not carried.exists():
        pytest.skip('the package is not installed editable')
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (carried / name).is_symlink()
        assert (carried / name).resolve() == REPO / name


def test_model_index_names_configs_that_exist():
    index = yaml.safe_load((REPO / 'model-index.yml').read_text())
    for metafile in index['Import']:
        models = yaml.safe_load((REPO / metafile).read_text())['Models']
        assert models
        for model in models:
            assert (REPO / model['Config']).is_file(), model['Config']
