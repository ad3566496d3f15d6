"""Data preprocessor for windows of frames."""

from mmagic.models.data_preprocessors import DataPreprocessor
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from torch import Tensor


@MODELS.register_module()
class VSRDBDataPreprocessor(DataPreprocessor):
    """MMagic's preprocessor for samples with different images.

    A training sample has ``gt_img`` and ``img_sharp``; a test sample may have
    neither. Only those present are normalised.
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
        """Convert test targets to the network's colour order and range.

        The inverse of ``destruct``: outside training, MMagic passes targets as BGR in
        [0, 255].

        Args:
            images (Tensor): (..., 3, H, W), BGR in [0, 255].

        Returns:
            Tensor: The images as the network expects them.
        """
        images, _ = self._do_conversion(images, 'BGR', self.output_channel_order)
        return self._do_norm(images)

    def pack(
        self, outputs: dict[str, Tensor], inputs: Tensor, data_samples: DataSample
    ) -> list[DataSample]:
        """Convert the images of a model to data samples for the metrics.

        Args:
            outputs (dict[str, Tensor]): ``pred_img`` and further targets, by name, each
                (N, 3, H, W), in the network's colour order and range.
            inputs (Tensor): The windows they were computed from, (N, T, 3, H, W).
            data_samples (DataSample): The samples of the batch.

        Returns:
            list[DataSample]: One per window, with ``input``, the further targets, and
            ``output``, which holds ``pred_img``; all BGR in [0, 255].
        """
        images = {
            name: self.destruct(image.clone(), data_samples).cpu()
            for name, image in outputs.items()
        }
        prediction = DataSample(pred_img=images.pop('pred_img'))
        images['input'] = self.destruct(inputs, data_samples, 'img')
        data_samples.set_tensor_data(images)
        samples = data_samples.split()
        for sample, output in zip(samples, prediction.split(), strict=True):
            sample.output = output
        return samples
