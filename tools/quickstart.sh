#!/usr/bin/env bash
# Set the environment up if need be, then run tools/quickstart.py; arguments go to it.
#   bash tools/quickstart.sh [--raft raft-small.pth]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh
exec "${FMANET_VENV:-.venv}/bin/python" tools/quickstart.py "$@"
