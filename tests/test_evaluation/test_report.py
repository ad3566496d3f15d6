import json

import pytest

from fmanet_mm.evaluation import PROTOCOLS, Report


@pytest.fixture
def report():
    """Two clips of unequal length; a clip's first frame is the end of no pair."""
    frames = {
        'a': {
            '1': dict(PSNR=20.0, SSIM=0.5),
            '2': dict(PSNR=22.0, SSIM=0.6, tOF=1.0, motion=19.99),
            '3': dict(PSNR=24.0, SSIM=0.7, tOF=3.0, motion=20.0),
        },
        'b': {
            '1': dict(PSNR=30.0, SSIM=0.9),
            '2': dict(PSNR=40.0, SSIM=0.8, tOF=8.0, motion=40.0),
        },
    }
    measures = ('PSNR', 'SSIM', 'tOF')
    return Report('FMA-Net', PROTOCOLS['published'], measures, frames, 'RAFT')


def test_every_frame_weighs_the_same(report):
    assert report.overall() == dict(
        frames=5, pairs=3, PSNR=pytest.approx(27.2), SSIM=pytest.approx(0.7), tOF=4
    )


def test_clips(report):
    assert report.by_clip() == dict(
        a=dict(frames=3, pairs=2, PSNR=22, SSIM=pytest.approx(0.6), tOF=2),
        b=dict(frames=2, pairs=1, PSNR=35, SSIM=pytest.approx(0.85), tOF=8),
    )


def test_motion(report):
    """The first frame of a clip moves as its second."""
    bins = report.by_motion()
    assert [(name, mean['frames'], mean['PSNR']) for name, mean in bins.items()] == [
        ('[0, 20)', 2, 21),
        ('[20, 40)', 1, 24),
        ('>= 40', 2, 35),
    ]
    assert [mean['tOF'] for mean in bins.values()] == [1, 3, 8]


def test_row_has_the_digits_of_the_paper_and_one_more(report):
    assert report.header() == '| method | PSNR | SSIM | tOF |\n|---|---|---|---|'
    assert report.row() == '| FMA-Net | 27.20 | 0.7000 | 4.000 |'


def test_table(report):
    table = report.table()
    assert 'FMA-Net, protocol published: uint8, all frames but 1 at each' in table
    assert '5 frames and 3 pairs of consecutive ones in 2 clips' in table
    for line in (
        '| clip | frames | PSNR | SSIM | tOF |',
        '| b | 2 | 35.00 | 0.8500 | 8.000 |',
        '| all | 5 | 27.20 | 0.7000 | 4.000 |',
        '| [20, 40) | 1 | 24.00 | 0.7000 | 3.000 |',
    ):
        assert line in table.splitlines()
    assert 'mean absolute flow (RAFT)' in table


def test_without_motion(report):
    report.motion = None
    assert report.by_motion() == {} and 'motion' not in report.table()


def test_empty_bins_show_a_dash(report):
    del report.frames['b']
    assert '| >= 40 | 0 | - | - | - |' in report.table()


def test_files(report, tmp_path):
    report.frames['a']['1']['PSNR'] = float('inf')
    paths = report.save(tmp_path / 'new', 'run')
    assert [path.name for path in paths] == ['run.json', 'run.md']
    assert len([*(tmp_path / 'new').iterdir()]) == 2

    def refuse(constant):
        raise AssertionError(f'{constant} is no JSON')

    read = json.loads(paths[0].read_text(), parse_constant=refuse)
    assert read['overall']['frames'] == 5 and read['overall']['PSNR'] is None
    assert read['by_clip']['b']['tOF'] == 8
    assert read['by_motion']['[20, 40)']['PSNR'] == 24
    assert read['frames']['b']['2']['motion'] == 40
    assert paths[1].read_text().startswith(report.table())
    assert paths[1].read_text().endswith(f'{report.row()}\n')
