"""The same network and input, computed in different ways."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import cycle, islice

import torch
import torch.nn.functional as F
from cases import Case, Task
from networks import LOSS_WEIGHTS, NUM_FRAMES, SCALE, build_package, build_plain
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from fmanet_mm.ops import WHOLE_FRAMES, Strips
from fmanet_mm.ops.live_bytes import LiveBytes
from fmanet_mm.restoration import StreamingRestorer
from fmanet_mm.restoration.memory import choose_strips
from fmanet_mm.restoration.streaming import prepare as prepare_form
from fmanet_mm.utils.windows import sliding_windows

AUTOCAST_DTYPES = dict(bf16=torch.bfloat16, fp16=torch.float16)

META = torch.device('meta')
"""Where tensors have shapes and no data."""

Restore = Callable[[Iterable[Tensor]], Iterator[Tensor]]
"""Maps the frames of a clip, (3, H, W), to restored frames, (3, sH, sW)."""


def prepare(task: Task, case: Case, device: torch.device) -> Callable[[], Tensor]:
    """Build the model and the input.

    Weights and input are random, and the same for every case. With torch's own
    initialisation float32 rounding changes the output by 1e-6 of its range, one
    weight in error by 1 % already by 3e-4.

    Args:
        task (Task): What is computed.
        case (Case): How.
        device (torch.device): Where.

    Returns:
        Callable[[], Tensor]: Does the task once and returns the last restored frame,
        (3, sH, sW), or the loss, on the device.
    """
    torch.set_float32_matmul_precision('high' if case.dtype == 'tf32' else 'highest')
    torch.backends.cudnn.allow_tf32 = case.dtype == 'tf32'
    if task.kind == 'training':
        return _training_step(task, case, device)
    return _restoration(task, case, device, _choose_restore(task, case, device))


def inspect(task: Task, case: Case, device: torch.device) -> dict[str, int]:
    """Count what needs no clock, with tensors that have shapes but no data.

    Without a memory budget, a stream is counted on the strips that are fastest, however
    little memory this machine has; and always frame by frame.

    Args:
        task (Task): What is computed.
        case (Case): How; counted as if it were not compiled.
        device (torch.device): Where.

    Returns:
        dict[str, int]: ``macs``, multiply-adds of convolutions and matrix products,
        and ``tensor_bytes``, the most bytes of tensors alive at once, without weights
        and input. Both are of the first call, but for frames of the second: the first
        that is like all later ones.
    """
    case = replace(case, compile_mode=None)
    strips = _plan_strips(task, case, device)
    is_stream = case.variant == 'stream'
    with nullcontext() if is_stream else FakeTensorMode():
        if task.kind == 'training':
            call = _training_step(task, case, device)
        elif is_stream:
            # The meta device has no autocast, which a stream does not need.
            restore = _choose_restore(task, case, device, strips, META)
            call = _restoration(task, case, META, restore)
        else:
            restore = _choose_restore(task, case, device, strips)
            call = _restoration(task, case, device, restore)
        with LiveBytes() as tensors:
            if task.kind == 'frame':
                call()
                tensors.peak = 0
            macs = count_macs(call)
    return dict(macs=macs, tensor_bytes=tensors.peak)


def count_macs(call: Callable[[], object]) -> int:
    """Multiply-adds of the convolutions and matrix products of a call."""
    gradients = {torch.ops.aten.convolution_backward: _gradient_flops}
    with FlopCounterMode(display=False, custom_mapping=gradients) as flops:
        call()
    return flops.get_total_flops() // 2


def _gradient_flops(grad_out, x, weight, *settings, out_shape) -> int:
    """Of a convolution's gradients; torch's own count ignores groups."""
    *_, (needs_x, needs_weight, _) = settings
    return 2 * math.prod(grad_out) * math.prod(weight[1:]) * (needs_x + needs_weight)


def _plan_strips(task: Task, case: Case, device: torch.device) -> Strips:
    """The strips a stream uses, if memory is limited by the task's budget alone."""
    size = task.height, task.width
    fastest = Strips.fastest(*size, device)
    if case.variant != 'stream' or not task.memory_budget:
        return fastest
    network = prepare_form(build_package(task.tiny, META), device)
    dtype = AUTOCAST_DTYPES.get(case.dtype, torch.float32)
    return choose_strips(network, *size, task.memory_budget * 2**30, dtype, fastest)


def _precision(case: Case, device: torch.device) -> AbstractContextManager:
    # The weights of a stream are of its type.
    if case.dtype not in AUTOCAST_DTYPES or case.variant == 'stream':
        return nullcontext()
    return torch.autocast(device.type, AUTOCAST_DTYPES[case.dtype])


def _restoration(
    task: Task, case: Case, device: torch.device, restore: Restore
) -> Callable[[], Tensor]:
    length = task.count if task.kind == 'clip' else NUM_FRAMES
    shape = length, 3, task.height, task.width
    clip = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    endless = restore(cycle(clip))

    @torch.no_grad()
    def next_frames() -> Tensor:
        with _precision(case, device):
            return deque(islice(endless, task.count), maxlen=1).pop()

    @torch.no_grad()
    def whole_clip() -> Tensor:
        with _precision(case, device):
            return deque(restore(clip), maxlen=1).pop()

    if task.kind == 'clip':
        return whole_clip
    if case.compile_mode:
        # The first window repeats a frame, for which code is compiled separately. One
        # cycle later, this case is at the same frame as the others.
        for _ in clip:
            next_frames()
    return next_frames


