#!/usr/bin/env bash
# Set the environment up if need be, then run the tests; arguments go to pytest.
#   bash tools/run_tests.sh [tests/test_engine ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh

# One thread a worker: several workers share the cores.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
exec "${FMANET_VENV:-.venv}/bin/python" -m pytest -q \
    -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
    --timeout 300 --durations 10 "$@"
