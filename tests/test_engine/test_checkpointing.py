import contextlib
import errno
import io
import os
import random
import resource
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.fileio import put_text
from mmengine.logging import MessageHub

from fmanet_mm.engine import (
    SafeCheckpointHook,
    find_resumable_checkpoint,
    read_checkpoint,
)
from fmanet_mm.engine.checkpointing import ATOMIC, DRAFTS, AtomicBackend
from fmanet_mm.utils.checkpoint import save_checkpoint_file


class Saver:
    """What the hook needs of a runner; its weights say when they were saved."""

    def __init__(self, folder, size=4):
        self.work_dir = str(folder)
        self.iter = 0
        self.epoch = 0
        self.size = size
        self.message_hub = MessageHub(f'saver {random.random()}')
        self.logger = SimpleNamespace(info=lambda _: None)
        self.removed_before_saved = []

    def save_checkpoint(self, out_dir, filename, meta, backend_args, **kwargs):
        path = os.path.join(out_dir, filename)
        checkpoint = dict(
            meta=meta,
            state_dict=dict(weight=torch.full((self.size,), float(meta['iter']))),
            message_hub=self.message_hub.state_dict(),
            optimizer={},
        )
        before = set(os.listdir(out_dir))
        content = io.BytesIO()
        torch.save(checkpoint, content)
        AtomicBackend().put(content.getvalue(), path)
        self.removed_before_saved += before - set(os.listdir(out_dir))


def hook_of(saver, **kwargs):
    hook = SafeCheckpointHook(interval=1, by_epoch=False, **kwargs)
    hook.before_train(saver)
    return hook


def train(saver, hook, iterations, scores=None):
    for iteration in range(iterations):
        saver.iter = iteration
        hook._save_checkpoint(saver)
        saver.iter = iteration + 1
        if scores:
            hook.after_val_epoch(saver, dict(PSNR=scores[iteration]))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_outdated_checkpoints_go_once_the_new_one_is_complete(tmp_path):
    saver = Saver(tmp_path)
    train(saver, hook_of(saver, max_keep_ckpts=2), 4)
    assert names(tmp_path) == ['iter_3.pth', 'iter_4.pth', 'last_checkpoint']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_4.pth')
    assert not saver.removed_before_saved


def test_the_best_checkpoint_is_replaced_once_the_better_one_is_complete(tmp_path):
    saver = Saver(tmp_path)
    hook = hook_of(saver, save_best='PSNR', rule='greater', max_keep_ckpts=1)
    train(saver, hook, 4, scores=[20.0, 22.0, 21.0, 23.0])
    assert names(tmp_path) == ['best_PSNR_iter_4.pth', 'iter_4.pth', 'last_checkpoint']
    assert not saver.removed_before_saved


def test_a_worse_score_leaves_the_best_checkpoint(tmp_path):
    saver = Saver(tmp_path)
    hook = hook_of(saver, save_best=['PSNR', 'SSIM'], rule='greater')
    for iteration, (psnr, ssim) in enumerate([(20.0, 0.5), (19.0, 0.6)], start=1):
        saver.iter = iteration
        hook.after_val_epoch(saver, dict(PSNR=psnr, SSIM=ssim))
    assert names(tmp_path) == ['best_PSNR_iter_1.pth', 'best_SSIM_iter_2.pth']


def test_what_a_kill_left_unfinished_is_cleared(tmp_path):
    (tmp_path / '.0123456789abcdef.partial.pth').touch()
    hook_of(Saver(tmp_path))
    assert not names(tmp_path)


def test_a_resumed_checkpoint_cannot_have_other_files_removed(tmp_path):
    outside, run = tmp_path / 'best_of_others', tmp_path / 'run'
    (tmp_path / 'iter_1.pth').touch()
    outside.mkdir()
    run.mkdir()
    saver = Saver(run)
    saver.message_hub.update_info('best_ckpt', str(outside))
    saver.message_hub.update_info('keep_ckpt_ids', ['1/../../iter_1', 7, 8])
    (run / 'iter_1').mkdir()
    hook = hook_of(saver, save_best='PSNR', rule='greater', max_keep_ckpts=1)
    train(saver, hook, 2, scores=[20.0, 21.0])
    assert outside.is_dir()
    assert (tmp_path / 'iter_1.pth').exists()


def test_a_failed_write_leaves_the_file_before_and_names_it(tmp_path, monkeypatch):
    path = tmp_path / 'last_checkpoint'
    put_text('old', path, backend_args=ATOMIC)

    def full_disk(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full_disk)
    with pytest.raises(
        OSError, match='No space left.*complete.*last_checkpoint'
    ) as error:
        put_text('new', path, backend_args=ATOMIC)
    assert error.value.errno == errno.ENOSPC
    assert path.read_text() == 'old'
    assert names(tmp_path) == ['last_checkpoint']


