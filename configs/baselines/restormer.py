# Restormer (arXiv 2111.09881), 26.2 M parameters, for windows and with upsampling.
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
        bias=False,
        LayerNorm_type='WithBias',
    )
)
restorer = dict(multiple=8)
