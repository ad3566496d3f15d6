"""The GoPro set."""

from mmagic.registry import DATASETS

from .vsrdb import VSRDBDataset


@DATASETS.register_module()
class GoProVSRDBDataset(VSRDBDataset):
    """GoPro: frames named by 6 digits, starting at any number.

    The sharp HR frames are read from the official tree as it is, with
    ``data_prefix=dict(gt='test/{clip}/sharp', ...)``; the LR kinds, which are not part
    of the official set, have the layout of REDS.

    Args:
        **kwargs: See :class:`VSRDBDataset`.
    """

    METAINFO = dict(dataset_type='gopro_vsrdb', task_name='vsrdb')
    FRAME_DIGITS = 6
