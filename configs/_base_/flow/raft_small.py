# RAFT-small, a fifth of RAFT's weights. The checkpoint is made of Princeton's
# raft-small.pth by tools/model_converters/convert_raft.py.
flow_estimator = dict(
    type='MMFlowEstimator',
    config='raft_small',
    checkpoint='checkpoints/raft_small.pth',
    iters=12,
)
