"""How Conveyor logs in to an API that asks who is calling."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.flaws import Flaw, FlawedError
from pipeline.config.section import ConfigPath, Section


class Auth(Section):
    """How Conveyor logs in to Kubeflow's API: one of the fields. Tokens and cookies are never in the configuration itself."""

    token_file: Annotated[ConfigPath, Field(min_length=1)] | None = None
    """A file with a token, which is read again for each request."""
    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] | None = None
    """A program with arguments that prints a token: alone, or as kubectl's log-in plugins do. It runs again when the token has
    expired or is refused."""
    cookie_file: Annotated[ConfigPath, Field(min_length=1)] | None = None
    """A file with the cookie of a log-in in the browser, as NAME=VALUE, which is read again for each request."""
    service_account: bool = False
    """The token of the pod that Conveyor itself runs in, such as a notebook's, for the audience pipelines.kubeflow.org."""

    @model_validator(mode="after")
    def _is_one_way(self) -> Auth:
        given = [name for name in type(self).model_fields if getattr(self, name)]
        if len(given) != 1:
            raise FlawedError(
                Flaw(
                    "There is one way to log in.",
                    expected=f"one of {', '.join(type(self).model_fields)}",
                    seen=" and ".join(given) or "none of them",
                    fix="Keep one of them."
                    if given
                    else "Name a file with a token, as in: auth: {token_file: ~/.kubeflow-token}",
                )
            )
        return self
