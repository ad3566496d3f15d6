"""What watches the numbers of a training."""

import torch
from mmagic.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer


@HOOKS.register_module()
class FiniteGuardHook(Hook):
    """Keep steps with NaN or infinite losses or gradients away from the weights.

    Such a step is never taken. Training then stops with the iteration, the loss terms,
    the parameters and the samples, or goes on, by ``max_skipped``. All processes decide
    alike. Steps that only the gradient scaler of mixed precision leaves out, to find
    its scale, do not count.

    Args:
        max_skipped (int): How many such iterations in a row are only reported. At one
            more, training stops.

    Raises:
        FloatingPointError: When training stops.
    """

    def __init__(self, max_skipped: int = 0) -> None:
        self.max_skipped = max_skipped
        self._skipped = 0
        self._losses: dict[str, Tensor] = {}
        # Names of bad gradients once a step was to be taken.
        self._bad_gradients: list[str] | None = None
        self._sound: bool | None = None

    def before_train(self, runner: Runner) -> None:
        """Watch the model's losses and the optimizer's steps."""
        self._model = _unwrapped(runner)
        self._model.register_forward_hook(self._note_losses)
        runner.optim_wrapper.optimizer.register_step_pre_hook(self._check_step)

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Forget the iteration before."""
        self._losses, self._bad_gradients, self._sound = {}, None, None

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Report a step that was not taken; stop when there are too many."""
        if self._sound is None:  # No step was due, or the gradient scaler left it out.
            self._sound = self._all_sound([])
        if self._sound:
            self._skipped = 0
            return
        runner.optim_wrapper.zero_grad()
        self._skipped += 1
        report = self._report(runner.iter + 1, data_batch)
        if self._skipped > self.max_skipped:
            raise FloatingPointError(
                f'{report} Look at these samples and their flow, lower the learning '
                'rate (optim_wrapper.optimizer.lr), clip gradients '
                '(optim_wrapper.clip_grad.max_norm=1), or let such steps be skipped '
                '(default_hooks.guard.max_skipped).'
            )
        runner.logger.warning(
            f'{report} Skipped, {self._skipped} in a row of at most {self.max_skipped}.'
        )

    def _note_losses(self, module: nn.Module, args: tuple, output: object) -> None:
        if module.training and isinstance(output, dict):
            _, terms = module.parse_losses(output)
            self._losses = {name: value.detach() for name, value in terms.items()}

    def _check_step(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        """Take the gradients away before a bad step, which is none without them."""
        parameters = [p for group in optimizer.param_groups for p in group['params']]
        self._sound = self._all_sound(
            [p.grad for p in parameters if p.grad is not None]
        )
        if self._sound:
            return
        self._bad_gradients = [
            name
            for name, parameter in self._model.named_parameters()
            if parameter.grad is not None and not parameter.grad.isfinite().all()
        ]
        for parameter in parameters:
            parameter.grad = None

    def _all_sound(self, gradients: list[Tensor]) -> bool:
        """Whether losses and gradients of all processes are finite."""
        values = [value.float() for value in self._losses.values()]
        if gradients:
            values.append(get_total_norm(gradients).float())
        device = next(self._model.parameters()).device
        bad = torch.zeros((), device=device)
        for value in values:
            bad += ~value.to(device).isfinite()
        all_reduce(bad, 'max')
        return not bad.item()

    def _report(self, iteration: int, data_batch: dict | None) -> str:
        losses = ', '.join(f'{key} {value:.6g}' for key, value in self._losses.items())
        names = self._bad_gradients or []
        gradients = f'{len(names)} gradients ({", ".join(names[:3])}, ...)'
        return (
            f'Iteration {iteration}: a loss or gradient is NaN or infinite. '
            f'Losses: {losses or "not known"}. '
            f'Not finite: {gradients if names else "no gradient of this process"}. '
            f'Samples of this process: {", ".join(_sample_keys(data_batch))}. '
            'The weights are those of the iteration before.'
        )


@HOOKS.register_module()
class LearningRateHook(Hook):
    """Log the learning rate of each net of the model, like ``net_d.lr``.

    MMEngine logs that of the optimizer's first parameters alone. Of a net with several,
    the highest is logged.
    """

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Note the learning rates of the iteration."""
        rates = {
            id(parameter): group['lr']
            for group in runner.optim_wrapper.param_groups
            for parameter in group['params']
        }
        for name, net in _unwrapped(runner).named_children():
            of_net = [rates[id(p)] for p in net.parameters() if id(p) in rates]
            if of_net:
                runner.message_hub.update_scalar(f'train/{name}.lr', max(of_net))


def _unwrapped(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _sample_keys(data_batch: dict | None) -> list[str]:
    samples = (data_batch or {}).get('data_samples') or []
    keys = [str(sample.metainfo.get('key')) for sample in samples]
    return keys or ['not known']
