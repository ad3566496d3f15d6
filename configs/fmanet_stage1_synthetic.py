# Stage 1 on synthetic scenes, without any data on disk.
_base_ = ['fmanet_stage1.py', '_base_/datasets/synthetic.py']

train_dataloader = dict(dataset=_base_.synthetic_train)
val_dataloader = dict(dataset=_base_.synthetic_val)
test_dataloader = val_dataloader
env_cfg = dict(mp_cfg=dict(opencv_num_threads=0))
