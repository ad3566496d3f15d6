# Restormer (arXiv 2111.09881), for windows and with upsampling, 26.5 M parameters.
_base_ = '../_base_/baseline.py'

model = dict(
    generator=dict(
        type='WindowRestormer',
        num_frames=3,
        scale=4,
        dim=48,
        num_blocks=[4, 6, 6, 8],
        num_refinement_blocks=4,
        heads=[1, 2, 4, 8],
        ffn_expansion_factor=2.66,
    )
)
restorer = dict(_delete_=True, type='StreamingRestorer')
