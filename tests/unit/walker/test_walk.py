# kfp reads the annotations of component functions as objects, so no postponed evaluation here.
import itertools
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl, kubernetes

from tests.unit.walker.packages import compiled, fail, say, sh, tell
from tests.walker import Package, PackageError, Run, State, walk

FAILED, OMITTED, SUCCEEDED = State.FAILED, State.OMITTED, State.SUCCEEDED


@dsl.container_component
def describe(executor_input_of: str, run: str, span: int = 3) -> dsl.ContainerSpec:
    return sh('echo "$1"', "{{$}}")


@dsl.container_component
def count(number: int, total: dsl.OutputPath(int), page: dsl.Output[dsl.HTML]) -> dsl.ContainerSpec:
    return sh('test ! -e "$3" && echo $(($1 + 1)) > "$2" && echo "<p>$1</p>" > "$3"', number, total, page.path)


@dsl.container_component
def read(total: int, page: dsl.Input[dsl.HTML], note: str = "none") -> dsl.ContainerSpec:
    return sh('echo "$@"; cat "$2"', total, page.path, dsl.IfPresentPlaceholder("note", ["--note", note], ["--silent"]))


@dsl.container_component
def write_outputs(text: str, scores: dsl.Output[dsl.Metrics]) -> dsl.ContainerSpec:
    return sh('printf "%s" "$1" > "$(dirname "$2")/output_metadata.json"', text, scores.path)


def run(pipeline: Any, folder: Path, **options: Any) -> Run:
    return walk(Package.parse(compiled(pipeline)), folder, **options)


def test_data_go_from_task_to_task_in_order(tmp_path: Path) -> None:
    def pipeline(start: int = 4) -> None:
        counted = count(number=start)
        read(total=counted.outputs["total"], page=counted.outputs["page"])

    ended = run(pipeline, tmp_path)
    assert ended.state is SUCCEEDED, ended.describe()
    assert list(ended.tasks) == ["count", "read"]
    assert ended.tasks["count"].parameters == {"total": 5}
    page = ended.tasks["count"].artifacts["page"]
    assert (page.type, page.uri.startswith("minio://mlpipeline/"), page.file and page.file.read_text()) == (
        *("system.HTML", True),
        "<p>4</p>\n",
    )
    words, content = ended.tasks["read"].log.splitlines()
    assert (words.split()[0], words.split()[2:], content) == ("5", ["--silent"], "<p>4</p>")


def test_parameters_of_a_run_replace_the_defaults(tmp_path: Path) -> None:
    def pipeline(word: str = "default", number: int = 1) -> None:
        say(word=word)

    package = Package.parse(compiled(pipeline))
    assert walk(package, tmp_path).tasks["say"].log == "default\n"
    assert walk(package, tmp_path, parameters={"word": "given"}).tasks["say"].log == "given\n"
    with pytest.raises(PackageError, match="words"):
        walk(package, tmp_path, parameters={"words": "given"})
    with pytest.raises(PackageError, match="NUMBER_INTEGER"):
        walk(package, tmp_path, parameters={"number": "1"})


def test_a_placeholder_holds_as_a_whole_input_and_not_within_an_argument(tmp_path: Path) -> None:
    @dsl.container_component
    def show(run: str) -> dsl.ContainerSpec:
        return sh('echo "$1"; echo "$2"', run, "run={{$.pipeline_job_uuid}}")

    def pipeline() -> None:
        show(run=dsl.PIPELINE_JOB_ID_PLACEHOLDER)

    ended = run(pipeline, tmp_path)
    assert ended.tasks["show"].log.splitlines() == [ended.id, "run={{$.pipeline_job_uuid}}"]


def test_a_task_is_told_of_its_inputs_and_outputs(tmp_path: Path) -> None:
    def pipeline() -> None:
        describe(executor_input_of="me", run=dsl.PIPELINE_JOB_ID_PLACEHOLDER)

    ended = run(pipeline, tmp_path)
    told = json.loads(ended.tasks["describe"].log)
    # The default of the component is the launcher's to add; what is empty is not there.
    assert told["inputs"] == {"parameterValues": {"executor_input_of": "me", "run": ended.id, "span": 3}}
    assert set(told["outputs"]) == {"artifacts", "outputFile"}
    assert list(told["outputs"]["artifacts"]) == ["executor-logs"]


def test_the_driver_does_not_know_the_defaults_of_a_component(tmp_path: Path) -> None:
    @dsl.container_component
    def show(word: str = "default") -> dsl.ContainerSpec:
        return sh('echo "$1"', word)

    def pipeline() -> None:
        show()

    ended = run(pipeline, tmp_path)
    assert (ended.state, ended.tasks["show"].state, ended.tasks["show"].attempts) == (FAILED, FAILED, ())
    assert "'word' not found" in ended.tasks["show"].problem


