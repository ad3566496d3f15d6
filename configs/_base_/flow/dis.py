# OpenCV's DIS flow: no weights, less accurate than RAFT.
flow_estimator = dict(type='DISFlowEstimator', preset='medium')
