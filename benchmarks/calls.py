"""The same network and input, computed in different ways."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain, cycle, product, repeat
from unittest.mock import patch

import torch
import torch.nn.functional as F
from mmagic.structures import DataSample
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from fmanet_mm.apis import streaming
from fmanet_mm.models import FMANet, NetD, NetR
from fmanet_mm.models.fmanet.official_weights import convert_net_d, convert_net_r
from fmanet_mm.ops import fast_strip_rows, strips
from fmanet_mm.ops.live_bytes import LiveBytes

from .cases import Case, Task
from .plain import PlainFMANet

NUM_FRAMES = 3
SCALE = 4
PUBLISHED = dict(
    in_channels=3,
    dim=90,
    num_seq=NUM_FRAMES,
    scale=SCALE,
    ds_kernel_size=20,
    us_kernel_size=5,
    num_RDB=12,
    growth_rate=18,
    num_dense_layer=4,
    num_flow=9,
    num_FRMA=4,
    num_transformer_block=2,
    num_heads=6,
    LayerNorm_type='WithBias',
    ffn_expansion_factor=2.66,
    bias=False,
)
"""The published network, in the authors' names; the package's default sizes."""

TINY = PUBLISHED | dict(
    ds_kernel_size=8, num_RDB=1, num_dense_layer=1, num_FRMA=2, num_transformer_block=1
)
"""A network that shows in seconds whether everything works."""

LOSS_WEIGHTS = dict(
    restoration=1.0,
    lr_warp=0.1,
    ta_r=0.1,
    recon=0.1,
    hr_warp=0.01,
    flow=1e-5,
    ta_d=0.01,
)
"""Of stage 2, as published."""


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
    autocast = dict(bf16=torch.bfloat16, fp16=torch.float16).get(case.dtype)
    precision = torch.autocast(device.type, autocast) if autocast else nullcontext()
    if task.kind == 'training':
        return _training_step(task, case, device, precision)
    return _restoration(task, case, device, precision)


def inspect(task: Task, case: Case, device: torch.device) -> dict[str, int]:
    """Count what needs no clock, on the CPU with tensors that take no memory.

    Without a memory budget strips are those that are fastest, however little memory
    this machine has.

    Args:
        task (Task): What is computed.
        case (Case): How; as if it was not compiled.
        device (torch.device): Where it is computed otherwise.

    Returns:
        dict[str, int]: ``macs``, multiply-adds of convolutions and matrix products,
        and ``tensor_bytes``, the most bytes of tensors that were alive at once,
        without weights and input. Of the first call; for frames of the second, the
        first that is like all others.
    """
    rows = _strip_rows(task, case, device)
    planned = patch.object(streaming, 'choose_strip_rows', return_value=rows)
    with planned, FakeTensorMode(), strips(rows or task.height):
        call = prepare(task, replace(case, compile_mode=None), torch.device('cpu'))
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
    """Of a convolution's gradients; torch's own count takes groups for one."""
    *_, (needs_x, needs_weight, _) = settings
    return 2 * math.prod(grad_out) * math.prod(weight[1:]) * (needs_x + needs_weight)


def _strip_rows(task: Task, case: Case, device: torch.device) -> int | None:
    """Rows of strips that a stream takes."""
    size = task.height, task.width
    rows = fast_strip_rows(*size, device)
    if case.variant != 'stream' or not task.memory_budget:
        return rows
    model = _build(task, replace(case, compile_mode=None), torch.device('meta'))
    budget_bytes = task.memory_budget * 2**30
    return streaming.choose_strip_rows(model, *size, budget_bytes, strip_rows=rows)


def _build(task: Task, case: Case, device: torch.device) -> PlainFMANet | FMANet:
    sizes = TINY if task.tiny else PUBLISHED
    torch.manual_seed(0)
    with device:
        plain = PlainFMANet(stage=2, **sizes)
        if case.variant != 'plain':
            return _build_package(plain, sizes, case)
    if case.compile_mode:
        plain.compile(mode=case.compile_mode)
    return plain


def _build_package(plain: PlainFMANet, sizes: dict, case: Case) -> FMANet:
    """The package's model with the weights of the plain one."""
    if case.compile_mode:
        _compile_nets(case.compile_mode)
    common = dict(
        num_blocks=sizes['num_FRMA'],
        num_attention_blocks=sizes['num_transformer_block'],
        num_rdbs=sizes['num_RDB'],
        num_dense_layers=sizes['num_dense_layer'],
        with_cp=case.variant == 'checkpointed',
    )
    kernel_size = sizes['ds_kernel_size']
    losses = {
        name: dict(type='L1Loss', loss_weight=weight)
        for name, weight in LOSS_WEIGHTS.items()
    }
    model = FMANet(
        dict(type='NetD', kernel_size=kernel_size, **common),
        dict(type='NetR', degradation_kernel_size=kernel_size, **common),
        losses,
    )
    for net, convert, weights in (
        (model.net_d, convert_net_d, plain.degradation_learning_network),
        (model.net_r, convert_net_r, plain.restoration_network),
    ):
        net.load_state_dict(convert(weights.state_dict()))
    return model


