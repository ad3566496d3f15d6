import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper

from fmanet_mm.engine import FiniteGuardHook, LearningRateHook


class Model(BaseModel):
    """Its loss is the product of its weight and the input, plus an offset."""

    def __init__(self):
        super().__init__()
        self.net_d = torch.nn.Linear(1, 1, bias=False)
        self.net_r = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(self.net_d.weight)

    def forward(self, inputs, offset=0.0, data_samples=None, mode='loss'):
        return dict(
            loss_a=(self.net_d(inputs) + offset).sum(), loss_b=inputs.new_ones(())
        )


class Training:
    """Runs train steps with a hook, as MMEngine's loop does."""

    def __init__(self, accumulative_counts=1, **kwargs):
        self.model = Model().train()
        # The gradient is the input.
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.125)
        self.optim_wrapper = OptimWrapper(
            self.optimizer, accumulative_counts=accumulative_counts
        )
        self.logger = logging.getLogger('guards')
        self.iter = 0
        self.hook = FiniteGuardHook(**kwargs)
        self.hook.before_train(self)

    def step(self, value, offset=0.0):
        sample = SimpleNamespace(metainfo=dict(key='000/00000005'))
        batch = dict(
            inputs=torch.tensor([[value]]), offset=offset, data_samples=[sample]
        )
        self.hook.before_train_iter(self, self.iter, batch)
        outputs = self.model.train_step(batch, self.optim_wrapper)
        self.hook.after_train_iter(self, self.iter, batch, outputs)
        self.iter += 1

    @property
    def weight(self):
        return self.model.net_d.weight.item()


NAN, INF = float('nan'), float('inf')


def test_finite_steps_are_taken():
    training = Training()
    training.step(1.0)
    training.step(1.0)
    assert training.weight == pytest.approx(0.75)


# The second has finite gradients, the third a finite loss.
@pytest.mark.parametrize(('value', 'offset'), [(NAN, 0.0), (1.0, INF), (1.0, NAN)])
def test_a_bad_step_stops_the_training_and_spares_the_weights(value, offset):
    training = Training()
    training.step(1.0)
    with pytest.raises(FloatingPointError) as error:
        training.step(value, offset)
    assert training.weight == pytest.approx(0.875)
    message = str(error.value)
    assert 'iteration 2' in message
    assert 'loss_a' in message and 'loss_b 1' in message
    assert '000/00000005' in message


def test_bad_gradients_are_named():
    with pytest.raises(FloatingPointError, match=r'1 gradients \(net_d.weight'):
        Training().step(NAN)


def test_bad_steps_are_skipped_as_if_they_were_not(caplog):
    training, expected = Training(max_skipped=2), Training()
    for value in (1.0, NAN, NAN, 2.0, NAN):
        training.step(value)
    for value in (1.0, 2.0):
        expected.step(value)
    assert training.weight == expected.weight
    assert 'skipped, 2 in a row of at most 2' in caplog.text
    assert 'iteration 5' in caplog.text


def test_too_many_in_a_row_stop_the_training():
    training = Training(max_skipped=1)
    training.step(NAN)
    with pytest.raises(FloatingPointError, match='iteration 2'):
        training.step(NAN)


def test_a_bad_part_of_accumulated_gradients_is_left_out():
    training, expected = Training(2, max_skipped=1), Training(2)
    for value in (NAN, 1.0):
        training.step(value)
    for value in (0.0, 1.0):
        expected.step(value)
    assert training.weight == expected.weight == pytest.approx(0.875)


def test_a_step_that_a_gradient_scaler_leaves_out_is_no_fault():
    training = Training()
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0**126)

    def step():
        scaler.step(training.optimizer)
        scaler.update()

    training.optim_wrapper.backward = lambda loss: scaler.scale(loss).backward()
    training.optim_wrapper.should_update = lambda: True
    training.optim_wrapper.step = step
    training.step(8.0)
    assert (training.weight, scaler.get_scale()) == (1.0, 2.0**125)
    with pytest.raises(FloatingPointError):
        training.step(1.0, NAN)


def test_the_learning_rate_of_each_net_is_logged():
    model = Model()
    optimizer = torch.optim.Adam(
        [
            dict(params=model.net_d.parameters(), lr=0.1),
            dict(params=model.net_r.parameters(), lr=0.01),
        ]
    )
    runner = SimpleNamespace(
        model=model,
        optim_wrapper=OptimWrapper(optimizer),
        message_hub=MessageHub('learning rates'),
    )
    for factor in (1, 0.5):
        for group in optimizer.param_groups:
            group['lr'] *= factor
        LearningRateHook().before_train_iter(runner, 0)
    assert list(runner.message_hub.get_scalar('train/net_d.lr').data[0]) == [0.1, 0.05]
    assert list(runner.message_hub.get_scalar('train/net_r.lr').data[0]) == [
        0.01,
        0.005,
    ]
