"""What MMagic's data preprocessor lacks."""

from mmagic.models.data_preprocessors import DataPreprocessor
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from torch import Tensor


@MODELS.register_module()
class VSRDBDataPreprocessor(DataPreprocessor):
    """MMagic's preprocessor for samples that do not all have the same images.

    A training sample has ``gt_img`` and ``img_sharp``, a test sample may have
    neither; only the ones that are there are normalised.
    """

    def _preprocess_data_sample(
        self, data_samples: list[DataSample], training: bool
    ) -> DataSample:
        wanted = self.data_keys
        self.data_keys = [key for key in wanted if key in data_samples[0]]
        try:
            return super()._preprocess_data_sample(data_samples, training)
        finally:
            self.data_keys = wanted

    def construct(self, images: Tensor) -> Tensor:
        """Bring test targets to the network's colour order and range.

        The inverse of ``destruct``: outside of training, MMagic hands targets as
        BGR in [0, 255].

        Args:
            images (Tensor): (..., 3, H, W), BGR in [0, 255].

        Returns:
            Tensor: The same images as the network takes them.
        """
        images, _ = self._do_conversion(images, 'BGR', self.output_channel_order)
        return self._do_norm(images)
