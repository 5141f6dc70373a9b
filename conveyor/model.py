"""A pushed model in this process: predictions without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.contracts.model import free_name
from pipeline.contracts.model_description import ModelDescription
from serving.client import Address, Client, ModelSchema, Prediction
from serving.errors import ServingError

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.config import PipelineConfig
    from serving.client.grpc import Call
    from serving.client.retry import Deadline
    from serving.modelserver.inference.servable import Servable


class Model:
    """A pushed model in this process. It is asked as a model server is asked, so that it answers the same.

    Args:
      config: the configuration of the pipeline that made it.
      folder: the SavedModel.
      version: the version's number.

    Attributes:
      name: the model's name.
      version: the version's number.

    Raises:
      ServingError: it cannot be loaded.
    """

    def __init__(self, config: PipelineConfig, folder: Path, version: int) -> None:
        self.name, self.version = config.name, version
        self._config = config
        self._description = ModelDescription.of(folder)
        address = Address("grpc", "this process", config.name, version)
        self._client = Client(address, transport=_InProcess(_servable(config.name, version, folder)))

    @property
    def schema(self) -> ModelSchema:
        """The features that the model takes, and its outputs."""
        return self._client.schema()

    @property
    def classes(self) -> list[str | int]:
        """The labels of a classifier, in the order of its probabilities; empty for regression."""
        return list(self._description.classes)

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Predictions for rows.

        Args:
          rows: a column for each feature; one that is absent is missing in every row. The label and what the configuration
            ignores may be among them, and columns without any value.

        Returns:
          A frame with the index of `rows`. Classification: `prediction`, `probability` (of the predicted class), `score`
          (binary: the probability of the positive class) and `probabilities` (a dict by class). Regression: `prediction`.
          Both: `model_version`.

        Raises:
          FeatureError: a row does not suit the model's features; `where` names row and feature.
        """
        import pandas as pd

        answers = self._ask(rows)
        columns: dict[str, list[Any]] = {
            "prediction": [one.label if one.value is None else one.value for one in answers],
        }
        if answers and answers[0].probabilities:
            columns["probability"] = [one.probability for one in answers]
            if answers[0].score is not None:
                columns["score"] = [one.score for one in answers]
            columns["probabilities"] = [dict(zip(self.classes, one.probabilities, strict=True)) for one in answers]
        columns["model_version"] = [one.version for one in answers]
        return pd.DataFrame(columns, index=rows.index)

    def explain(self, rows: pd.DataFrame) -> pd.DataFrame:
        """What each feature adds to the predictions for rows; each row costs hundreds of predictions.

        Args:
          rows: as `predict` takes them.

        Returns:
          A frame with the index of `rows`: the `average` prediction, and the contribution of each feature under its name. A row
          of it adds up to what is explained: of two classes the `score`, of several the `probability`, for regression the
          `prediction`.

        Raises:
          NotExplainableError: the model was trained with `training.explainable: false`.
          FeatureError: a row does not suit the model's features; `where` names row and feature.
        """
        import pandas as pd

        features = self.schema.features
        explained = [one.explanation for one in self._ask(rows, explain=True) if one.explanation]
        added = [{each.feature: each.contribution for each in one.contributions} for one in explained]
        columns = {free_name("average", features): [one.average for one in explained]}
        columns |= {name: [each[name] for each in added] for name in features}
        return pd.DataFrame(columns, index=rows.index)

    def _ask(self, rows: pd.DataFrame, *, explain: bool = False) -> list[Prediction]:
        ignored = {name for name, feature in self._config.features.items() if feature.kind == "ignore"}
        # A column that had no value in training either is not a feature.
        empty = rows.columns[rows.isna().all()]
        unneeded = {self._config.label, *ignored, *empty} - set(self.schema.features)
        frame = rows.drop(columns=[name for name in rows.columns if name in unneeded])
        records: list[Any] = frame.astype(object).where(frame.notna(), None).to_dict("records")
        # Of rows without a column pandas makes no records.
        records = records or [{} for _ in range(len(frame))]
        return self._client.predict(records, timeout=float("inf"), explain=explain)

    def __repr__(self) -> str:
        return f"Model({self.name!r}, version {self.version})"


class _InProcess:
    """Takes the calls of the client to a version in this process."""

    def __init__(self, servable: Servable) -> None:
        self._servable = servable

    def send(self, call: Call, deadline: Deadline) -> Any:
        from serving.modelserver.inference.predict import model_metadata, predict
        from serving.modelserver.status import StatusError

        answer = {"GetModelMetadata": model_metadata, "Predict": predict}[call.method]
        try:
            return answer(self._servable, call.request)
        except StatusError as error:
            raise ServingError("The model could not answer.", seen=str(error)) from error

    def close(self) -> None:
        self._servable.close()


def _servable(name: str, version: int, folder: Path) -> Servable:
    from serving.modelserver.inference.servable import Servable, SessionOptions
    from serving.modelserver.status import StatusError

    try:
        return Servable(name, version, folder, SessionOptions())
    except StatusError as error:
        raise ServingError(
            f"Version {version} of {name} cannot be loaded.",
            where=str(folder),
            seen=str(error),
            fix="Choose another version: pipeline.model(version=…)",
        ) from error
