# OpenCV's DIS flow: no weights, less exact than RAFT.
flow_estimator = dict(type='DISFlowEstimator', preset='medium')
