"""STFAN (ICCV 2019, arXiv 1904.12257): recurrent video deblurring by FAC layers.

One step restores one frame. A branch reads it, the frame before and what that was
restored to, and generates a 5x5 filter for each of 128 channels and each pixel at a
quarter of the size, twice: to align the feature carried from the frame before, and to
deblur that of the frame itself. Both filtered features are decoded to a residual image,
and carried on.
"""

from .perceptual import VGGFeatureLoss
from .stfan import STFAN, STFANOnBicubic, STFANOnLR, STFANState

__all__ = ['STFAN', 'STFANOnBicubic', 'STFANOnLR', 'STFANState', 'VGGFeatureLoss']
