import pytest
import torch


@pytest.fixture(params=['fp32', 'bf16'])
def autocast(request):
    """Without a GPU, ``torch.autocast`` would warn and do nothing."""
    torch.set_autocast_enabled('cuda', request.param == 'bf16')
    torch.set_autocast_dtype('cuda', torch.bfloat16)
    yield
    torch.set_autocast_enabled('cuda', False)
    torch.set_autocast_dtype('cuda', torch.float16)
