#!/usr/bin/env bash
# Train with several processes on this machine, one a GPU (or on CPUs, without GPUs).
#   tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# Several machines, which share the work folder: run it on each with the same arguments
# and these in the environment (in parentheses what they are otherwise).
#   NNODES       number of machines (1)
#   NODE_RANK    which of them this one is, from 0 on (0)
#   MASTER_ADDR  address of machine 0 (127.0.0.1)
#   PORT         a free port of machine 0, for each run its own (29500)
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
