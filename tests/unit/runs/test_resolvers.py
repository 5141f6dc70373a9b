from __future__ import annotations

from ml_metadata.proto.metadata_store_pb2 import Artifact

from pipeline.runs.resolvers import Choice, latest_blessed_model, latest_hyperparameters


def artifact(number: int, kind: str, **properties: int) -> Artifact:
    made = Artifact(id=number, type=kind)
    for name, value in properties.items():
        made.custom_properties[name].int_value = value
    return made


def blessing(number: int, model: int, blessed: int = 1) -> Artifact:
    return artifact(number, "ModelBlessing", current_model_id=model, blessed=blessed)


def ids(choice: Choice) -> dict[str, int]:
    return {key: chosen.id for key, chosen in choice.items()}


def test_the_newest_model_that_was_blessed_is_chosen() -> None:
    live = [artifact(1, "Model"), blessing(2, 1), artifact(3, "Model"), blessing(4, 3), artifact(5, "Model"), blessing(6, 5, 0)]
    assert ids(latest_blessed_model(live)) == {"model": 3, "model_blessing": 4}


def test_a_model_counts_by_its_age_and_not_by_that_of_its_blessing() -> None:
    live = [artifact(1, "Model"), artifact(2, "Model"), blessing(3, 2), blessing(4, 1)]
    assert ids(latest_blessed_model(live)) == {"model": 2, "model_blessing": 3}


def test_of_several_blessings_the_newest_is_chosen_and_a_later_refusal_does_not_count() -> None:
    live = [artifact(1, "Model"), blessing(2, 1), blessing(3, 1), blessing(4, 1, 0)]
    assert ids(latest_blessed_model(live)) == {"model": 1, "model_blessing": 3}


def test_there_may_be_nothing_to_choose() -> None:
    assert latest_blessed_model([artifact(1, "Model"), artifact(2, "Examples")]) == {}
    assert latest_blessed_model([blessing(2, 1)]) == {}
    assert latest_hyperparameters([artifact(1, "Model")]) == {}


def test_the_newest_hyperparameters_are_chosen() -> None:
    live = [artifact(1, "HyperParameters"), artifact(2, "HyperParameters"), artifact(3, "Model")]
    assert ids(latest_hyperparameters(live)) == {"best_hyperparameters": 2}
