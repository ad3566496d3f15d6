import json
from pathlib import Path

import pytest

from fmanet_mm.cli.jobs import Job
from fmanet_mm.cli.reports import (
    JsonReport,
    Outcome,
    TextReport,
    describe_progress,
)

JOB = Job(Path('a.mp4'), Path('b.mp4'), None)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr('time.monotonic', lambda: now[0])
    return now


def test_json_says_how_fast_and_how_long(capsys, clock):
    report = JsonReport(lambda: 1.234)
    report.progress(JOB, 10, 50)
    clock[0] += 4
    report.progress(JOB, 18, 50)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == dict(
        event='progress',
        input='a.mp4',
        frames=10,
        total=50,
        fps=None,
        seconds_left=None,
        memory_gib=1.23,
    )
    assert second['fps'] == 2
    assert second['seconds_left'] == 16


def test_json_reports_once_a_second_and_at_the_end(capsys, clock):
    report = JsonReport(lambda: 1.0)
    for frames in range(31):
        report.progress(JOB, frames, 30)
        clock[0] += 0.125
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)['frames'] for line in lines] == [0, 8, 16, 24, 30]


def test_json_does_without_a_total(capsys, clock):
    report = JsonReport(lambda: 1.0)
    report.progress(JOB, 0, None)
    clock[0] += 2
    report.progress(JOB, 4, None)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line['total'], line['fps'], line['seconds_left']) == (None, 2, None)


def test_json_starts_over_for_the_next_job(capsys, clock):
    report = JsonReport(lambda: 1.0)
    report.progress(JOB, 0, 2)
    report.end(Outcome(JOB, 2, JOB.dst))
    clock[0] += 50
    report.progress(JOB, 0, 2)
    clock[0] += 1
    report.progress(JOB, 2, 2)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])['fps'] == 2


def test_json_reports_how_a_job_ended(capsys):
    report = JsonReport(lambda: 1.0)
    report.end(Outcome(JOB, 7, JOB.dst, page=Path('c.html')))
    report.end(Outcome(JOB, 3, None, error='a "reason"', exit_code=1))
    report.error('no checkpoint')
    report.summary([])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        dict(event='done', input='a.mp4', output='b.mp4', frames=7, compare='c.html'),
        dict(
            event='error',
            input='a.mp4',
            output=None,
            frames=3,
            compare=None,
            message='a "reason"',
        ),
        dict(event='error', message='no checkpoint'),
    ]


def test_text_reports_once_a_minute_where_there_is_no_terminal(capsys, clock):
    report = TextReport(lambda: 1.0)
    for _ in range(2):
        for frames in range(10, 91, 10):
            report.progress(JOB, frames, 90)
            clock[0] += 20
        report.end(Outcome(JOB, 90, JOB.dst))
    captured = capsys.readouterr()
    first, second, *again = captured.err.splitlines()
    assert first.startswith('a.mp4:  44%')
    assert first.endswith('40/90 [01:00<01:40,  2.00s/frame, 1.0 GiB]')
    assert second.endswith('70/90 [02:00<00:40,  2.00s/frame, 1.0 GiB]')
    assert again == [first, second]
    assert captured.out == ''


def test_text_shows_progress_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr('sys.stderr.isatty', lambda: True)
    report = TextReport(lambda: 2.34)
    report.progress(JOB, 1, 4)
    report.progress(JOB, 4, 4)
    report.end(Outcome(JOB, 4, JOB.dst))
    shown = capsys.readouterr().err
    assert 'a.mp4' in shown
    assert '4/4' in shown
    assert '2.3 GiB' in shown


def test_text_sums_up(capsys):
    report = TextReport(lambda: 1.0)
    bad = Outcome(JOB, 3, Path('b.partial.mp4'), error='a reason', exit_code=1)
    report.end(bad)
    report.summary(
        [
            Outcome(JOB, 7, JOB.dst, page=Path('c.html')),
            bad,
            Outcome(JOB, error='no'),
            Outcome(JOB, output=JOB.dst),
        ]
    )
    captured = capsys.readouterr()
    assert captured.err == 'fmanet-restore: a reason\n'
    assert captured.out.splitlines() == [
        'a.mp4 -> b.mp4, 7 frames, compared in c.html',
        'a.mp4 -> b.partial.mp4, 3 frames, not complete',
        'a.mp4 -> nothing, not complete',
        'a.mp4 -> b.mp4',
    ]


def test_text_fits_the_terminal_and_covers_the_line_before(capsys, monkeypatch):
    monkeypatch.setattr('sys.stderr.isatty', lambda: True)
    monkeypatch.setenv('COLUMNS', '30')
    report = TextReport(lambda: 2.34)
    report.progress(JOB, 0, 4)
    report.end(Outcome(JOB, 4, JOB.dst))
    assert capsys.readouterr().err == '\ra.mp4:   0% 0/4 [00:00<?, ?fr\n'


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        ((40, 90, 60, 10), ' 44% 40/90 [01:00<01:40,  2.00s/frame]'),
        ((0, 90, 0), '  0% 0/90 [00:00<?, ?frame/s]'),
        ((90, 90, 30), '100% 90/90 [00:30<00:00,  3.00frame/s]'),
        ((10, None, 4000), '10 frames [1:06:40, 400.00s/frame]'),
    ],
)
def test_progress_is_described_in_a_line(arguments, expected):
    assert describe_progress(*arguments) == expected
