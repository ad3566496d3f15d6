"""The REDS set."""

from mmagic.registry import DATASETS

from .vsrdb import VSRDBDataset

REDS4 = ('000', '011', '015', '020')
"""Training clips on which the literature evaluates."""

SUBSETS = ('all', 'REDS4', 'non-REDS4')


@DATASETS.register_module()
class REDSVSRDBDataset(VSRDBDataset):
    """REDS, or any set in its layout: frames named by 8 digits from ``00000000``.

    As published, training uses the training clips except REDS4, and the 30 validation
    clips, 266 in all; evaluation uses REDS4. ``subset`` selects among the training
    clips, so that both read the official folders unchanged.

    Args:
        subset (str): ``'all'`` clips, only ``'REDS4'`` (000, 011, 015 and 020), or the
            ``'non-REDS4'`` clips.
        **kwargs: See :class:`VSRDBDataset`.

    Raises:
        FileNotFoundError: See :class:`VSRDBDataset`; also if ``subset`` needs a clip
            of REDS4 that is missing.
        ValueError: See :class:`VSRDBDataset`; also if ``subset`` is not one of these.
    """

    METAINFO = dict(dataset_type='reds_vsrdb', task_name='vsrdb')
    FRAME_DIGITS = 8

    def __init__(self, subset: str = 'all', **kwargs) -> None:
        if subset not in SUBSETS:
            raise ValueError(f'subset must be one of {SUBSETS}, got {subset!r}')
        self.subset = subset
        super().__init__(**kwargs)

    def select_clips(self, clips: dict[str, int | None]) -> dict[str, int | None]:
        """Select the clips of the subset; see :meth:`VSRDBDataset.select_clips`."""
        if self.subset == 'all':
            return clips
        if self.subset == 'non-REDS4':
            return {name: clips[name] for name in clips if name not in REDS4}
        missing = [name for name in REDS4 if name not in clips]
        if missing:
            raise FileNotFoundError(
                f'REDS4 is clips {", ".join(REDS4)} of the training set, but '
                f'{self.ann_file or self._root("img")} lacks {", ".join(missing)}'
            )
        return {name: clips[name] for name in REDS4}
