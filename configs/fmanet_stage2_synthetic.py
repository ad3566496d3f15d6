# Stage 2 on synthetic scenes, without any data on disk.
_base_ = ['fmanet_stage2.py', '_base_/datasets/synthetic.py']

stage1 = 'work_dirs/fmanet_stage1_synthetic/iter_300000.pth'
model = dict(net_d=dict(init_cfg=dict(checkpoint=stage1)))
train_dataloader = dict(dataset=_base_.synthetic_train)
val_dataloader = dict(dataset=dict(_base_.synthetic_val, num_output_frames=1))
test_dataloader = val_dataloader
env_cfg = dict(mp_cfg=dict(opencv_num_threads=0))
