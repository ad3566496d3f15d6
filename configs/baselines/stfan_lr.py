# STFAN on LR frames, with a head that enlarges by 4: 5.4 M parameters, and about a
# sixteenth of the computation of stfan_bicubic.py. The form is ours.
_base_ = 'stfan_bicubic.py'

model = dict(generator=dict(_delete_=True, type='STFANOnLR', with_cp=True))
restorer = dict(multiple=4)
