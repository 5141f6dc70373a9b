"""What is written to a database is what is read from it."""

from __future__ import annotations

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.runs import database


@pytest.mark.parametrize(
    "text",
    [
        '{"path": "C:\\\\data", "quoted": "\\"yes\\""}',
        "it's 100% 'quoted' \"twice\" `thrice`",
        "two\nlines; -- no comment",
        "Zürich 東京 🛫",
        "\\",
    ],
    ids=["JSON", "quotes", "lines", "other scripts", "a backslash alone"],
)
def test_texts_with_any_sign(url: str, text: str) -> None:
    store = database.connect(database.parse(url))
    context_type = store.put_context_type(mlmd.ContextType(name="pipeline"))
    artifact_type = store.put_artifact_type(mlmd.ArtifactType(name="Model"))
    artifact = mlmd.Artifact(type_id=artifact_type, uri=f"/models/{text}", name=text)
    artifact.custom_properties["text"].string_value = text
    artifact.custom_properties["nested"].struct_value.update({text: [text, {"number": 1.0}]})
    (context,) = store.put_contexts([mlmd.Context(type_id=context_type, name=text)])
    (number,) = store.put_artifacts([artifact])
    store.put_attributions_and_associations([mlmd.Attribution(artifact_id=number, context_id=context)], [])

    (read,) = store.get_artifacts_by_context(context)
    assert (read.uri, read.name, read.custom_properties["text"].string_value) == (artifact.uri, text, text)
    assert read.custom_properties["nested"] == artifact.custom_properties["nested"]
    assert [found.id for found in store.get_artifacts_by_uri(artifact.uri)] == [number]
    assert store.get_context_by_type_and_name("pipeline", text).id == context
