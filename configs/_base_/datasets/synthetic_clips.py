# Synthetic clips of the photos that scikit-image and scikit-learn ship, with an
# exposure for each frame: FMA-Net++ trains without any data on disk. Validation takes
# other scenes of the same photos.
#
# A config uses them instead of REDS-ME, see fmanet_pp/stage1_synthetic.py. Rendering a
# clip takes a core about two seconds: use as many workers as there are cores.
clips_flip = dict(type='VSRDBRandomFlip', horizontal=0.5, vertical=0.5)
clips_pack = dict(type='PackClip')
clips_train = dict(
    _delete_=True,
    type='SyntheticClipDataset',
    size=(72, 72),
    scale=4,
    clip_length=10,
    motion=(0.0, 8.0),
    pipeline=[
        dict(type='VSRDBRandomCrop', patch_size=64, scale=4),
        clips_flip,
        clips_pack,
    ],
)
clips_val = dict(
    _delete_=True,
    type='SyntheticClipDataset',
    size=(96, 128),
    scale=4,
    clip_length=10,
    motion=(0.0, 8.0),
    levels=[5],
    length=8,
    seed=1,
    test_mode=True,
    pipeline=[clips_pack],
)
