"""Protection of the weights from numbers that are not finite."""

import torch
from mmagic.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from ..utils.wrappers import unwrap_model


@HOOKS.register_module()
class FiniteGuardHook(Hook):
    """Keep steps with NaN or infinite losses or gradients away from the weights.

    Such a step is never taken. Training then stops and reports the iteration, the loss
    terms, the parameters and the samples, or continues, as ``max_skipped`` says. All
    processes decide alike. Steps that the gradient scaler of mixed precision skips
    while it searches for its scale do not count.

    Args:
        max_skipped (int): Number of such iterations in a row that are only reported.
            At the next one, training stops.

    Raises:
        FloatingPointError: When training stops.
    """

    def __init__(self, max_skipped: int = 0) -> None:
        self.max_skipped = max_skipped
        self._skipped = 0
        self._losses: dict[str, Tensor] = {}
        # Non-finite gradients of the rejected step; None if no step was due.
        self._bad_gradients: list[str] | None = None
        self._finite: bool | None = None

    def before_train(self, runner: Runner) -> None:
        """Watch the model's losses and the optimizer's steps."""
        self._model = unwrap_model(runner.model)
        self._model.register_forward_hook(self._note_losses)
        runner.optim_wrapper.optimizer.register_step_pre_hook(self._check_step)

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Reset the state of the previous iteration."""
        self._losses, self._bad_gradients, self._finite = {}, None, None

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Report a rejected step; stop if there are too many in a row."""
        if self._finite is None:  # No step was due, or the gradient scaler skipped it.
            self._finite = self._all_finite([])
        if self._finite:
            self._skipped = 0
            return
        runner.optim_wrapper.zero_grad()
        self._skipped += 1
        report = self._report(runner.iter + 1, data_batch)
        if self._skipped > self.max_skipped:
            raise FloatingPointError(
                f'{report}; look at these samples and their flow, lower the learning '
                'rate (optim_wrapper.optimizer.lr), clip gradients '
                '(optim_wrapper.clip_grad.max_norm=1), or skip such steps '
                '(default_hooks.guard.max_skipped)'
            )
        runner.logger.warning(
            f'{report}; skipped, {self._skipped} in a row of at most {self.max_skipped}'
        )

    def _note_losses(self, module: nn.Module, args: tuple, output: object) -> None:
        if module.training and isinstance(output, dict):
            _, terms = module.parse_losses(output)
            self._losses = {name: value.detach() for name, value in terms.items()}

    def _check_step(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        """Remove the gradients before a bad step, which then changes nothing."""
        parameters = [p for group in optimizer.param_groups for p in group['params']]
        self._finite = self._all_finite(
            [p.grad for p in parameters if p.grad is not None]
        )
        if self._finite:
            return
        self._bad_gradients = [
            name
            for name, parameter in self._model.named_parameters()
            if parameter.grad is not None and not parameter.grad.isfinite().all()
        ]
        for parameter in parameters:
            parameter.grad = None

    def _all_finite(self, gradients: list[Tensor]) -> bool:
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
            f'iteration {iteration}: a loss or gradient is NaN or infinite; '
            f'losses: {losses or "not known"}; '
            f'not finite: {gradients if names else "no gradient of this process"}; '
            f'samples of this process: {", ".join(_sample_keys(data_batch))}; '
            'the weights are those of the previous iteration'
        )


def _sample_keys(data_batch: dict | None) -> list[str]:
    samples = (data_batch or {}).get('data_samples') or []
    keys = [str(sample.metainfo.get('key')) for sample in samples]
    return keys or ['not known']
