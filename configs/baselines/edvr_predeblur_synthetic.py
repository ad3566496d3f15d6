# EDVR-L with pre-deblurring on synthetic scenes, without any data on disk.
_base_ = ['edvr_predeblur.py', '../_base_/datasets/synthetic.py']

window = dict(num_input_frames=5, num_output_frames=1)
train_dataloader = dict(dataset=dict(_base_.synthetic_train, **window))
val_dataloader = dict(dataset=dict(_base_.synthetic_val, **window))
test_dataloader = val_dataloader
env_cfg = dict(mp_cfg=dict(opencv_num_threads=0))
