"""What sampled stacks tell: whose they are, and of what kind of work. Frames as py-spy names them, on Python 3.10 and later."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks.flames import bars, flame_graph
from benchmarks.profiling import REST, side_by_side
from benchmarks.stacks import (
    BEAM,
    CATEGORIES,
    FIGURES,
    GRAPHS,
    IMPORTS,
    OTHER,
    ROWS,
    RULES,
    RUNNING,
    Stack,
    by_node,
    seconds_by_category,
    total,
)

FORK_SERVER = 'process 2:"python -c from multiprocessing.forkserver import main; main(8)"'
LAUNCHER = "Launcher.launch (portable/launcher.py)"
STATISTICS = "Executor.Do (components/statistics_gen/executor.py)"
TRAINER = "GenericExecutor.Do (tfx/components/trainer/executor.py)"
BEAM_FRAME = "SdkWorker.process_bundle (apache_beam/runners/worker/sdk_worker.py)"
METRIC = "add_input (tensorflow_model_analysis/metrics/example_count.py)"
OPERATION = "_create_c_op (tensorflow/python/framework/ops.py)"
EXECUTE = "quick_execute (tensorflow/python/eager/execute.py)"
READER = "_Table.scan (components/example_gen/executor.py)"
IMPORT = "_find_and_load (<frozen importlib._bootstrap>)"
WAIT = "Condition.wait (threading.py)"


def line(pid: int, *frames: str, samples: int = 50, thread: int | None = None) -> str:
    process = FORK_SERVER if pid == 2 else f'{FORK_SERVER};process {pid}:"python -c import main; main(8)"'
    return ";".join([process, f"thread ({thread or pid}): a thread", *frames]) + f" {samples}\n"


@pytest.mark.parametrize(
    ("frames", "category"),
    [
        pytest.param([BEAM_FRAME, METRIC, "_wrapreduction (numpy/_core/fromnumeric.py)"], FIGURES, id="a library below Beam"),
        pytest.param([METRIC, BEAM_FRAME, "dumps (pickle.py)"], BEAM, id="Beam below a library"),
        pytest.param([BEAM_FRAME, "read (apache_beam/io/filesystem.py)"], ROWS, id="Beam's reading"),
        pytest.param([READER, WAIT], ROWS, id="waiting for its own threads"),
        pytest.param(["_int_handler (tfx/components/example_gen/csv_example_gen/executor.py)"], ROWS, id="TFX's rows"),
        pytest.param([EXECUTE, "fit (keras/src/trainers/trainer.py)", OPERATION], GRAPHS, id="tracing"),
        pytest.param(["fit (keras/src/trainers/trainer.py)", EXECUTE], RUNNING, id="running"),
        pytest.param(
            ["next (tensorflow/python/data/ops/iterator_ops.py)", "get (tensorflow/python/ops/gen_dataset_ops.py)"], RUNNING
        ),
        pytest.param([IMPORT, "<module> (tensorflow/__init__.py)", OPERATION], IMPORTS, id="importing TensorFlow"),
        pytest.param([LAUNCHER], OTHER, id="nothing known"),
        pytest.param([], OTHER, id="no frame at all"),
    ],
)
def test_the_innermost_frame_that_a_rule_knows_decides(frames: list[str], category: str) -> None:
    assert Stack(tuple(frames), 1).category == category


def test_every_rule_names_a_category() -> None:
    assert {category for _, category in RULES} <= set(CATEGORIES)


def test_samples_become_seconds_and_only_main_threads_count() -> None:
    nodes = by_node([line(7, STATISTICS, METRIC, samples=25), line(7, STATISTICS, EXECUTE, thread=8)], rate=50)
    assert nodes == {"StatisticsGen": [Stack((STATISTICS, METRIC), 0.5)]}


def test_a_process_with_one_node_is_that_nodes_altogether() -> None:
    nodes = by_node([line(7, LAUNCHER), line(7, LAUNCHER, TRAINER, OPERATION), line(7)], rate=50)
    assert nodes.keys() == {"Trainer"}
    assert total(nodes["Trainer"]) == 3
    # Both sides' graphs begin where the executor does.
    assert Stack((TRAINER, OPERATION), 1) in nodes["Trainer"]


def test_in_a_process_with_several_nodes_what_is_in_no_executor_is_nobodys() -> None:
    nodes = by_node([line(7, LAUNCHER, WAIT), line(7, LAUNCHER, TRAINER), line(7, "Do (components/evaluator/executor.py)")], 50)
    assert {name: total(stacks) for name, stacks in nodes.items()} == {"Trainer": 1, "Evaluator": 1, "": 1}


def test_a_process_without_a_node_does_not_count_while_it_waits() -> None:
    waits = ["_PollLikeSelector.select (selectors.py)", "read_signed (multiprocessing/forkserver.py)", WAIT]
    nodes = by_node([line(2, IMPORT), *(line(2, "main (multiprocessing/forkserver.py)", wait) for wait in waits)], rate=50)
    assert nodes == {"": [Stack((IMPORT,), 1)]}


def test_short_nodes_are_with_the_rest() -> None:
    stock = {"Pusher": [Stack((), 0.1)], "Trainer": [Stack((), 3)], "Evaluator": [Stack((), 9)], "": [Stack((), 2)]}
    ours = {"Trainer": [Stack((), 4)], "Evaluator": [Stack((), 0.5)]}
    rows = side_by_side({"stock": stock, "ours": ours})
    assert list(rows) == ["Evaluator", "Trainer", REST]
    assert {side: total(stacks) for side, stacks in rows["Evaluator"].items()} == {"stock": 9, "ours": 0.5}
    assert {side: total(stacks) for side, stacks in rows[REST].items()} == {"stock": 2.1, "ours": 0}


def test_the_categories_add_up() -> None:
    seconds = seconds_by_category([Stack((METRIC,), 2), Stack((METRIC, WAIT), 1), Stack((IMPORT,), 0.5)])
    assert list(seconds) == list(CATEGORIES)
    assert {category: value for category, value in seconds.items() if value} == {FIGURES: 3, IMPORTS: 0.5}


def test_a_flame_graph_is_as_wide_as_its_time() -> None:
    stacks = [Stack((STATISTICS, METRIC), 3), Stack((STATISTICS, "<lambda> (a.py)"), 0.99), Stack((STATISTICS,), 0.01)]
    picture = ElementTree.fromstring(flame_graph("StatisticsGen", stacks))
    widths = {group[0].text: float(group[1].attrib["width"]) for group in picture.iter("{http://www.w3.org/2000/svg}g")}
    assert widths == {
        "StatisticsGen: 4.00 s": 1200,
        f"{STATISTICS}: 4.00 s": 1200,
        f"{METRIC}: 3.00 s": 900,
        "<lambda> (a.py): 0.99 s": 297,
    }


def test_bars_tell_the_seconds_of_both_sides() -> None:
    page = bars({"Trainer": {"stock": [Stack((OPERATION,), 4)], "ours": [Stack((OPERATION,), 2), Stack((), 1)]}})
    assert "<span>4.0 s</span>" in page
    assert "<span>3.0 s</span>" in page
    assert f'title="{OTHER}: 1.0 s" style="width: 23.0%' in page
