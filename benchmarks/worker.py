"""A process for each case, so that its memory can be measured.

Torch and the package are imported in these processes only.
"""

import contextlib
import multiprocessing
import platform
import re
import time
from pathlib import Path

from cases import Case, Task


class Worker:
    """Keeps a case ready in a process of its own and answers questions about it.

    Args:
        task (Task): What is computed.
        case (Case): How.
        device (str): Name of the torch device.
        threads (int, optional): CPU threads; by default torch's choice.
    """

    def __init__(
        self, task: Task, case: Case, device: str, threads: int | None
    ) -> None:
        context = _context(device)
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, task, case, device, threads), daemon=True
        )
        self._process.start()
        theirs.close()

    def ask(self, question: str, *args):
        """Call a method in the process and wait for its result.

        Args:
            question (str): A method of :class:`_Server`.
            *args: Its arguments.

        Returns:
            object: What the method returns.

        Raises:
            RuntimeError: If it fails, with the reason.
        """
        try:
            self._connection.send((question, args))
            succeeded, answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise RuntimeError(
                f'its process ended with exit code {self._process.exitcode}; '
                '-9 usually means that memory ran out'
            ) from None
        if not succeeded:
            raise RuntimeError(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def _context(device: str) -> multiprocessing.context.BaseContext:
    """Import once and fork for every worker, where the system and CUDA allow it."""
    can_fork = 'forkserver' in multiprocessing.get_all_start_methods()
    if device.startswith('cuda') or not can_fork:
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(
        ['fmanet_mm.restoration.streaming', 'torch.utils.flop_counter']
    )
    return context


def _serve(connection, task, case, device, threads) -> None:
    # If memory runs out, Linux should kill this process rather than another.
    with contextlib.suppress(OSError):
        Path('/proc/self/oom_score_adj').write_text('1000')
    server = _Server(task, case, device, threads)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            question, args = connection.recv()
            try:
                answer = True, getattr(server, question)(*args)
            except Exception as error:
                reason = str(error).strip().partition('\n')[0]
                answer = False, f'{type(error).__name__}: {reason}'
            connection.send(answer)


class _Server:
    """Answers the questions, in the worker's process."""

    def __init__(self, task, case, device, threads) -> None:
        import calls
        import torch
        import torch.utils.benchmark

        from fmanet_mm.utils.memory_meter import MemoryMeter

        if threads:
            torch.set_num_threads(threads)
        self._torch, self._calls, self._meter_type = torch, calls, MemoryMeter
        self._task, self._case = task, case
        self._device = torch.device(device)

    def environment(self) -> dict:
        """Device, threads, versions, and the speed of a single convolution."""
        torch = self._torch
        return dict(
            device=torch.cuda.get_device_name(self._device)
            if self._device.type == 'cuda'
            else _processor(),
            threads=torch.get_num_threads(),
            torch=torch.__version__,
            python=platform.python_version(),
            convolution=f'{self._convolution_speed() / 1e9:.0f} GFLOP/s, fp32, 3x3, '
            '96 to 96 channels',
        )

    def _convolution_speed(self) -> float:
        """Operations per second of a convolution that suits the machine well."""
        torch, channels, size = self._torch, 96, (180, 320)
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        image = torch.rand(1, channels, *size)
        layer, image = (
            x.to(self._device, memory_format=torch.channels_last)
            for x in (layer, image)
        )
        with torch.inference_mode():
            timed = torch.utils.benchmark.Timer(
                'layer(image)',
                globals=dict(layer=layer, image=image),
                num_threads=torch.get_num_threads(),
            ).blocked_autorange(min_run_time=2)
        return 2 * 9 * channels**2 * size[0] * size[1] / timed.median

    def inspect(self) -> dict:
        """Multiply-adds and bytes of tensors, see :func:`calls.inspect`."""
        return self._calls.inspect(self._task, self._case, self._device)

    def prepare(self) -> None:
        """Build the model and the input, and do the task once, untimed."""
        self._call = self._calls.prepare(self._task, self._case, self._device)
        self._meter = self._meter_type(self._device)
        self._output = self._call()

    def turn(self, calls: int) -> dict:
        """Do the task ``calls`` times.

        On a GPU the memory is released at the end, for the other cases; so the first
        call of a turn, which allocates it again, is not timed.
        """
        on_gpu = self._device.type == 'cuda'
        if on_gpu:
            self._timed_call()
        seconds = [self._timed_call() for _ in range(calls)]
        answer = dict(
            seconds=seconds,
            memory_bytes=self._meter.now(),
            peak_bytes=self._meter.growth(),
        )
        if on_gpu:
            self._torch.cuda.empty_cache()
        return answer

    def profile(self) -> dict[str, float]:
        """The share of one more call's time that each operation takes itself."""
        on_gpu = self._device.type == 'cuda'
        with self._torch.profiler.profile() as profiler:
            self._timed_call()
        field = f'self_{"device" if on_gpu else "cpu"}_time_total'
        seconds = {
            event.key: getattr(event, field) for event in profiler.key_averages()
        }
        total = sum(seconds.values())
        return {name: value / total for name, value in seconds.items()}

    def output(self):
        """The output of the last call, as an array."""
        return self._output.float().cpu().numpy()

    def _timed_call(self) -> float:
        self._output = None
        start = time.perf_counter()
        self._output = self._call()
        if self._device.type == 'cuda':
            self._torch.cuda.synchronize(self._device)
        return time.perf_counter() - start


def _processor() -> str:
    info = Path('/proc/cpuinfo')
    names = re.findall('model name.*: (.*)', info.read_text()) if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()
