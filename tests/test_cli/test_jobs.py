from pathlib import Path

import pytest

from fmanet_mm.cli.jobs import Job, plan_jobs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('frames', 'take.2', 'out'):
        (tmp_path / name).mkdir()
    return tmp_path


def mark(folder):
    """Let a folder belong to a run."""
    (folder / 'run.json').write_text('{"program": "fmanet_mm"}')


@pytest.mark.parametrize(
    ('src', 'dst'),
    [
        ('clip.mp4', 'clip_restored.mp4'),
        ('a/clip.MKV', 'a/clip_restored.mkv'),
        ('/a/clip.webm', '/a/clip_restored.webm'),
        ('clip.mpg', 'clip_restored.mkv'),
        ('clip', 'clip_restored.mkv'),
        ('frames', 'frames_restored'),
        ('frames/', 'frames_restored'),
        ('take.2', 'take_2_restored'),
        ('clip.m4v', 'clip_restored.mp4'),
        ('clip.3GP', 'clip_restored.mov'),
        ('clip.wmv', 'clip_restored.mkv'),
    ],
)
def test_output_is_next_to_the_input(folder, src, dst):
    assert plan_jobs([Path(src)], None) == [Job(Path(src), Path(dst), None)]


def test_the_current_folder_has_a_name(folder, monkeypatch):
    monkeypatch.chdir(folder / 'frames')
    (job,) = plan_jobs([Path('.')], None)
    assert job.dst.resolve() == folder / 'frames_restored'


def test_out_is_the_output_of_one_input(folder):
    assert plan_jobs([Path('clip.mp4')], 'new.mkv')[0].dst == Path('new.mkv')
    assert plan_jobs([Path('clip.mp4')], 'out')[0].dst == Path('out')


def test_out_is_the_folder_of_several_outputs(folder):
    inputs = [Path('a/one.mp4'), Path('b/two.avi'), Path('frames')]
    places = [job.dst for job in plan_jobs(inputs, 'new')]
    assert places == [Path('new/one.mp4'), Path('new/two.avi'), Path('new/frames')]


def test_out_with_a_slash_is_a_folder_of_images(folder):
    (job,) = plan_jobs([Path('clip.mp4')], 'new.v1/')
    assert job.dst == Path('new.v1')
    assert job.target == 'new.v1/'


def test_pages_are_next_to_the_output_or_where_asked(folder):
    (job,) = plan_jobs([Path('clip.mp4')], 'x/new.mp4', compare=True)
    assert job.page == Path('x/new_compare.html')
    (job,) = plan_jobs([Path('clip.mp4')], None, compare='page.html')
    assert job.page == Path('page.html')


@pytest.mark.parametrize(
    ('inputs', 'out', 'compare', 'message'),
    [
        (['clip.mp4', 'frames'], 'new.mp4', False, 'must be a folder for several'),
        (['clip.mp4'], 'clip.mp4', False, 'clip.mp4 is an input'),
        (['clip.mp4', 'clip_restored.mp4'], None, False, 'is an input and would be'),
        (['a/clip.mp4', 'b/clip.mp4'], 'out', False, 'a/clip.mp4 and b/clip.mp4 would'),
        (['clip.mp4', './clip.mp4'], None, False, 'would both become'),
        (['a.mp4', 'b.mp4'], None, 'page.html', 'one page for several'),
    ],
)
def test_refuses_names_that_clash(folder, inputs, out, compare, message):
    with pytest.raises(ValueError, match=message):
        plan_jobs(map(Path, inputs), out, compare)


def test_a_job_is_done_when_its_output_exists_and_nothing_is_kept(folder):
    (job,) = plan_jobs([Path('clip.mp4')], None)
    assert not job.is_done()
    job.dst.touch()
    assert job.is_done()
    folder = Path('.clip_restored.mp4.partial')
    folder.mkdir()
    for name in ('job.json', 'draft', '00000000-00000050.segment'):
        (folder / name).touch()
    Path('clip_restored.partial.mp4').touch()
    assert job.is_done()  # neither the folder nor the file was made by a run
    mark(folder)
    assert not job.is_done()
    assert job.kept() == Path('.clip_restored.mp4.partial')
    (folder / '00000000-00000050.segment').unlink()
    assert job.is_done()


def test_an_empty_folder_is_no_output(folder):
    (job,) = plan_jobs([Path('clip.mp4')], 'out')
    assert not job.is_done()
    Path('out/00000000.png').touch()
    assert job.is_done()
    Path('.out.partial/images').mkdir(parents=True)
    mark(Path('.out.partial'))
    assert job.is_done()
    Path('.out.partial/images/00000000.png').touch()
    assert not job.is_done()
