"""What the components are given is what the configuration says."""

from __future__ import annotations

import pytest

from components.example_gen import properties
from pipeline import nodes
from pipeline.config import Task
from pipeline.config.loading import load_config
from pipeline.graph import create_pipeline
from pipeline.util import checkout

FLIGHTS = checkout.ROOT / "examples" / "flights" / "pipeline.yaml"


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("split", ["{method: window}", "{method: hash}", "{method: time, by: day}", "{method: group, by: day}"])
def test_example_gen_reads_the_split_that_is_configured_for_every_task(task, split):
    config = load_config(
        FLIGHTS, ["workspace=/conveyor", f"task={task.value}", f"data.split={split}", "evaluation.thresholds={}"]
    )
    (example_gen,) = (node for node in create_pipeline(config).components if node.id == nodes.EXAMPLE_GEN.id)

    read = properties.split_from_json(example_gen.exec_properties[properties.SPLIT])

    assert (read.method, read.columns) == (config.data.split.method, config.data.split.columns)
    assert not (task is Task.REGRESSION and read.stratify)
