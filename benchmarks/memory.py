"""How much memory the process, or torch on a GPU, really takes."""

import contextlib
import re
from pathlib import Path

import torch


class MemoryMeter:
    """Memory of the process (Linux), or of the tensors on a GPU.

    Args:
        device (torch.device): Where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
        else:
            # Lets Linux forget the peak of importing and loading.
            with contextlib.suppress(OSError):
                Path('/proc/self/clear_refs').write_text('5')
        self._start = self.now()

    def now(self) -> int:
        """Bytes in use."""
        if self.device.type == 'cuda':
            return torch.cuda.memory_allocated(self.device)
        return _process_bytes('VmRSS')

    def growth(self) -> int:
        """Peak since the meter was made, in bytes above what was in use then."""
        if self.device.type == 'cuda':
            return torch.cuda.max_memory_allocated(self.device) - self._start
        return _process_bytes('VmHWM') - self._start


def _process_bytes(field: str) -> int:
    status = Path('/proc/self/status').read_text()
    return int(re.search(rf'{field}:\s*(\d+) kB', status)[1]) * 1024
