"""Processes that are forked while frames wait to be collected."""

import gc
import multiprocessing
import os

import av
import pytest

import fmanet_mm.video  # noqa: F401


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
@pytest.mark.filterwarnings('ignore:.*fork:DeprecationWarning')
def test_frames_are_collected_before():
    """Freed in the child, a converter waits forever for its threads of the parent."""
    gc.disable()
    try:
        frame = av.VideoFrame(640, 480, 'yuv420p')
        frame.reformat(format='rgb24', width=320, threads=4)
        cycle = [frame]
        cycle.append(cycle)
        del frame, cycle
        child = multiprocessing.get_context('fork').Process(target=gc.collect)
        child.start()
    finally:
        gc.enable()
    child.join(20)
    ended = child.exitcode
    child.kill()
    assert ended == 0
