"""The command ``fmanet-restore``."""

import os
import sys

from ..utils.names import print_any_name


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Args:
        argv (list[str], optional): Its arguments, by default those of the process.

    Returns:
        int: The exit code, see ``--help``.
    """
    _replace_closed_streams()
    print_any_name()
    try:
        from .arguments import parse_args

        args, jobs = parse_args(argv)
        # Imports much, which help and errors in the arguments should not wait for.
        from .run import run_jobs
    except KeyboardInterrupt:
        print('fmanet-restore: interrupted', file=sys.stderr)
        return 130
    return run_jobs(args, jobs)


def _replace_closed_streams() -> None:
    """Open what the caller has closed, lest a file of ours takes its number.

    Libraries that print to it would write into that file.
    """
    for name in ('stdin', 'stdout', 'stderr'):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, 'w'))


if __name__ == '__main__':
    sys.exit(main())
