"""Running a tool in this process, which has MMagic imported already."""

import importlib.util
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def load_tool(name):
    """Import tools/<name>.py."""
    path = TOOLS / f'{name}.py'
    spec = importlib.util.spec_from_file_location(f'tool_{path.stem}', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def leave_unformatted(text, **options):
    """Replace the formatter of configs, which gives the text and whether it changed."""
    return text, False


def run_tool(name, *arguments):
    """Run tools/<name>.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [f'{Path(name).name}.py', *map(str, arguments)])
        # It takes more than half of the time of a tiny training.
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', leave_unformatted)
        load_tool(name).main()
