# The synthetic scenes that the demo network was trained on, composed of photos in
# data/photos; see configs/demo/README.md.
demo_motion = (0.0, 6.0)
demo_scenes = dict(
    size=(64, 64),
    motion=demo_motion,
    folders=['data/photos'],
    shipped=False,
    length=22_316,
    seed=3,
    pipeline=[
        dict(type='VSRDBRandomFlip', horizontal=0.5, vertical=0.5),
        dict(type='VSRDBRandomTranspose', probability=0.5),
        dict(type='VSRDBRandomChannels'),
        dict(
            type='PackInputs',
            data_keys=['img_sharp', 'flow'],
            meta_keys=[
                'key',
                'img_path',
                'img_channel_order',
                'gt_channel_order',
                'img_sharp_channel_order',
            ],
        ),
    ],
)
