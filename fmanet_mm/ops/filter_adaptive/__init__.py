"""Filter-adaptive convolution (FAC): every pixel of every channel has its own filter.

For a feature ``x`` (N, C, H, W) padded by its border to ``p``, and filters ``w``
(N, C*k*k, H, W),

    out[n, c, i, j] = sum over u, v of w[n, c*k*k + u*k + v, i, j] * p[n, c, i+u, j+v]

It is a cross-correlation without a sum over channels. The layer is that of STFAN
(arXiv 1904.12257).
"""

from .reference import filter_adaptive_conv_reference
from .taps import filter_adaptive_conv

__all__ = ['filter_adaptive_conv', 'filter_adaptive_conv_reference']
