# The demo's twin with flow-guided filters, which is what the paper is named after.
_base_ = 'demo_stage1.py'

model = dict(net_d=dict(downsampling=None))
