"""Dynamic filtering: every output pixel has a filter of its own.

For an input ``x`` (N, T, C, H', W') that is already padded, filters ``w``
(N, T, G, k*k, H, W) and a stride s,

    out[n, c, g, i, j] = sum over t, u, v of
        w[n, t, g, u*k + v, i, j] * x[n, t, c, s*i + u, s*j + v]

with H' = s*(H - 1) + k and W' = s*(W - 1) + k. Flow-guided dynamic downsampling
(Eq. 2 of the paper) has one filter a pixel (G = 1) and s = the scale; upsampling
(Eq. 4) has scale^2 filters a pixel and s = 1.
"""

from .forms import dynamic_filter
from .reference import dynamic_filter_reference

__all__ = ['dynamic_filter', 'dynamic_filter_reference']
