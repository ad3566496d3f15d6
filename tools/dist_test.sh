#!/usr/bin/env bash
# Evaluate with several processes on this machine, one a GPU (or on CPUs, without GPUs).
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]
# Several machines: run it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if (( $# < 3 )); then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [arguments of test.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" \
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$3" \
    "$TOOLS/test.py" "$1" "$2" --launcher pytorch "${@:4}"
