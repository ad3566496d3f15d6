# Synthetic scenes of the photos that scikit-image and scikit-learn ship: training
# without any data on disk. Validation takes other scenes of the same photos.
#
# A config uses it instead of REDS, see fmanet_stage1_synthetic.py. The scenes are
# rendered by the workers, each on one core: use as many as there are cores.
synthetic_meta_keys = [
    'key',
    'img_path',
    'img_channel_order',
    'gt_channel_order',
    'img_sharp_channel_order',
]
synthetic_flip = dict(type='VSRDBRandomFlip', horizontal=0.5, vertical=0.5)
synthetic_pack = dict(
    type='PackInputs', data_keys=['img_sharp', 'flow'], meta_keys=synthetic_meta_keys
)
synthetic_train = dict(
    _delete_=True,
    type='SyntheticMotionDataset',
    size=(72, 72),
    scale=4,
    num_input_frames=3,
    motion=(0.0, 8.0),
    pipeline=[
        dict(type='VSRDBRandomCrop', patch_size=64, scale=4),
        synthetic_flip,
        synthetic_pack,
    ],
)
synthetic_val = dict(
    _delete_=True,
    type='SyntheticMotionDataset',
    size=(96, 128),
    scale=4,
    num_input_frames=3,
    motion=(0.0, 8.0),
    length=32,
    seed=1,
    test_mode=True,
    pipeline=[
        dict(type='PackInputs', data_keys=['flow'], meta_keys=synthetic_meta_keys)
    ],
)
# Changes for tiny networks: scenes of the size of a patch are not cropped.
small_motion = (0.0, 4.0)
small_scenes = dict(
    size=(32, 32), motion=small_motion, pipeline=[synthetic_flip, synthetic_pack]
)
