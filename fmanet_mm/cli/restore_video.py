"""The command ``fmanet-restore``."""

import sys

from ..utils.names import print_any_name
from .arguments import parse_args


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Args:
        argv (list[str], optional): Its arguments, by default those of the process.

    Returns:
        int: The exit code, see ``--help``.
    """
    print_any_name()
    args, jobs = parse_args(argv)
    # Imports torch, which help and errors in the arguments should not wait for.
    from .run import run_jobs

    return run_jobs(args, jobs)


if __name__ == '__main__':
    sys.exit(main())