def _compile_nets(mode: str) -> None:
    """Compile the nets' classes, so that a copy of a model does not call the model.

    Code that was first followed to plan strips would never be compiled: no strips.
    """
    streaming.choose_strip_rows = lambda *_: None
    for kind, name in product((NetD, NetR), ('encode', 'refine')):
        setattr(kind, name, torch.compile(getattr(kind, name), mode=mode))


def _restoration(task, case, device, precision) -> Callable[[], Tensor]:
    restore = RESTORATIONS[case.variant]
    if case.variant == 'stream':
        restore = partial(restore, memory_budget=task.memory_budget)
    model = _build(task, case, device).eval()
    length = task.count if task.kind == 'clip' else NUM_FRAMES
    shape = length, 3, task.height, task.width
    clip = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    endless = restore(model, cycle(clip))

    @torch.no_grad()
    def next_frame() -> Tensor:
        with precision:
            return next(endless)

    @torch.no_grad()
    def whole_clip() -> Tensor:
        with precision:
            return deque(restore(model, clip), maxlen=1).pop()

    return whole_clip if task.kind == 'clip' else next_frame


def _windows(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Every frame's window, (1, T, 3, H, W), the first and last frames repeated."""
    radius = NUM_FRAMES // 2
    window = deque(maxlen=NUM_FRAMES)
    frames = iter(frames)
    for frame in chain(repeat(first := next(frames), radius), [first], frames):
        window.append(frame)
        if len(window) == NUM_FRAMES:
            yield torch.stack(tuple(window)).unsqueeze(0)
    for _ in range(radius):
        window.append(frame)
        yield torch.stack(tuple(window)).unsqueeze(0)


def _restore_plain(model: PlainFMANet, frames: Iterable[Tensor]) -> Iterator[Tensor]:
    for window in _windows(frames):
        yield model(window.transpose(1, 2))['output'][0]


def _restore_windows(model: FMANet, frames: Iterable[Tensor]) -> Iterator[Tensor]:
    for window in _windows(frames):
        yield model(window, mode='tensor')[0]


def _restore_stream(
    model: FMANet, frames: Iterable[Tensor], memory_budget: float | None
) -> Iterator[Tensor]:
    return streaming.StreamingRestorer(model, memory_budget).restore(frames)


RESTORATIONS = dict(
    plain=_restore_plain, window=_restore_windows, stream=_restore_stream
)


def _training_step(task, case, device, precision) -> Callable[[], Tensor]:
    model = _build(task, case, device).train()
    compute_loss = _plain_loss if case.variant == 'plain' else _package_loss
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    scales = case.dtype == 'fp16' and device.type == 'cuda'
    scaler = torch.amp.GradScaler(device.type, enabled=scales)
    batch = _random_batch(task, device)

    def step() -> Tensor:
        optimizer.zero_grad()
        with precision:
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


def _plain_loss(model: PlainFMANet, batch: dict[str, Tensor]) -> Tensor:
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


def _package_loss(model: FMANet, batch: dict[str, Tensor]) -> Tensor:
    targets = DataSample()
    targets.set_tensor_data({k: v for k, v in batch.items() if k != 'inputs'})
    return sum(model.forward_train(batch['inputs'], targets).values())