def test_what_waits_for_a_failed_task_never_starts(tmp_path: Path) -> None:
    def pipeline() -> None:
        failed = fail(word="broken")
        say(word="after").after(failed)

    ended = run(pipeline, tmp_path)
    assert (ended.state, ended.states()) == (FAILED, {"fail": FAILED, "say": OMITTED})
    assert ended.tasks["fail"].exit_code == 7
    assert "broken" in ended.describe()


def test_after_a_failure_what_is_at_work_ends_and_nothing_new_starts(tmp_path: Path) -> None:
    @dsl.container_component
    def last(folder: str) -> dsl.ContainerSpec:
        return sh('while [ ! -e "$1/failed" ]; do sleep 0.02; done; sleep 0.3', folder)

    @dsl.container_component
    def leave_and_fail(folder: str) -> dsl.ContainerSpec:
        return sh('touch "$1/failed"; exit 1', folder)

    def pipeline(folder: str) -> None:
        leave_and_fail(folder=folder)
        say(word="after").after(last(folder=folder))

    ended = run(pipeline, tmp_path, parameters={"folder": str(tmp_path)})
    assert ended.states() == {"leave-and-fail": FAILED, "last": SUCCEEDED, "say": OMITTED}


def test_only_the_log_of_a_failed_task_is_kept(tmp_path: Path) -> None:
    @dsl.container_component
    def write_and_fail(page: dsl.Output[dsl.HTML]) -> dsl.ContainerSpec:
        return sh('echo "<p>" > "$1"; echo it broke; exit 1', page.path)

    def pipeline() -> None:
        write_and_fail()

    task = run(pipeline, tmp_path).tasks["write-and-fail"]
    assert list(task.artifacts) == ["executor-logs"]
    log = task.artifacts["executor-logs"].file
    assert log is not None
    assert log.read_text() == "it broke\n"


@pytest.mark.parametrize(("work", "state"), [(say, "COMPLETE"), (fail, "FAILED")])
def test_the_exit_task_runs_in_any_case_and_is_told_how_it_went(tmp_path: Path, work: Any, state: str) -> None:
    def pipeline() -> None:
        with dsl.ExitHandler(tell()):
            work(word="a")

    ended = run(pipeline, tmp_path)
    assert ended.state is (SUCCEEDED if state == "COMPLETE" else FAILED)
    assert ended.tasks["tell"].state is SUCCEEDED
    told = json.loads(ended.tasks["tell"].log)
    assert (told["state"], told["pipelineTaskName"], told["error"]) == (state, "exit-handler-1", {})


def test_a_failing_exit_task_fails_the_run(tmp_path: Path) -> None:
    def pipeline() -> None:
        with dsl.ExitHandler(fail(word="at exit")):
            say(word="a")

    ended = run(pipeline, tmp_path)
    assert (ended.state, ended.states()) == (FAILED, {"say": SUCCEEDED, "fail": FAILED})


@dsl.container_component
def succeed_at(attempt: int) -> dsl.ContainerSpec:
    return sh('echo x >> /"$CLAIM"/tries; echo "try $KFP_POD_NAME"; [ $(wc -l < /"$CLAIM"/tries) -ge "$1" ]', attempt)


@pytest.mark.parametrize(
    ("needed", "limit", "state", "waits"),
    [
        pytest.param(3, "600s", SUCCEEDED, [30, 60], id="third time"),
        pytest.param(9, "600s", FAILED, [30, 60], id="no attempts left"),
        pytest.param(3, "60s", FAILED, [30], id="no time left"),
    ],
)
def test_a_failed_task_is_tried_again(tmp_path: Path, needed: int, limit: str, state: State, waits: list[float]) -> None:
    def pipeline() -> None:
        task = succeed_at(attempt=needed).set_retry(2, "30s", 2.0, limit)
        task.set_env_variable("CLAIM", str(tmp_path).lstrip("/"))

    waited: list[float] = []
    task = run(pipeline, tmp_path, sleep=waited.append).tasks["succeed-at"]
    assert (task.state, waited) == (state, waits)
    assert [attempt.exit_code for attempt in task.attempts] == [1] * len(waits) + [0 if state is SUCCEEDED else 1]
    assert len({attempt.log for attempt in task.attempts}) == len(task.attempts)
    assert task.artifacts["executor-logs"].uri.endswith(f"-{len(waits)}")


def test_independent_tasks_run_side_by_side(tmp_path: Path) -> None:
    @dsl.container_component
    def meet(folder: str, name: str) -> dsl.ContainerSpec:
        return sh('touch "$1/$2"; while [ $(ls "$1" | wc -l) -lt 2 ]; do sleep 0.02; done', folder, name)

    def pipeline(folder: str) -> None:
        meet(folder=folder, name="left")
        meet(folder=folder, name="right")

    (tmp_path / "meeting").mkdir()
    assert run(pipeline, tmp_path / "run", parameters={"folder": str(tmp_path / "meeting")}).state is SUCCEEDED


