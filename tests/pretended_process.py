"""A process of a team that restores nothing; imports little, as it is started often."""

import os
import signal
import time

from fmanet_mm.cli.reports import Outcome


def serve(connection, args, num_sharing):
    """Behave as the name of an input says; see :func:`fmanet_mm.cli.team.serve`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if args.device == 'broken':
        connection.send(('unusable', 'there is no device broken'))
        return
    connection.send(('log', (30, 'a warning')))
    connection.send(('ready', None))
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        if task is not None:
            connection.send(('outcome', run(connection, task)))


def run(connection, task):
    kind, outcome = task.job.src.stem, Outcome(task.job, num_frames=3)
    if kind.startswith('dies') and task.index == 0:
        os._exit(3)
    connection.send(('progress', (3, 5, 0.5)))
    if kind == 'fails' and task.index == 0:
        return outcome._replace(error='it failed', exit_code=1)
    if kind in ('stalls', 'fails', 'dies'):
        assert connection.recv() is None
        return outcome._replace(error='interrupted', exit_code=130)
    if kind.startswith('hangs'):
        time.sleep(60)
    if task.index == 0:
        return outcome._replace(output=task.job.dst)
    return outcome._replace(part=task.part)
