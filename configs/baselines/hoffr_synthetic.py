# The reconstruction of HOFFR on synthetic scenes, without any data on disk.
_base_ = ['hoffr.py', '../_base_/datasets/synthetic.py']

train_dataloader = dict(dataset=dict(_base_.synthetic_train, **_base_.window))
val_dataloader = dict(
    dataset=dict(_base_.synthetic_val, num_output_frames=1, **_base_.window)
)
test_dataloader = val_dataloader
env_cfg = dict(mp_cfg=dict(opencv_num_threads=0))
