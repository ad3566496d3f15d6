"""Frames in and out: video files and folders of images.

The modules are imported by name, since some are needed before anything is decoded:
:mod:`.options`, :mod:`.limits`, :mod:`.formats`, :mod:`.clip_info` and
:mod:`.work_folder` import the standard library only. Reading and writing, in
:mod:`.reader` and :mod:`.writer`, needs PyAV, OpenCV and NumPy, but no torch.
"""

import gc
import os

if hasattr(os, 'register_at_fork'):
    # A converted frame has threads, which a forked process lacks: freed there, it would
    # wait for them forever. So those that wait to be collected are freed before.
    os.register_at_fork(before=gc.collect)
