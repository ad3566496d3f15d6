#!/usr/bin/env bash
# Set the environment up if need be, then run tools/quickstart.py; arguments go to it.
#   bash tools/quickstart.sh [--raft raft-small.pth]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh
# Waiting threads must not take the cores from the process that loads the data.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
exec "${FMANET_VENV:-.venv}/bin/python" tools/quickstart.py "$@"
