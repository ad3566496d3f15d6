# Stage 2 on scenes that are made up, without any data on disk.
_base_ = ['fmanet_stage2.py', '_base_/datasets/synthetic.py']

model = dict(
    net_d=dict(
        init_cfg=dict(checkpoint='work_dirs/fmanet_stage1_synthetic/iter_300000.pth')
    )
)
train_dataloader = dict(dataset=_base_.synthetic_train_dataset)
val_dataloader = dict(dataset=dict(num_output_frames=1, **_base_.synthetic_val_dataset))
test_dataloader = val_dataloader
env_cfg = dict(mp_cfg=dict(opencv_num_threads=0))