def _choose_restore(
    task: Task,
    case: Case,
    device: torch.device,
    strips: Strips | None = None,
    storage: torch.device | None = None,
) -> Restore:
    """Build the network of a case and what applies it to clips.

    Args:
        task (Task): What is computed.
        case (Case): How.
        device (torch.device): Where.
        strips (Strips, optional): For a stream; None: chosen by the package.
        storage (torch.device, optional): Where a stream's weights are, if not there.
    """
    if case.variant == 'plain':
        plain = _compiled(build_plain(task.tiny, device), case).eval()
        return partial(_restore_windows, lambda x: plain(x.transpose(1, 2))['output'])
    if case.variant == 'window':
        network = _compiled(build_package(task.tiny, device), case).eval()
        return partial(_restore_windows, network)
    if case.variant != 'stream':
        raise ValueError(f'{case.variant!r} restores no frames')
    network = build_package(task.tiny, storage or device).eval()
    dtype = AUTOCAST_DTYPES.get(case.dtype)
    prepared = prepare_form(network, device, dtype)
    encode, refine = prepared.encode, prepared.refine
    if case.compile_mode:
        # On whole frames: choosing strips would run the compiled code without data.
        strips = WHOLE_FRAMES
        encode = torch.compile(encode, mode=case.compile_mode)
        refine = torch.compile(refine, mode=case.compile_mode)
    if strips:
        return partial(_restore_stream, encode, refine, strips)
    batch_size = task.count if task.kind == 'frame' else None
    restorer = StreamingRestorer(
        network, task.memory_budget, dtype, batch_size=batch_size
    )
    return restorer.restore


def _compiled(model: nn.Module, case: Case) -> nn.Module:
    if case.compile_mode:
        model.compile(mode=case.compile_mode)
    return model


def _restore_windows(
    restore: Callable[[Tensor], Tensor], frames: Iterable[Tensor]
) -> Iterator[Tensor]:
    """Restore the centre frame of every window, (1, T, 3, H, W), on its own."""
    for window in sliding_windows(frames, NUM_FRAMES):
        yield restore(torch.stack(tuple(window)).unsqueeze(0)).squeeze(0)


def _restore_stream(
    encode: Callable, refine: Callable, strips: Strips, frames: Iterable[Tensor]
) -> Iterator[Tensor]:
    """As a :class:`StreamingRestorer` does, on strips that are given."""
    encoded = (encode(frame.unsqueeze(0), strips) for frame in frames)
    for window in sliding_windows(encoded, NUM_FRAMES):
        yield refine(tuple(window), strips).squeeze(0)


def _training_step(
    task: Task, case: Case, device: torch.device
) -> Callable[[], Tensor]:
    if case.variant == 'plain':
        model, compute_loss = build_plain(task.tiny, device), _plain_loss
    else:
        model = build_package(task.tiny, device, case.variant == 'checkpointed')
        compute_loss = _package_loss
    model = _compiled(model, case).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    scales = case.dtype == 'fp16' and device.type == 'cuda'
    scaler = torch.amp.GradScaler(device.type, enabled=scales)
    batch = _random_batch(task, device)

    def step() -> Tensor:
        optimizer.zero_grad()
        with _precision(case, device):
            loss = compute_loss(model, batch)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    return step


def _random_batch(task: Task, device: torch.device) -> dict[str, Tensor]:
    torch.manual_seed(1)
    window, size = (task.count, NUM_FRAMES), (task.height, task.width)
    batch = dict(
        inputs=torch.rand(*window, 3, *size),
        gt_img=torch.rand(*window, 3, *(SCALE * side for side in size)),
        img_sharp=torch.rand(*window, 3, *size),
        flow=torch.randn(*window, 2, *size),
    )
    return {name: frames.to(device) for name, frames in batch.items()}


def _plain_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    batch = {name: frames.transpose(1, 2) for name, frames in batch.items()}
    x, y, x_sharp = batch['inputs'], batch['gt_img'], batch['img_sharp']
    out = model(x, y)
    centre = NUM_FRAMES // 2
    x_centre, y_centre = x[:, :, centre], y[:, :, centre]
    pairs = dict(
        restoration=(out['output'], y_centre),
        lr_warp=(out['lr_warp'], x_centre.unsqueeze(2).expand_as(x)),
        ta_r=(out['F_sharp_R'], x_sharp),
        recon=(out['recon'], x_centre),
        hr_warp=(out['hr_warp'], y_centre.unsqueeze(2).expand_as(y)),
        flow=(out['image_flow'], batch['flow']),
        ta_d=(out['F_sharp_D'], x_sharp),
    )
    return sum(LOSS_WEIGHTS[name] * F.l1_loss(*pair) for name, pair in pairs.items())


def _package_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    losses = model(batch['inputs'], batch, mode='loss')
    return sum(LOSS_WEIGHTS[name] * losses[f'loss_{name}'] for name in LOSS_WEIGHTS)
