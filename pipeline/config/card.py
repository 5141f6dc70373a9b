"""What the people behind a model say of it."""

from __future__ import annotations

from pipeline.config.section import Section


class Card(Section):
    """The words of the model card that no run can know."""

    owners: tuple[str, ...] = ()
    """Who answers for the model, each a name or a name with an address: `Jo Doe <jo@example.com>`."""
    purpose: str | None = None
    """What the model is for; a sentence about task and label when not given."""
    limitations: tuple[str, ...] = ()
    """What it must not be used for, or is known to do badly: sentences beside those that follow from the run."""
    license: str | None = None
    """Under which terms it may be used, such as an SPDX identifier."""
