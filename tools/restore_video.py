"""Restore videos; the same as the command fmanet-restore."""

import sys

from fmanet_mm.cli.restore_video import main

if __name__ == '__main__':
    sys.exit(main())
