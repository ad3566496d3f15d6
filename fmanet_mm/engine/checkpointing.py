"""Checkpoints that survive kills and full disks."""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from mmagic.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_local_path, put_text, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import Runner

from ..utils.checkpoint import load_checkpoint_file
from ..utils.files import atomic_write

DRAFTS = '.*.partial*'
"""Pattern of the drafts that a killed process leaves behind."""

ATOMIC = dict(backend='atomic')
"""Arguments that choose :class:`AtomicBackend`."""

RESUMABLE = ('meta', 'state_dict', 'message_hub', 'optimizer')
"""Entries of a checkpoint that resuming needs."""


@register_backend('atomic')
class AtomicBackend(LocalBackend):
    """Local backend with atomic writes.

    A file is written as a draft in the same folder, synchronised to the disk and
    renamed. When that fails or the process is killed, the previous file remains.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes.

        Raises:
            OSError: If the file cannot be written; it names the file.
        """
        try:
            with atomic_write(filepath, durable=True) as draft:
                draft.write_bytes(obj)
        except OSError as error:
            raise OSError(
                error.errno,
                f'{error.strerror}; files written before are complete; the file that '
                'could not be written is',
                str(filepath),
            ) from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text; see :meth:`put`."""
        self.put(obj.encode(encoding), filepath)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """Save checkpoints so that a complete one always remains.

    Every file is written by :class:`AtomicBackend`. An old checkpoint is removed only
    when the new one and ``last_checkpoint`` are complete. No file outside the folder
    of the checkpoints is removed, whatever a resumed checkpoint says.

    Args:
        *args: See MMEngine's ``CheckpointHook``.
        backend_args (dict, optional): Arguments of another file backend.
        **kwargs: See MMEngine's ``CheckpointHook``.
    """

    def __init__(self, *args, backend_args: dict | None = None, **kwargs) -> None:
        super().__init__(*args, backend_args=backend_args or ATOMIC, **kwargs)

    def before_train(self, runner: Runner) -> None:
        """Restore the record of kept checkpoints and remove drafts of killed runs."""
        info = runner.message_hub.runtime_info
        if 'keep_ckpt_ids' in info:
            kept = [step for step in info['keep_ckpt_ids'] if isinstance(step, int)]
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        super().before_train(runner)
        if self.save_best:
            self._best = {key: self._own_path(path) for key, path in self._best.items()}
        if is_main_process() and Path(self.out_dir).is_dir():
            for draft in Path(self.out_dir).glob(DRAFTS):
                draft.unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = self._keep(runner, step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            marker = os.path.join(runner.work_dir, 'last_checkpoint')
            put_text(self.last_ckpt, marker, backend_args=ATOMIC)
            for old_step in outdated:
                self._remove(
                    self.file_backend.join_path(
                        self.out_dir, self.filename_tmpl.format(old_step)
                    )
                )

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        previous = self._best
        # MMEngine would remove the files that it knows before it saves.
        self._best = dict.fromkeys(previous)
        super()._save_best_checkpoint(runner, metrics)
        current = self._best
        self._best = {key: current[key] or previous.get(key) for key in current}
        if is_main_process():
            for path in {*previous.values()} - {None, *self._best.values()}:
                self._remove(path)

    def _keep(self, runner: Runner, step: int) -> list[int]:
        """Record a step as kept; give the steps whose checkpoints are outdated."""
        if self.max_keep_ckpts <= 0 or step in self.keep_ckpt_ids:
            return []
        steps = [*self.keep_ckpt_ids, step]
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        return steps[: -self.max_keep_ckpts]

    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)

    @property
    def _best(self) -> dict[str, str | None]:
        """Best checkpoint by metric, which MMEngine keeps in two places."""
        if len(self.key_indicators) == 1:
            return {self.key_indicators[0]: self.best_ckpt_path}
        return self.best_ckpt_path_dict

    @_best.setter
    def _best(self, paths: dict[str, str | None]) -> None:
        if len(self.key_indicators) == 1:
            (self.best_ckpt_path,) = paths.values()
        else:
            self.best_ckpt_path_dict = paths

    def _own_path(self, path: str | None) -> str | None:
        """Path in the folder of this run, if it is that of a best checkpoint."""
        name = os.path.basename(path or '')
        if not name.startswith('best_'):
            return None
        return self.file_backend.join_path(self.out_dir, name)


def read_checkpoint(
    filename: str, map_location: str | torch.device = 'cpu', trust: bool = False
) -> dict:
    """Read a checkpoint, or weights only, from a file or an address.

    Args:
        filename (str): File, see :func:`load_checkpoint_file`, or an address (``://``).
        map_location (str | torch.device): Device to load to.
        trust (bool): Let the file execute what it contains. By default nothing in it
            is executed.

    Returns:
        dict: The checkpoint; at least ``state_dict``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or cannot be read without trust.
    """
    with get_local_path(os.path.expanduser(filename)) as path:
        checkpoint = load_checkpoint_file(path, map_location, trust)
    if 'state_dict' not in checkpoint:
        checkpoint = dict(state_dict=checkpoint)
    if 'message_hub' in checkpoint:
        try:
            _restore_log(checkpoint['message_hub']['log_scalars'])
        except (AttributeError, LookupError, TypeError, AssertionError) as error:
            raise ValueError(f'the log in {filename} is damaged ({error!r})') from error
    return checkpoint


def _restore_log(scalars: dict) -> None:
    """Rebuild ``HistoryBuffer``s from their safe placeholders."""
    for name, history in scalars.items():
        if not isinstance(history, HistoryBuffer):
            scalars[name] = HistoryBuffer(
                history._log_history, history._count_history, history.max_length
            )


def find_resumable_checkpoint(work_dir: str | Path, trust: bool = False) -> str | None:
    """Find the newest complete checkpoint of a run, and report those skipped.

    Args:
        work_dir (str | Path): Folder of the run.
        trust (bool): See :func:`read_checkpoint`.

    Returns:
        str | None: The checkpoint; None if the run has not saved any.

    Raises:
        FileNotFoundError: If there are checkpoints, but none is complete.
    """
    candidates = list(_saved_checkpoints(Path(work_dir)))
    skipped = []
    for path in candidates:
        reason = _why_not_resumable(path, trust)
        if reason is None:
            return str(path)
        skipped.append(f'{path}: {reason}')
        print_log(f'Skipped {skipped[-1]}', 'current', logging.WARNING)
    if skipped:
        raise FileNotFoundError(
            f'no checkpoint in {work_dir} can be resumed:\n'
            + '\n'.join(skipped)
            + '\nname the checkpoint to resume from: --resume CHECKPOINT'
        )
    return None


def _saved_checkpoints(work_dir: Path) -> Iterator[Path]:
    """Checkpoints of training steps, newest first, complete or not."""
    marker = work_dir / 'last_checkpoint'
    last = marker.read_text(errors='replace').strip() if marker.is_file() else ''
    folders = {work_dir, Path(last).parent} if last else {work_dir}
    found = {
        path
        for folder in folders
        for path in folder.glob('*.pth')
        if re.fullmatch(r'(?!best_|\.).*_\d+', path.stem) and path.is_file()
    }
    if last and Path(last) not in found:
        yield Path(last)
    # Copied files may have equal times; then the number of the iteration decides.
    yield from sorted(
        found,
        key=lambda path: (path.stat().st_mtime, int(path.stem.rpartition('_')[2])),
        reverse=True,
    )


def _why_not_resumable(path: Path, trust: bool) -> str | None:
    try:
        checkpoint = read_checkpoint(str(path), trust=trust)
    except (OSError, ValueError) as error:
        return str(error)
    missing = [key for key in RESUMABLE if key not in checkpoint]
    return f'it holds no {", ".join(missing)}' if missing else None
