# RVRT (arXiv 2206.02146) with 192 channels, 12.9 M parameters; trained, tested and
# applied as BasicVSR++ is.
_base_ = 'basicvsr_pp.py'

model = dict(
    generator=dict(
        _delete_=True,
        type='RVRT',
        channels=192,
        num_heads=6,
        conv_groups=3,
        with_cp=True,
        spynet_pretrained='data/spynet_20210409-c6c1bd09.pth',
    )
)
restorer = dict(min_size=1)
