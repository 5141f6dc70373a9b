"""Manifests: every change of a stored file is told, and named."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.util.manifests import Flaw, Manifest, path_of

NAMES = ("Split-train/data-00000-of-00001.gz", "spans.json", "Format-Serving/variables/variables.index")


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "7"
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(range(100 + number)))
    return folder


def loaded(artifact: Path, checksum: str | None = None) -> Manifest:
    manifest = Manifest.load(artifact, checksum)
    assert isinstance(manifest, Manifest)
    return manifest


def test_it_has_every_file_and_comes_back_as_it_was(artifact: Path) -> None:
    manifest = Manifest.of(artifact)
    checksum = manifest.save(artifact)

    assert loaded(artifact, checksum) == manifest
    assert sorted(manifest.files) == sorted(NAMES)
    assert manifest.size == 303
    assert not list(manifest.flaws(artifact))
    assert path_of(artifact).parent == artifact.parent


def test_the_checksum_is_crc_32c(tmp_path: Path) -> None:
    """The check value of https://reveng.sourceforge.io/crc-catalogue/all.htm#crc.cat.crc-32-iscsi."""
    (tmp_path / "digits").write_bytes(b"123456789")
    assert Manifest.of(tmp_path / "digits").files == {".": (9, "e3069283")}


def test_a_file_of_several_chunks_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "1" / "large"
    path.parent.mkdir()
    path.write_bytes(bytes(5 << 20))
    manifest = Manifest.of(path.parent)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")
    assert [flaw.path for flaw in manifest.flaws(path.parent)] == [path]


@settings(max_examples=100)
@given(name=st.sampled_from(NAMES), position=st.integers(0, 99), bit=st.integers(0, 7))
def test_every_flipped_bit_is_told(artifact: Path, name: str, position: int, bit: int) -> None:
    manifest = Manifest.of(artifact)
    content = bytearray((artifact / name).read_bytes())
    content[position] ^= 1 << bit
    before = (artifact / name).read_bytes()
    (artifact / name).write_bytes(content)
    try:
        (flaw,) = manifest.flaws(artifact)
        assert (flaw.path, flaw.is_damage) == (artifact / name, True)
    finally:
        (artifact / name).write_bytes(before)


@settings(max_examples=100)
@given(data=st.data())
def test_a_flipped_bit_in_the_manifest_is_never_taken_for_the_truth(artifact: Path, data: st.DataObject) -> None:
    checksum = Manifest.of(artifact).save(artifact)
    content = bytearray(path_of(artifact).read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path_of(artifact).write_bytes(content)

    assert isinstance(Manifest.load(artifact, checksum), Flaw)
    # Without its checksum, as where no metadata store knows it.
    alone = Manifest.load(artifact)
    assert isinstance(alone, Flaw) or list(alone.flaws(artifact)) or alone == Manifest.of(artifact)


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        (lambda path: os.truncate(path, 10), "10 bytes"),
        (lambda path: path.unlink(), "No such file or directory"),
        (lambda path: (path.unlink(), path.mkdir()), "bytes"),
    ],
    ids=["truncated", "gone", "a folder"],
)
def test_what_is_wrong_is_told(artifact: Path, damage: Callable[[Path], object], seen: str) -> None:
    manifest = Manifest.of(artifact)
    damage(artifact / NAMES[1])
    (flaw,) = manifest.flaws(artifact)
    assert flaw.path == artifact / NAMES[1]
    assert seen in flaw.seen
    assert "101 bytes" in flaw.expected


def test_a_file_too_many_is_told(artifact: Path) -> None:
    manifest = Manifest.of(artifact)
    (artifact / "Split-train" / "data-00001-of-00002.gz").touch()
    (flaw,) = manifest.flaws(artifact)
    assert flaw == Flaw(artifact / "Split-train" / "data-00001-of-00002.gz", "no such file", "a file")


def test_of_some_files_others_are_not_looked_at(artifact: Path) -> None:
    manifest = Manifest.of(artifact)
    (artifact / "other").touch()
    (artifact / NAMES[0]).unlink()
    assert not list(manifest.flaws(artifact, only=NAMES[1:]))
    assert [flaw.path.name for flaw in manifest.flaws(artifact, only=["other"])] == ["other"]


def test_a_folder_that_is_gone_may_come_back(artifact: Path, tmp_path: Path) -> None:
    manifest = Manifest.of(artifact)
    manifest.save(artifact)
    artifact.rename(tmp_path / "away")
    assert {flaw.is_damage for flaw in manifest.flaws(artifact)} == {False}
    path_of(artifact).unlink()
    gone = Manifest.load(artifact)
    assert isinstance(gone, Flaw)
    assert not gone.is_damage


def test_a_manifest_that_is_gone_is_damage_where_the_artifact_is_there(artifact: Path) -> None:
    gone = Manifest.load(artifact)
    assert isinstance(gone, Flaw)
    assert gone.is_damage


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"version": 2, "files": {}}', '{"version": 1, "files": {"a": 1}}'])
def test_what_is_no_manifest_is_told(artifact: Path, content: str) -> None:
    path_of(artifact).write_text(content)
    flaw = Manifest.load(artifact)
    assert isinstance(flaw, Flaw)
    assert flaw.path == path_of(artifact)


def test_of_a_sample_small_files_and_a_tenth_of_the_others_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "1"
    folder.mkdir()
    large = [folder / f"large-{number}" for number in range(25)]
    for path in (*large, folder / "small"):
        path.write_bytes(bytes((1 << 20) + 1 if path in large else 1))
    manifest = Manifest.of(folder)
    assert not list(manifest.flaws(folder, "sample"))

    for path in (*large, folder / "small"):
        with path.open("r+b") as file:
            file.write(b"\1")
    found = [flaw.path for flaw in manifest.flaws(folder, "sample")]
    assert len(found) == 4
    assert folder / "small" in found

    os.truncate(large[7], 1)
    assert large[7] in [flaw.path for flaw in manifest.flaws(folder, "sample")]
