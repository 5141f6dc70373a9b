"""A document whose bits have changed is not what was written, although it may still be JSON."""

from __future__ import annotations

import json

import pytest

from pipeline.util.sealed import FIELD, BrokenSealError, seal, unseal

DOCUMENT = {"stable": 7, "traffic": 10, "note": 'a "quoted" word, {braces}', "steps": [1, 10]}
INDENTS = pytest.mark.parametrize("indent", [None, 2])


@INDENTS
def test_a_sealed_document_is_json_and_gives_back_what_it_holds(indent: int | None) -> None:
    sealed = seal(json.dumps(DOCUMENT, indent=indent))
    assert {name: value for name, value in json.loads(sealed).items() if name != FIELD} == DOCUMENT
    assert json.loads(unseal(sealed.encode())) == DOCUMENT
    assert json.loads(unseal(f"{sealed}\n".encode())) == DOCUMENT
    assert ("\n" in sealed) == (indent is not None)


@INDENTS
def test_every_flipped_bit_is_told_or_changes_nothing(indent: int | None) -> None:
    sealed = seal(json.dumps(DOCUMENT, indent=indent)).encode()
    for position in range(len(sealed)):
        for bit in range(8):
            flipped = bytearray(sealed)
            flipped[position] ^= 1 << bit
            try:
                found = json.loads(unseal(bytes(flipped)))
            except ValueError:
                continue
            # The seal itself may be damaged; what it seals is then whole.
            assert {name: found[name] for name in DOCUMENT} == DOCUMENT


def test_documents_without_a_checksum_are_those_of_earlier_releases() -> None:
    document = json.dumps(DOCUMENT).encode()
    assert unseal(document) == document


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(BrokenSealError, match=r"the checksum of the content is [0-9a-f]{8}, not [0-9a-f]{8}"):
        unseal(seal('{"traffic": 10}').replace("10", "90").encode())
