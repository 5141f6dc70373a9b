"""Reads the anomalies: where the data breaks the schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_NAME = "SchemaDiff.pb"


@dataclass(frozen=True)
class Anomaly:
    """A way in which a feature of one split breaks the schema; `feature` is empty where it is the whole split."""

    split: str
    feature: str
    summary: str
    description: str
    severe: bool


@dataclass(frozen=True)
class Anomalies:
    """The anomalies in the splits that were validated."""

    splits: tuple[str, ...]
    found: tuple[Anomaly, ...]


def read_anomalies(folder: Path) -> Anomalies:
    """Reads an `ExampleAnomalies` artifact.

    Args:
      folder: the artifact's folder, which has one for each split.

    Raises:
      FileNotFoundError: it has no results.
    """
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    files = sorted(folder.glob(f"Split-*/{FILE_NAME}"), key=lambda path: (path.parent.name != "Split-train", path))
    if not files:
        raise FileNotFoundError(folder / "Split-train" / FILE_NAME)
    found: list[Anomaly] = []
    for path in files:
        split = path.parent.name.removeprefix("Split-")
        message = anomalies_pb2.Anomalies.FromString(path.read_bytes())
        if message.data_missing:
            found.append(Anomaly(split, "", "No rows", "The split is empty.", severe=True))
        if message.HasField("dataset_anomaly_info"):
            found.append(_anomaly(split, "", message.dataset_anomaly_info))
        found += [_anomaly(split, name, info) for name, info in sorted(message.anomaly_info.items())]
    return Anomalies(tuple(path.parent.name.removeprefix("Split-") for path in files), tuple(found))


def _anomaly(split: str, feature: str, info: Any) -> Anomaly:
    return Anomaly(split, feature, info.short_description, info.description, severe=info.severity == info.ERROR)
