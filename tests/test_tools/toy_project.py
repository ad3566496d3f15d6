"""A one-weight model whose training can be followed by hand.

It learns ``w`` of ``y = w x`` by squared error from x = 1 and y = 0, 2, 0, 2, ...: a
batch that holds both has its minimum at w = 1 and the gradient 2 (w - 1).
"""

import torch
from mmagic.registry import DATASETS, METRICS, MODELS
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch.utils.data import Dataset


@DATASETS.register_module()
class ToyDataset(Dataset):
    metainfo = {}

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.ones(1), target=torch.full((1,), 2.0 * (index % 2)))


@MODELS.register_module()
class ToyModel(BaseModel):
    computed_in = None

    def __init__(self, width=1):
        super().__init__()
        self.layer = torch.nn.Linear(1, width, bias=False)
        torch.nn.init.zeros_(self.layer.weight)

    def forward(self, inputs, target, mode):
        output = self.layer(inputs)
        ToyModel.computed_in = output.dtype
        error = output.float() - target
        return dict(loss=error.square().mean()) if mode == 'loss' else list(error)


@METRICS.register_module()
class ToyMetric(BaseMetric):
    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results.extend(float(error) for error in data_samples)

    def compute_metrics(self, results):
        return dict(bias=sum(results) / len(results))
