"""Memory that the process, or torch on a GPU, really takes."""

import contextlib
import re
import sys
from pathlib import Path

import psutil
import torch


class MemoryMeter:
    """Memory of the process, or of torch's tensors on a GPU.

    Args:
        device (torch.device): Device that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
        else:
            # Resets the peak, which was at importing and loading; on Linux only.
            with contextlib.suppress(OSError):
                Path('/proc/self/clear_refs').write_text('5')
        self._start = self.now()

    def now(self) -> int:
        """Bytes in use."""
        if self.device.type == 'cuda':
            return torch.cuda.memory_allocated(self.device)
        return psutil.Process().memory_info().rss

    def growth(self) -> int:
        """Peak since the meter was made, in bytes above what was in use then."""
        if self.device.type == 'cuda':
            return torch.cuda.max_memory_allocated(self.device) - self._start
        return _peak_resident_bytes() - self._start


def _peak_resident_bytes() -> int:
    status = Path('/proc/self/status')
    if status.exists():
        return int(re.search(r'VmHWM:\s*(\d+) kB', status.read_text())[1]) * 1024
    if sys.platform == 'win32':
        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024
