"""Files and the paper's row at the end of a test."""

from pathlib import Path

from mmagic.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from .metric import VSRDBMetric


@HOOKS.register_module()
class EvaluationReportHook(Hook):
    """Write the reports of the test's :class:`VSRDBMetric` and print the paper's row.

    They are ``<config>.json`` and ``<config>.md`` in the folder of the log, with the
    metric's prefix if it has one.
    """

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write and print, in the main process, where the reports are."""
        config = Path(runner.cfg.filename or 'evaluation').stem
        for metric in _find_metrics(runner.test_loop):
            if metric.report is None:
                continue
            report = metric.report
            report.name = f'{config}_{metric.prefix}' if metric.prefix else config
            report.parameters = count_parameters(runner.model)
            paths = report.save(runner.log_dir, report.name)
            print(
                report.protocol.describe(),
                report.header(),
                report.row(),
                f'Reports: {", ".join(map(str, paths))}',
                sep='\n',
            )


def count_parameters(model: nn.Module) -> int:
    """Count the parameters that inference uses.

    The heads of the temporal-anchor loss are left out, as in the paper.
    """
    if is_model_wrapper(model):
        model = model.module
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if 'anchor_head' not in name.split('.')
    )


def _find_metrics(loop) -> list[VSRDBMetric]:
    """The metrics of MMagic's and of MMEngine's test loop."""
    evaluators = getattr(loop, 'evaluators', None) or [loop.evaluator]
    return [
        metric
        for evaluator in evaluators
        for metric in evaluator.metrics or ()
        if isinstance(metric, VSRDBMetric)
    ]
