# Restormer on synthetic scenes, without any data on disk.
_base_ = ['restormer.py', '../_base_/datasets/synthetic.py']

train_dataloader = dict(dataset=dict(_base_.synthetic_train, num_output_frames=1))
val_dataloader = dict(dataset=dict(_base_.synthetic_val, num_output_frames=1))
test_dataloader = val_dataloader
env_cfg = dict(mp_cfg=dict(opencv_num_threads=0))
