"""The example that the benchmarks use: its configuration, its newest model and the files of its spans."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import PipelineConfig
from pipeline.errors import UsageError
from pipeline.util.checkout import ROOT

CONFIG = ROOT / "examples" / "flights" / "pipeline.yaml"


def newest_version(config: PipelineConfig) -> Path:
    """The folder of the model that was pushed last.

    Raises:
      UsageError: no model has been pushed.
    """
    versions = [path for path in config.serving_path.glob("*") if path.name.isdigit()]
    if not versions:
        raise UsageError("No model has been pushed.", where=str(config.serving_path), fix="Run 'make run'.")
    return max(versions, key=lambda path: int(path.name))


def newest_artifact(folder: Path) -> Path:
    """The newest artifact of an output; manifests lie beside the artifacts."""
    return max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: int(path.name))


def span_files(config: PipelineConfig) -> list[Path]:
    """The files that match `data.input`, the oldest span first."""
    pattern = Path(config.resolve(config.data.input))
    root = Path(*pattern.parts[: next((i for i, part in enumerate(pattern.parts) if "{" in part), -1)])
    return sorted(root.glob(str(pattern.relative_to(root)).replace("{SPAN}", "*")))
