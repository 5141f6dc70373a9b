"""Reading a configuration: what is accepted, and what a person is told when it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import PipelineConfig, Task
from pipeline.config.loading import load_config
from pipeline.errors import ConfigError

MINIMAL = """\
name: houses
task: regression
label: price
data:
  input: houses/*.csv
"""


@pytest.fixture
def write(tmp_path):
    def _write(text: str | bytes) -> Path:
        path = tmp_path / "pipeline.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return _write


def refused(path: Path, *overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    assert caught.value.exit_code == 2
    return caught.value


def test_what_is_not_given_has_a_default(write):
    config = load_config(write(MINIMAL))

    assert config.task is Task.REGRESSION
    assert config.training.seed == 42
    assert config.schema_source.path is None


def test_text_that_yaml_reads_as_a_number_is_to_be_quoted(write):
    path = write(MINIMAL + "  csv: {nulls: [-999]}\n")
    error = refused(path)
    assert error.fix == "Text that YAML reads as something else is written in quotes, as it is to be read."

    path.write_text(path.read_text().replace("-999", '"-999"'))
    assert load_config(path).data.csv.nulls == ["-999"]


def test_paths_are_relative_to_the_file(write, tmp_path, monkeypatch):
    monkeypatch.chdir("/")

    config = load_config(write(MINIMAL))

    assert config.resolve(config.data.input) == f"{tmp_path}/houses/*.csv"


def test_paths_are_absolute_even_when_the_file_is_named_relatively(write, tmp_path, monkeypatch):
    write(MINIMAL)
    monkeypatch.chdir(tmp_path)

    config = load_config(Path("pipeline.yaml"))
    monkeypatch.chdir("/")

    assert config.data.input == f"{tmp_path}/houses/*.csv"


def test_paths_may_be_left_as_they_are_written(write):
    config = load_config(write(MINIMAL), as_written=True)

    assert (config.data.input, config.workspace) == ("houses/*.csv", ".conveyor")


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("training.epochs=3", "training", "epochs", 3),
        ("training.learning_rate=1e-4", "training", "learning_rate", 1e-4),
        ("model.hidden_units=[8, 4]", "model", "hidden_units", (8, 4)),
        ("tuner.enabled=true", "tuner", "enabled", True),
        ("data.input=a=b/*.csv", "data", "input", "a=b/*.csv"),
        ("schema.path=null", "schema_source", "path", None),
    ],
)
def test_overrides_are_typed_as_yaml(write, override, section, field, value):
    config = load_config(write(MINIMAL), [override], as_written=True)

    assert getattr(getattr(config, section), field) == value


def test_the_last_of_several_overrides_counts(write):
    config = load_config(write(MINIMAL), ["training.epochs=3", "training.epochs=5"])

    assert config.training.epochs == 5


def test_an_override_can_add_a_column(write):
    config = load_config(write(MINIMAL), ["features.city.kind=categorical"])

    assert config.features["city"].kind == "categorical"


def test_a_file_that_does_not_exist(tmp_path):
    error = refused(tmp_path / "absent.yaml")

    assert error.where == str(tmp_path / "absent.yaml")
    assert error.fix


def test_a_folder_instead_of_a_file(tmp_path):
    assert refused(tmp_path).fix == f"Of a folder of data: conveyor init {tmp_path} --label COLUMN"


def test_of_a_folder_with_configurations_one_is_named(tmp_path, write):
    (tmp_path / "night.yaml").touch()
    path = write(MINIMAL)

    assert refused(tmp_path).fix == f"Name the file in it: {path}"


def test_text_that_is_not_utf8(write):
    error = refused(write(b"name: caf\xe9"))

    assert error.expected == "a text file in UTF-8"


def test_text_that_is_not_yaml_is_shown_with_its_line(write):
    error = refused(write("name: houses\ndata: [1, 2\nlabel: price\n"))

    assert "not YAML" in error.what
    assert "line 3" in error.where


@pytest.mark.parametrize(
    "text", ["name: \x00", "name: 2013-02-31", "name: &a [*a]", "name: *a", "? [a]\n: b", "a: 1\n---\nb: 2"]
)
def test_what_the_parser_stumbles_over_is_not_yaml(write, text):
    assert "not YAML" in refused(write(text)).what


@pytest.mark.parametrize(("text", "seen"), [("", "an empty file"), ("- a\n- b\n", "a list"), ("houses", "a str")])
def test_a_file_that_is_not_a_mapping(write, text, seen):
    assert refused(write(text)).seen == seen


@pytest.mark.parametrize(
    ("text", "field", "line"),
    [(MINIMAL + "label: late\n", "label", 6), (MINIMAL + "training:\n  epochs: 1\n  epochs: 2\n", "training.epochs", 8)],
)
def test_a_field_given_twice_is_not_silently_the_last(write, text, field, line):
    error = refused(write(text))

    assert error.what.startswith(f"{field} is given twice")
    assert error.where.endswith(f"line {line}")


def test_an_unknown_field_gets_a_suggestion_and_the_allowed_ones(write):
    error = refused(write(MINIMAL + "training:\n  batch_size: 4\n  epoch: 3\n"))

    assert error.what == "training.epoch is not a field."
    assert error.where.endswith("pipeline.yaml, line 8")
    assert error.fix == "Did you mean 'epochs'?"
    assert "epochs, batch_size" in error.expected


def test_a_field_in_the_wrong_section_gets_the_right_one(write):
    assert refused(write(MINIMAL + "epochs: 3\n")).fix == "Did you mean 'training.epochs'?"


def test_an_unknown_field_within_a_list_or_column(write):
    error = refused(write(MINIMAL + "features:\n  city:\n    vocabulry: 3\n"))

    assert error.what == "features.city.vocabulry is not a field."
    assert error.fix == "Did you mean 'vocabulary'?"


def test_an_unknown_override_is_located_on_the_command_line(write):
    error = refused(write(MINIMAL), "training.epoch=3")

    assert error.where == "--set training.epoch=3"
    assert error.fix == "Did you mean 'epochs'?"


@pytest.mark.parametrize("override", ["training.epochs", "=3", "training.epochs=[1", ""])
def test_an_override_that_cannot_be_read(write, override):
    assert refused(write(MINIMAL), override).where == f"--set {override}"


@pytest.mark.parametrize("override", ["training..epochs=3", "training.epochs.x=3", "training=3", ".=1", "features=[a]"])
def test_an_override_that_leads_nowhere(write, override):
    assert refused(write(MINIMAL), override).where == f"--set {override}"


def test_a_missing_field_says_what_it_is(write):
    error = refused(write(MINIMAL.replace("label: price\n", "")))

    assert error.what == "label is required, but not given."
    assert error.expected == "The column that the model learns to predict."


@pytest.mark.parametrize(
    ("line", "expected", "seen"),
    [
        ("training: {epochs: many}", "a valid integer, unable to parse string as an integer", "'many'"),
        ("training: {epochs: 0}", "greater than or equal to 1", "0"),
        ("training: {dropout: 1}", "", ""),
        ("model: {build_model: model.py}", "Your own instead of the derived one", "'model.py'"),
        ("model: {hidden_units: [8, x]}", "a valid integer, unable to parse string as an integer", "'x'"),
    ],
)
def test_a_value_of_the_wrong_type_or_size(write, line, expected, seen):
    error = refused(write(f"{MINIMAL}{line}\n"))

    assert error.where.endswith("line 6")
    assert error.expected.startswith(expected)
    assert error.seen == seen


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("schema: {on_anomaly: warning}", "warn"),
        ("data: {input: x.csv, format: parqet}", "parquet"),
        ("features: {city: {kind: numerical}}", "numeric"),
    ],
)
def test_a_misspelt_choice_gets_a_suggestion(write, line, suggestion):
    text = MINIMAL if not line.startswith("data") else MINIMAL.partition("data:")[0]

    assert refused(write(f"{text}{line}\n")).fix == f"Did you mean {suggestion!r}?"


def test_a_short_name_of_a_choice_is_recognised(write):
    assert refused(write(MINIMAL.replace("task: regression", "task: binary"))).fix == "Did you mean 'binary_classification'?"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [("[100]", "less than or equal to 99"), ("[]", "one entry or more"), ("[0, 100]", None)],
)
def test_a_list_is_not_too_short_for_its_wrong_entries(write, steps, expected):
    error = refused(write(f"{MINIMAL}loop: {{steps: {steps}}}\n"))
    assert "too short" not in str(error)
    assert "at least" not in str(error)
    if expected is None:
        assert error.what == "The configuration has 2 problems."
    else:
        assert error.expected == expected


def test_all_problems_are_listed_at_once(write):
    error = refused(write(MINIMAL.replace("houses\n", "Houses!\n", 1) + "training:\n  sed: 3\n  epochs: many\n"))

    assert error.what == "The configuration has 3 problems."
    lines = error.seen.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["line 1", "line 7", "line 8"]
    assert "Did you mean 'seed'?" in lines[1]


def test_what_is_expected_of_a_value_is_said_in_words(write):
    error = refused(
        write(MINIMAL + "kubeflow:\n  volume: My_Volume\n  nodes:\n    Trainer:\n      node_selector: {pool: a b}\n")
    )

    assert "expected the name of an object in Kubernetes: lower-case letters" in error.seen
    assert "expected the value of a label: up to 63 letters" in error.seen


def test_aliases_and_merge_keys_of_yaml_work(write):
    text = "features:\n  a: &big {vocabulary: 5000}\n  b: {<<: *big, oov_buckets: 3}\n"

    config = load_config(write(MINIMAL + text))

    assert config.features["b"].vocabulary == 5000


def test_the_effective_configuration_loads_to_the_same(write):
    config = load_config(write(MINIMAL), ["evaluation.thresholds.mae.max=3", "features.city.kind=ignore"])

    again = load_config(write(yaml.safe_dump(config.effective())))

    assert again == config


@pytest.mark.parametrize("field", ["delimiter", "quote", "comment"])
@pytest.mark.parametrize("mark", ["§", "\n", "\r", "\0", ";;"])
def test_marks_of_csv_are_characters_that_its_readers_take(write, field, mark):
    config = {**yaml.safe_load(MINIMAL), "data": {**yaml.safe_load(MINIMAL)["data"], "csv": {field: mark}}}

    assert f"data.csv.{field}" in str(refused(write(yaml.safe_dump(config))))

    config["data"]["csv"] = {field: "\t"}
    assert getattr(load_config(write(yaml.safe_dump(config))).data.csv, field) == "\t"


def test_names_of_csv_columns_are_some(write):
    assert "data.csv.header" in str(refused(write(MINIMAL), "data.csv.header=[]"))


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_no_text_ends_in_anything_but_a_configuration_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("wild") / "pipeline.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))

    with pytest.raises(ConfigError):
        load_config(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*PipelineConfig.model_json_schema()["properties"], "other"]), values, max_size=5))
def test_wild_values_are_accepted_or_explained(tmp_path_factory, fields):
    path = tmp_path_factory.mktemp("wild") / "pipeline.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(MINIMAL), **fields}, allow_unicode=True), encoding="utf-8")
    try:
        load_config(path)
    except ConfigError as refusal:
        problem = refusal
    else:
        return
    assert problem.where.startswith(str(path))
    assert problem.what.strip()
