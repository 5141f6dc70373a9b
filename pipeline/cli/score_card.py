"""`conveyor score-card`: the ML Test Score of a pipeline, or of Conveyor itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigArgument, Json, Overrides, as_path, find_config, read_config
from pipeline.cli.output import new_table, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.scorecard.card import Card, Evidence
    from pipeline.scorecard.rubric import RubricTest


def score_card(
    config: ConfigArgument = None,
    conveyor: Annotated[
        bool, typer.Option("--conveyor", help="The card of Conveyor: what its own tests prove for every pipeline.")
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Run the tests and commands that are proofs; without it tests count that are there.")
    ] = False,
    proofs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Proofs of your own; score-card.yaml beside the configuration.", parser=as_path),
    ] = None,
    as_json: Json = False,
    overrides: Overrides = None,
) -> None:
    """Compute the ML Test Score: 28 tests of readiness for production, a point for each that is proved.

    Example: conveyor score-card --json
    """
    from pipeline.scorecard.rubric import rubric

    tests = rubric()
    own = _conveyors(tests if conveyor else _proved_by_conveyor(tests), run, required=conveyor)
    card = _card("Conveyor", tests, own) if conveyor else _pipelines(config, overrides, tests, own, proofs, run)
    if as_json:
        print_json(card.document())
    else:
        _print(card)


def _proved_by_conveyor(tests: Sequence[RubricTest]) -> list[RubricTest]:
    from pipeline.scorecard.pipeline_evidence import FROM_CONVEYOR

    return [test for test in tests if test.id in FROM_CONVEYOR]


def _conveyors(tests: Sequence[RubricTest], run: bool, *, required: bool) -> dict[str, Evidence]:
    """What Conveyor's tests prove; nothing where they are not here, as in a wheel."""
    from pipeline.scorecard import own_tests
    from pipeline.util import checkout

    if required:
        checkout.require_file("tests", "conveyor score-card --conveyor")
    if not (checkout.ROOT / "tests").is_dir():
        return {}
    proofs = list(dict.fromkeys(proof for test in tests for proof in test.proofs))
    if run:
        typer.echo(f"Running {len(proofs)} tests of Conveyor, some of them whole pipelines: that takes many minutes.", err=True)
    passed = own_tests.run(proofs, checkout.ROOT) if run else None
    return own_tests.evidence(tests, checkout.ROOT, passed)


def _pipelines(
    config: Path | None,
    overrides: Sequence[str] | None,
    tests: Sequence[RubricTest],
    own: Mapping[str, Evidence],
    proofs: Path | None,
    run: bool,
) -> Card:
    from pipeline.scorecard import named_proofs, pipeline_evidence
    from pipeline.scorecard.facts import Facts

    file = find_config(config).absolute()
    settings = read_config(config, overrides)
    shown = pipeline_evidence.evidence(Facts(settings, file), own)
    beside = file.with_name(named_proofs.FILE_NAME)
    if proofs is not None or beside.is_file():
        named = proofs or beside
        theirs = named_proofs.evidence(named_proofs.read(named, [test.id for test in tests]), named.absolute().parent, run=run)
        for name, evidence in theirs.items():
            if name not in shown or evidence.points >= shown[name].points:
                shown[name] = evidence
    return _card(settings.name, tests, shown)


def _card(name: str, tests: Sequence[RubricTest], evidence: Mapping[str, Evidence]) -> Card:
    from pipeline.scorecard.card import Card

    return Card.of(name, tests, evidence)


def _print(card: Card) -> None:
    from pipeline.scorecard.rubric import Section, meaning

    for section in Section:
        print(f"{section.value}: {card.sums[section]:g} of 7")
        table = new_table("points", "test", "shown by, or what is next", right=("points",))
        for line in card.lines:
            if line.test.section is section:
                shown = line.evidence.shown
                if line.evidence.points < 1:
                    shown = f"{shown}. Next: {line.test.next}" if shown else f"Next: {line.test.next}"
                table.add_row(f"{line.evidence.points:g}", line.test.test, shown)
        print_table(table)
        print()
    sums = ", ".join(f"{total:g} {section.value}" for section, total in card.sums.items())
    print(f"ML Test Score of {card.name}: {card.score:g}, the least of {sums}")
    print(f"  {meaning(card.score)}")
