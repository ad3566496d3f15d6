from types import SimpleNamespace

import pytest
import torch

from fmanet_mm.engine import CudnnSearchHook, StrictCheckpointHook


def compare(checkpoint):
    runner = SimpleNamespace(model=torch.nn.Linear(2, 3))
    StrictCheckpointHook('some.pth').after_load_checkpoint(runner, checkpoint)


def test_fitting_weights_pass_bare_or_from_a_distributed_run():
    weights = torch.nn.Linear(2, 3).state_dict()
    compare(weights)
    compare({'state_dict': weights, 'meta': {}})
    compare({'state_dict': {f'module.{key}': w for key, w in weights.items()}})


def test_each_kind_of_difference_is_listed():
    weights = {'weight': torch.zeros(2, 2), 'extra': torch.zeros(1)}
    with pytest.raises(ValueError) as error:
        compare({'state_dict': weights})
    assert (
        'the weights in some.pth do not fit Linear: 1 missing (bias); '
        '1 not known to the model (extra); '
        '1 of another shape (weight (2, 2) instead of (3, 2)); '
    ) in str(error.value)


def test_long_lists_are_cut():
    weights = {f'extra{i}': torch.zeros(1) for i in range(5)}
    with pytest.raises(ValueError, match=r'5 not known .*\(extra0, extra1, extra2, ..'):
        compare(torch.nn.Linear(2, 3).state_dict() | weights)


@pytest.mark.parametrize('searches', [True, False])
@pytest.mark.parametrize('split', ['val', 'test'])
def test_cudnn_searches_in_training_only(monkeypatch, searches, split):
    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', searches)
    hook = CudnnSearchHook()
    for _ in range(2):
        getattr(hook, f'before_{split}')(None)
        assert not torch.backends.cudnn.benchmark
        getattr(hook, f'after_{split}')(None)
        assert torch.backends.cudnn.benchmark == searches
