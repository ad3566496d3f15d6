#!/usr/bin/env bash
# Set the environment up if need be, then run the tests; other arguments go to pytest.
#   bash tools/run_tests.sh [--quick | --light] [tests/test_engine ...]
# --quick   without the tests that are marked as slow: two minutes on 2 cores
# --light   what needs no OpenMMLab, in the environment FMANET_VENV as it is
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
FOLDERS_OF_THE_LIGHT_DOOR='tests/test_doors.py tests/test_cli tests/test_export
    tests/test_models tests/test_ops tests/test_restoration tests/test_utils
    tests/test_video tests/test_visualization'

case ${1:-} in
    --quick) set -- -m 'not slow' "${@:2}" ;;
    --light)
        # shellcheck disable=SC2086
        set -- $FOLDERS_OF_THE_LIGHT_DOOR "${@:2}"
        LIGHT=1
        ;;
esac
[[ ${LIGHT:-0} == 1 ]] || bash tools/setup_env.sh

# One thread a worker: several workers share the cores.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# Not `python -m pytest`, which would test the checkout and not the installed package.
exec "${FMANET_VENV:-.venv}/bin/pytest" -q \
    -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
    --timeout 300 --durations 10 "$@"
