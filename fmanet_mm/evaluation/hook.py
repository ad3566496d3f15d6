"""Reports at the end of a test."""

from pathlib import Path

from mmagic.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from ..utils.wrappers import unwrap_model
from .metric import VSRDBMetric


@HOOKS.register_module()
class EvaluationReportHook(Hook):
    """Write the reports of each :class:`VSRDBMetric` and print the row of the table.

    The files are ``<config>.json`` and ``<config>.md`` in the folder of the log, with
    the metric's prefix if it has one.
    """

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write and print the reports, in the main process, which has them."""
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

    The heads of the temporal-anchor loss are not counted, as in the paper.
    """
    return sum(
        parameter.numel()
        for name, parameter in unwrap_model(model).named_parameters()
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
