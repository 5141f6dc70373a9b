"""The file MLmodel, by which MLflow knows what a model takes and gives, and how to load it.

Source: https://mlflow.org/docs/latest/ml/model/, and for a SavedModel `mlflow/tensorflow/__init__.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.contracts.model import COLUMNS_SIGNATURE

FILE_NAME, SAVED_MODEL = "MLmodel", "saved_model"

_TYPES = {"int": "long", "float": "float", "string": "string"}


def mlmodel(columns: Mapping[str, str], run: str) -> str:
    """The content of the file.

    Args:
      columns: the raw columns that the model takes, with their types; empty where it does not say.
      run: MLflow's id of the run that made it.
    """
    document: dict[str, Any] = {
        "run_id": run,
        "flavors": {
            "tensorflow": {
                # Of the kinds that MLflow loads, the one that is called by a signature of the SavedModel.
                "model_type": "tf1-estimator",
                "saved_model_dir": SAVED_MODEL,
                "meta_graph_tags": ["serve"],
                "signature_def_key": COLUMNS_SIGNATURE,
            },
        },
    }
    if columns and _TYPES.keys() >= set(columns.values()):
        inputs = [{"name": name, "type": _TYPES[kind], "required": True} for name, kind in columns.items()]
        document["signature"] = {"inputs": json.dumps(inputs)}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
