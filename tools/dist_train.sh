#!/usr/bin/env bash
# Train with several processes on this machine, one a GPU (or on CPUs, without GPUs).
#   tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# Several machines: run it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if (( $# < 2 )); then
    echo "usage: $0 CONFIG GPUS [arguments of train.py]" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" \
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$2" \
    "$TOOLS/train.py" "$1" --launcher pytorch "${@:3}"
