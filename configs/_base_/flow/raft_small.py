# RAFT-small, with a fifth of RAFT's weights. tools/model_converters/convert_raft.py
# converts the checkpoint from Princeton's raft-small.pth.
flow_estimator = dict(
    type='MMFlowEstimator',
    config='raft_small',
    checkpoint='checkpoints/raft_small.pth',
    iters=12,
)
