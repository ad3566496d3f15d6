# Changes to reds.py for x1: the blurry frames of REDS in full resolution, 1280x720.
#
# Its flow takes 180 GB on disk (tools/generate_flow.py --sharp-lr train_sharp
# --out train_flow/X1); the transform EstimateFlow in place of LoadFlow takes none. In
# full resolution everything moves four times as many pixels, so patches are larger.
x1_architecture = dict(scale=1, degradation_kernel_size=21)
x1_crop = dict(type='VSRDBRandomCrop', patch_size=128, scale=1)
x1_check = dict(type='CheckScale', scale=1)
x1_train_kinds = dict(
    img='train_blur', gt='train_sharp', img_sharp='train_sharp', flow='train_flow/X1'
)
x1_val_kinds = dict(
    img='val_blur', gt='val_sharp', img_sharp='val_sharp', flow='val_flow/X1'
)
