#!/usr/bin/env bash
# Train with several processes on this machine, one per GPU (or on CPUs).
#   tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# With several machines, which must share the work folder, run it on each with the same
# arguments and these environment variables (defaults in parentheses).
#   NNODES       number of machines (1)
#   NODE_RANK    index of this machine, from 0 (0)
#   MASTER_ADDR  address of machine 0 (127.0.0.1)
#   PORT         a free port of machine 0, different for each run (29500)
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
