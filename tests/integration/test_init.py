"""What `conveyor init` writes for a table is run and served as it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

import conveyor
from tests.integration.conftest import CONVEYOR, ENVIRONMENT

ROWS = 400


def customers() -> pd.DataFrame:
    random = np.random.default_rng(0)
    visits = random.integers(0, 40, ROWS)
    return pd.DataFrame(
        {
            "customerID": [f"c-{number}" for number in random.permutation(ROWS)],
            "prénom: 名前": random.choice(["Zoë", "Ana", "Bo"], ROWS),
            "zip_code": random.choice([10115, 80331, 1067], ROWS),
            "visits": visits,
            "visits again": visits,
            "spent, €": np.where(random.random(ROWS) < 0.1, np.nan, random.gamma(2.0, 30.0, ROWS)),
            "since": pd.to_datetime("2015-01-01") + pd.to_timedelta(random.integers(0, 3000, ROWS), "D"),
            "tags": [list(random.choice(["a", "b", "c"], random.integers(0, 4), replace=False)) for _ in range(ROWS)],
            "note": [f"called {random.choice(['once', 'twice'])} about offer {number}" for number in range(ROWS)],
            "country": "DE",
            "nothing": None,
            "class": np.where(visits + random.normal(0, 8, ROWS) > 20, "loyal", "lost"),
        }
    )


def command(folder: Path, *arguments: str) -> str:
    done = subprocess.run([CONVEYOR, *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_table_with_columns_of_every_kind_becomes_a_model_that_answers(tmp_path, monkeypatch):
    table = customers()
    table.to_parquet(tmp_path / "customers.parquet")
    command(tmp_path, "init", "customers.parquet", "--label", "class", "--set", "training.epochs=2")
    printed = command(tmp_path, "run", "--set", "infra_validator.requests=5")
    assert "Blessed and pushed as version 1" in printed
    assert "divided by a hash of each row, 20 % of each value of class to evaluate on" in printed
    assert "Few rows: by chance alone, a model that knows nothing has an auc between" in printed

    monkeypatch.chdir(tmp_path)
    pipeline = conveyor.load("pipeline.yaml")
    example = pd.DataFrame([pipeline.config.gateway.example])
    model = pipeline.model()

    assert set(model.schema.features) == set(example.columns)
    assert model.classes == ["lost", "loyal"]
    assert model.predict(example)["prediction"].isin(model.classes).all()
    assert model.predict(table.drop(columns=["class"]).head(3))["prediction"].isin(model.classes).all()
