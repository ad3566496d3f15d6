"""Names that numpy 2 took away and MMagic 1.2 uses while it is imported."""

import numpy as np


def provide_numpy_names() -> None:
    """Give numpy 2 back its alias ``bool8``; numpy 1 stays as it is."""
    if np.lib.NumpyVersion(np.__version__) >= '2.0.0':
        np.bool8 = np.bool_  # type: ignore[attr-defined]
