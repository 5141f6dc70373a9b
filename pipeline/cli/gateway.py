"""`conveyor gateway`: predictions for applications over HTTP, before the model server."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from pipeline.cli.options import ConfigArgument, Overrides, read_config


class _StartByDefault(TyperGroup):
    """`conveyor gateway [CONFIG]` is `conveyor gateway start [CONFIG]`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_command = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if is_command else ["start", *args])


app = typer.Typer(cls=_StartByDefault, help="Serve predictions to applications over HTTP, and make keys for them.")


@app.command()
def start(config: ConfigArgument = None, overrides: Overrides = None) -> None:
    """Serve until Ctrl-C, as `conveyor gateway` alone does. The section `gateway` of the configuration has all settings.

    Example: conveyor gateway start --set gateway.port=8090
    """
    from serving.gateway.server import serve
    from serving.gateway.settings import from_config

    gateway = from_config(read_config(config, overrides))
    everybody = "" if gateway.access.api_keys or gateway.access.oidc else " Anyone who can reach it may use it."

    def announce(url: str) -> None:
        typer.echo(f"The gateway asks {gateway.upstream.stable}; its page is {url}/docs.{everybody}", err=True)
        typer.echo("Its log follows. Ctrl-C ends it.", err=True)

    serve(gateway, announce)


@app.command()
def key() -> None:
    """Print a new API key, and its hash for gateway.access.api_keys; the key itself is kept nowhere.

    Example: conveyor gateway key
    """
    from serving.gateway.access import new_key

    secret, sha256 = new_key()
    typer.echo(f"key     {secret}\nsha256  {sha256}\n")
    typer.echo("Give the key to the caller, and the hash to the gateway:\n")
    typer.echo(f"gateway:\n  access:\n    api_keys:\n      NAME: {{sha256: {sha256}}}")
