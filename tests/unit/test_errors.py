"""Errors: what a person reads, what a shell sees, and how they cross processes."""

from __future__ import annotations

import ast
import builtins
import pickle
import re
from collections.abc import Iterator

import pytest

from pipeline import errors
from pipeline.errors import ConfigError, ConveyorError, DataError
from pipeline.util import checkout, code

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ConveyorError)]


def test_an_error_reads_in_the_order_what_where_expected_seen_fix():
    error = DataError("A row is ragged.", fix="mend it", where="a.csv, line 3", seen="4 columns", expected="5 columns")

    assert str(error).splitlines() == [
        "A row is ragged.",
        "  where     a.csv, line 3",
        "  expected  5 columns",
        "  seen      4 columns",
        "  fix       mend it",
    ]


def test_what_is_not_known_is_left_out():
    assert str(ConveyorError("It stopped.", seen="nothing")).splitlines() == ["It stopped.", "  seen      nothing"]


def test_further_lines_stay_in_their_column():
    assert str(ConveyorError("It stopped.", seen="one\ntwo")).splitlines()[-1] == " " * 12 + "two"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_whole_after_crossing_a_process_boundary(kind):
    error = kind("It stopped.", where="here", expected="this", seen="that", fix="so")

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is kind
    assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("name", "exit_code"),
    [
        ("ConveyorError", 1),
        ("NodeError", 1),
        ("StorageError", 1),
        ("UsageError", 2),
        ("ConfigError", 2),
        ("DataError", 3),
        ("NotBlessedError", 4),
        ("DriftError", 5),
        ("WorseError", 5),
    ],
)
def test_exit_codes(name, exit_code):
    assert getattr(errors, name).exit_code == exit_code


def test_a_configuration_error_is_a_usage_error():
    assert issubclass(ConfigError, errors.UsageError)


def test_every_kind_has_a_headline_of_its_own():
    assert len({kind.headline for kind in KINDS}) == len(KINDS)


def test_the_families_in_the_documentation_are_all_there_is():
    documented, parents = set(), [""]
    for line in str(errors.__doc__).splitlines():
        if match := re.fullmatch(r"( *)(_?[A-Z]\w+(?:Error|Traceback)) +([\w.]+|exit code \d)?|( *)([A-Z]\w+Error)", line):
            indent, name, note = match[1] or match[4] or "", match[2] or match[5], match[3] or ""
            depth = len(indent) // 4
            parents[depth + 1 :] = [name]
            documented.add((name, parents[depth], note if "." in note else "pipeline.errors"))
            if kind := getattr(errors, name, None):
                own = "exit_code" in vars(kind)
                assert note == (f"exit code {kind.exit_code}" if own else ""), name

    assert documented == set(exceptions_of_the_project())


def exceptions_of_the_project() -> Iterator[tuple[str, str, str]]:
    """Name, parent within the project and module of every exception, read without importing TensorFlow."""
    for package in code.PACKAGES:
        for path in (checkout.ROOT / package).rglob("*.py"):
            if path.name.startswith("test_"):
                continue
            module = ".".join(path.relative_to(checkout.ROOT).with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text())):
                bases = [ast.unparse(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
                if bases and bases[0].endswith(("Error", "Exception")):
                    yield node.name, "" if bases[0] in vars(builtins) else bases[0], module.removesuffix(".__init__")
