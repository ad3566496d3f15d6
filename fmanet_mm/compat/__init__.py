"""What MMagic, mmcv and MMFlow need to be imported, one module for each problem."""