def test_no_more_pods_than_there_is_room_for(tmp_path: Path) -> None:
    def pipeline() -> None:
        for word in ("a", "b", "c"):
            say(word=word)

    attempts = [task.attempts[0] for task in run(pipeline, tmp_path, parallelism=1).tasks.values()]
    attempts.sort(key=lambda attempt: attempt.started)
    assert all(first.ended <= second.started for first, second in itertools.pairwise(attempts))


@dsl.container_component
def look(path: str) -> dsl.ContainerSpec:
    return sh('echo "$SECRET $PLAIN ${HIDDEN-unset}"; cat "$1"', path)


def test_secrets_and_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pipeline() -> None:
        task = look(path=str(volume / "file")).set_env_variable("PLAIN", "plain")
        kubernetes.use_secret_as_env(task, "vault", {"key": "SECRET"})
        kubernetes.mount_pvc(task, "data", str(volume))

    monkeypatch.setenv("HIDDEN", "of the test")
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_text("content")
    ended = run(pipeline, tmp_path, secrets={"vault": {"key": "value"}}, volumes={"data": volume})
    assert ended.tasks["look"].log == "value plain unset\ncontent"
    without_secret = run(pipeline, tmp_path, secrets={"vault": {}}, volumes={"data": volume})
    assert "no key 'key' in a Secret 'vault'" in without_secret.tasks["look"].problem
    without_volume = run(pipeline, tmp_path, secrets={"vault": {"key": "value"}})
    assert "no PersistentVolumeClaim 'data'" in without_volume.tasks["look"].problem
    with pytest.raises(ValueError, match="cannot see"):
        run(pipeline, tmp_path, secrets={"vault": {"key": "value"}}, volumes={"data": tmp_path})


def described(metadata: str) -> str:
    return f'{{"artifacts": {{"scores": {{"artifacts": [{{"metadata": {metadata}}}]}}}}}}'


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        pytest.param(described('{"auc": 0.5, "rows": [1, null]}'), {"auc": 0.5, "rows": [1, None]}, id="good"),
        pytest.param(described('{"auc": null}'), None, id="null"),
        pytest.param(described('{"auc": NaN}'), None, id="not a number"),
        pytest.param('{"artefacts": {}}', None, id="unknown field"),
        pytest.param("{", None, id="not JSON"),
    ],
)
def test_what_a_task_writes_about_its_outputs(tmp_path: Path, text: str, metadata: dict[str, Any] | None) -> None:
    def pipeline(text: str) -> None:
        write_outputs(text=text)

    task = run(pipeline, tmp_path, parameters={"text": text}).tasks["write-outputs"]
    assert task.state is (FAILED if metadata is None else SUCCEEDED)
    assert bool(task.problem) == (metadata is None)
    if metadata is not None:
        assert task.artifacts["scores"].metadata == metadata
        assert task.artifacts["scores"].file is None


def test_an_output_parameter_that_is_not_written_fails_its_task(tmp_path: Path) -> None:
    @dsl.container_component
    def forget(total: dsl.OutputPath(int)) -> dsl.ContainerSpec:
        return sh("true", total)

    def pipeline() -> None:
        forget()

    task = run(pipeline, tmp_path).tasks["forget"]
    assert (task.state, "total" in task.problem) == (FAILED, True)


def test_an_argument_longer_than_linux_takes_fails_its_task(tmp_path: Path) -> None:
    def pipeline(word: str) -> None:
        say(word=word)

    task = run(pipeline, tmp_path, parameters={"word": "x" * 2**17}).tasks["say"]
    assert (task.state, "too long" in task.problem) == (FAILED, True)


def test_a_pod_is_ended_at_its_deadline(tmp_path: Path) -> None:
    @dsl.container_component
    def hang() -> dsl.ContainerSpec:
        return sh("echo waiting; exec sleep 60")

    def pipeline() -> None:
        kubernetes.set_timeout(hang(), 1)

    task = run(pipeline, tmp_path).tasks["hang"]
    assert (task.state, task.exit_code, task.log) == (FAILED, 143, "waiting\n")


def test_a_pipeline_within_a_pipeline_has_its_own_defaults(tmp_path: Path) -> None:
    @dsl.pipeline
    def inner(first: str, second: str = "b") -> None:
        say(word=first)
        say(word=second)

    def pipeline() -> None:
        inner(first="a")

    threads = set(threading.enumerate())
    ended = run(pipeline, tmp_path)
    assert {name: task.log for name, task in ended.tasks.items()} == {"say": "a\n", "say-2": "b\n"}
    assert set(threading.enumerate()) <= threads