def save_forever(folder, limit):
    """In a process of its own: save until killed, or until a write fails."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    saver = Saver(folder, size=2**18)
    hook = hook_of(saver, save_best='PSNR', rule='greater', max_keep_ckpts=1)
    train(saver, hook, 10_000, scores=list(range(10_000)))


def start_saving(folder, limit=resource.RLIM_INFINITY):
    process = os.fork()
    if not process:
        try:
            save_forever(folder, limit)
        except OSError:
            os._exit(3)
        finally:
            os._exit(1)
    return process


def exit_code(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill_while_saving(folder, seconds):
    """Kill it so many seconds after its first checkpoint."""
    process = start_saving(folder)
    while not (folder / 'last_checkpoint').exists():
        time.sleep(0.001)
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    assert exit_code(process) == -signal.SIGKILL


def check_whole_one_remains(folder):
    """Everything under a checkpoint's name is whole; the newest one is found."""
    saved = {
        path: read_checkpoint(str(path))['state_dict']['weight'][0].item()
        for path in folder.glob('[!.]*.pth')
    }
    resumable = {path: value for path, value in saved.items() if path.match('iter_*')}
    found = find_resumable_checkpoint(folder)
    assert saved[folder / found] == max(resumable.values())


def test_a_loadable_checkpoint_remains_whenever_the_saving_is_killed(tmp_path):
    chance = random.Random(0)
    hits = 0
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        kill_while_saving(folder, chance.uniform(0, 0.1))
        hits += any(folder.glob(DRAFTS))
        check_whole_one_remains(folder)
    assert hits > 3


def test_a_loadable_checkpoint_remains_at_a_write_limit(tmp_path):
    kill_while_saving(tmp_path, 0.1)
    before = {path.name for path in tmp_path.glob('[!.]*.pth')}
    # A checkpoint takes a little more than 1 MiB; the second run's do not fit.
    assert exit_code(start_saving(tmp_path, limit=2**20)) == 3
    assert {path.name for path in tmp_path.glob('*.pth')} == before
    check_whole_one_remains(tmp_path)


def save_resumable(path):
    log = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    save_checkpoint_file(
        dict(meta={}, state_dict={}, message_hub=log, optimizer={}), path
    )


def test_the_newest_whole_checkpoint_is_found_and_others_are_named(
    tmp_path, monkeypatch
):
    shown = []
    monkeypatch.setattr(
        'fmanet_mm.engine.checkpointing.print_log', lambda *args: shown.append(args[0])
    )
    for iteration in (5, 50, 100, 150):
        path = tmp_path / f'iter_{iteration}.pth'
        save_resumable(path)
        os.utime(path, (iteration, iteration))
    (tmp_path / 'iter_150.pth').write_bytes(path.read_bytes()[:300])
    save_checkpoint_file(dict(state_dict={}), tmp_path / 'iter_100.pth')
    os.utime(tmp_path / 'iter_100.pth', (100, 100))
    save_resumable(tmp_path / 'best_PSNR_iter_200.pth')
    save_resumable(tmp_path / '.iter_200.partial.pth')
    (tmp_path / 'last_checkpoint').write_text('')
    assert find_resumable_checkpoint(tmp_path) == str(tmp_path / 'iter_50.pth')
    assert 'iter_150.pth is not a checkpoint that can be read' in shown[0]
    assert 'iter_100.pth: it holds no meta, message_hub, optimizer' in shown[1]


def test_a_run_begun_anew_in_an_old_folder_is_the_newest(tmp_path):
    save_resumable(tmp_path / 'iter_5.pth')
    save_resumable(tmp_path / 'iter_900.pth')
    os.utime(tmp_path / 'iter_900.pth', (1, 1))
    assert find_resumable_checkpoint(tmp_path) == str(tmp_path / 'iter_5.pth')


def test_without_checkpoints_there_is_none_to_find(tmp_path):
    assert find_resumable_checkpoint(tmp_path) is None
    assert find_resumable_checkpoint(tmp_path / 'new') is None


def test_damaged_checkpoints_alone_do_not_mean_a_new_start(tmp_path):
    (tmp_path / 'iter_1.pth').write_bytes(b'')
    with pytest.raises(FileNotFoundError, match=r'(?s)iter_1.pth.*--resume CHECKPOINT'):
        find_resumable_checkpoint(tmp_path)


def test_the_log_is_there_again(tmp_path):
    hub = MessageHub('log')
    hub.update_scalar('train/loss', 0.25)
    path = tmp_path / 'iter_1.pth'
    torch.save(dict(state_dict={}, message_hub=hub.state_dict()), path)
    log = read_checkpoint(str(path))['message_hub']['log_scalars']['train/loss']
    assert log.mean() == 0.25


@pytest.mark.parametrize('name', ['a.pth', 'a.safetensors'])
def test_weights_alone_are_read_from_either_format(tmp_path, name):
    from safetensors.torch import save_file

    weights = dict(weight=torch.arange(3.0))
    save = save_file if name.endswith('.safetensors') else torch.save
    save(weights, tmp_path / name)
    read = read_checkpoint(str(tmp_path / name))['state_dict']
    assert torch.equal(read['weight'], weights['weight'])


def test_whatever_is_damaged_is_reported(tmp_path):
    hub = MessageHub('damaged log')
    hub.update_scalar('train/loss', 0.25)
    path = tmp_path / 'iter_1.pth'
    torch.save(dict(state_dict={}, message_hub=hub.state_dict()), path)
    content, chance = path.read_bytes(), random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(3):
            damaged[chance.randrange(1500)] = chance.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError):
            read_checkpoint(str(path))
