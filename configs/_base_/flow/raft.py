# RAFT as published by MMFlow. Of its checkpoints this one was trained on the widest
# mix (FlyingThings3D, Sintel, KITTI, HD1K), so it serves real video best. The paper
# only says "pretrained RAFT"; 12 iterations are those of the released training data.
flow_estimator = dict(
    type='MMFlowEstimator',
    config='raft/raft_8xb2_100k_mixed-368x768.py',
    checkpoint='https://download.openmmlab.com/mmflow/raft/raft_8x2_100k_mixed_368x768.pth',
    iters=12,
)
