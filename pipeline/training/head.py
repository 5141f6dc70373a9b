"""From what a model puts out for rows to what is answered: predicted numbers, or probabilities and a class."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.special
import tensorflow as tf

from pipeline.config import Decision, Task
from pipeline.contracts import model as contract
from pipeline.training.calibration import Calibration, fit_calibration
from pipeline.training.decision import DEFAULT, Threshold, choose_threshold
from pipeline.training.labels import LabelEncoding
from pipeline.training.members.losses import Outputs, levelled


@dataclass(frozen=True)
class Head:
    """What is done with a model's outputs.

    Attributes:
      encoding: what they mean.
      calibration: how logits are corrected; None where they are right.
      threshold: of two classes, the score above which a row is positive.
      class_weights: of several classes, by what their probabilities, which are those of the data's shares, are multiplied
        where the label is chosen; empty where the label is the most probable class.
    """

    encoding: LabelEncoding
    calibration: Calibration | None = None
    threshold: Threshold = field(default_factory=Threshold)
    class_weights: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        encoding: LabelEncoding,
        decision: Decision,
        outputs: Outputs,
        labels: npt.NDArray[np.floating],
        counts: npt.NDArray[np.floating],
        class_weights: npt.NDArray[np.float64] | None,
        seed: int,
        *,
        is_level_free: bool = False,
    ) -> Head:
        """Calibrates a classifier, and chooses its threshold, by rows that it has not learnt from.

        Args:
          encoding: what outputs mean.
          decision: the configured decision.
          outputs: what the model puts out for these rows; none where there are none.
          labels: their class indices, [N].
          counts: how much each of them counts, [N], whatever its class.
          class_weights: how much the rows of each class counted in training, [classes]; None where all counted the same.
          seed: that of the training.
          is_level_free: whether to calibrate by levelled outputs, so that the level of the rows learnt from stays; not where
            class weights have changed it.
        """
        is_level_free = is_level_free and class_weights is None
        compared = levelled(encoding.task, outputs, labels, counts) if is_level_free else outputs
        calibration = fit_calibration(encoding.task, compared, labels, counts, seed, class_weights)
        if encoding.task is not Task.BINARY:
            undone = () if calibration is None or class_weights is None else tuple(class_weights.tolist())
            return cls(encoding, calibration, class_weights=undone)
        corrected = outputs if calibration is None else calibration.corrected(outputs)
        scores = scipy.special.expit(corrected[:, 0]).astype(np.float32)
        default = _default_threshold(calibration, class_weights)
        return cls(encoding, calibration, choose_threshold(decision, scores, labels, counts, default))

    def __call__(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """What is answered for rows, by the names of `pipeline.contracts.model`.

        Args:
          outputs: what the model puts out, [N, outputs].
        """
        if self.encoding.task is Task.REGRESSION:
            return {contract.PREDICTIONS: outputs * self.encoding.deviation + self.encoding.mean}
        if self.calibration:
            outputs = self.calibration(outputs)
        if self.encoding.task is Task.MULTICLASS:
            return self._of_classes(outputs)
        score = tf.sigmoid(outputs)
        rest = 1 - score
        is_positive = score > self.threshold.value
        negative, positive = (tf.constant(each, _dtype(self.encoding)) for each in self.encoding.classes)
        answers = {
            contract.PROBABILITIES: tf.concat([rest, score], axis=1),
            contract.LABELS: tf.where(is_positive, positive, negative),
            contract.SCORE: score,
        }
        if self.threshold.value == DEFAULT:
            return answers
        return {**answers, contract.PROBABILITY: tf.where(is_positive, score, rest)}

    def _of_classes(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """What is answered where classes are several.

        A row is of the class whose probability times its weight is largest, which makes the cost of errors least (Elkan,
        equation 1).
        """
        probabilities = tf.nn.softmax(outputs)
        weighed = probabilities
        if self.class_weights:
            weighed = tf.nn.softmax(outputs + tf.math.log(tf.constant(self.class_weights, outputs.dtype)))
        chosen = tf.argmax(weighed, axis=1)
        # Columns, as the other outputs: BulkInferrer fails on strings of shape [N].
        answers = {
            contract.PROBABILITIES: probabilities,
            contract.LABELS: tf.gather(class_values(self.encoding), chosen)[:, tf.newaxis],
        }
        if not self.class_weights:
            return answers
        of_chosen = tf.gather(probabilities, chosen, batch_dims=1)[:, tf.newaxis]
        return {**answers, contract.PROBABILITY: of_chosen, contract.WEIGHED: weighed}


def class_values(encoding: LabelEncoding) -> tf.Tensor:
    """The label's values by class index: [classes], string or int64."""
    return tf.constant(encoding.classes, _dtype(encoding))


def _dtype(encoding: LabelEncoding) -> tf.DType:
    return tf.string if isinstance(encoding.classes[0], str) else tf.int64


def _default_threshold(calibration: Calibration | None, class_weights: npt.NDArray[np.float64] | None) -> Threshold:
    """0.5, or what class weights make of it once the probabilities are those of the data's shares.

    Weights of classes are costs: rows are positive above w0 / (w0 + w1), theorem 1 of Elkan (The foundations of cost-sensitive
    learning, 2001).
    """
    if calibration is None or class_weights is None:
        return Threshold()
    negative, positive = class_weights
    return Threshold(float(np.float32(negative / (negative + positive))), "as training.class_weights says")
