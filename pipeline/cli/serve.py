"""`conveyor serve`: a model server for the pushed model on this machine."""

from __future__ import annotations

import signal
import socket
import sys
import tempfile
import time
from enum import Enum
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigArgument, Overrides, read_config
from pipeline.errors import UsageError
from serving import GRPC_PORT, REST_PORT

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from serving.launch import ServerProcess
    from serving.rollout.model_servers import Loading

_HOST = "127.0.0.1"
_POLL_SECONDS = 1.0
_TRY_SECONDS = 30.0
_MONITORING = "prometheus_config { enable: true }\n"
_METRICS = "/monitoring/prometheus/metrics"
# A tf.Example without values: models of the pipeline accept missing values.
_REQUEST = '{"instances": [{"b64": ""}]}'


class Engine(str, Enum):
    """The program that serves."""

    AUTO = "auto"
    DOCKER = "docker"
    EMBEDDED = "embedded"


def serve(
    config: ConfigArgument = None,
    port: Annotated[int, typer.Option(metavar="PORT", help="Of gRPC.", min=1, max=65535)] = GRPC_PORT,
    rest_port: Annotated[int, typer.Option(metavar="PORT", help="Of REST.", min=1, max=65535)] = REST_PORT,
    engine: Annotated[
        Engine, typer.Option(help="TF Serving in Docker, or the server that comes with Conveyor; auto: Docker where it works.")
    ] = Engine.AUTO,
    version: Annotated[
        int | None, typer.Option(metavar="N", help="Serve this version and no other, whatever the rollout says.", min=1)
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Serve the pushed model over gRPC and REST until Ctrl-C: the newest version, or those of the rollout.

    Example: conveyor serve --port 8500
    """
    from serving.launch import ServerProcess
    from serving.rollout.files import read_state

    settings = read_config(config, overrides)
    _require_versions(settings, version)
    key = settings.push.public_key
    verifying = None if key is None else _choose_verifying(engine, Path(settings.resolve(key)))
    _require_ports(port, rest_port)
    stopping = _stop_on_signals()
    image, reason = verifying or _choose(engine, settings.infra_validator.image)
    with tempfile.TemporaryDirectory(prefix="conveyor-serve-") as own:
        command = _command(settings, Path(own), image, port, rest_port, version)
        log = settings.workspace_path / "serving" / settings.name / f"server-{port}.log"
        server = f"TensorFlow Serving in Docker, {image}" if image else "the embedded model server"
        fix = "Its log says why." + (" Without Docker: conveyor serve --engine embedded" if image else "")
        with ServerProcess(command, log, fix) as process:
            _say(f"Serving {settings.name} with {server}{f': {reason}' if reason else ''}")
            _say(f"  Version  {version or read_state(settings).placement}")
            _say(f"  Log      {log}")
            _follow(settings, process, port, rest_port, stopping)
            _say("Stopping: requests under way are finished first.")


def _require_versions(config: PipelineConfig, version: int | None) -> None:
    from serving.rollout.files import read_state
    from serving.rollout.versions import files_below, read_versions

    present = [each.number for each in read_versions(files_below(config.serving_path)) if each.is_whole]
    if not present:
        raise UsageError(
            f"No version of {config.name} has been pushed yet.",
            where=str(config.serving_path),
            expected="a numbered folder with a SavedModel",
            fix="To train, evaluate and push one: conveyor run",
        )
    if version is not None and version not in present:
        raise UsageError(
            f"There is no version {version} of {config.name}.",
            where=str(config.serving_path),
            expected=f"one of {', '.join(map(str, present))}",
            fix=f"Serve one of them: conveyor serve --version {present[-1]}",
        )
    placement = read_state(config).placement
    if version is None and placement.stable is not None and placement.stable not in present:
        raise UsageError(
            f"Version {placement.stable}, which the rollout says is stable, is gone.",
            where=str(config.serving_path),
            expected=str(placement),
            seen=f"versions {', '.join(map(str, present))}",
            fix=f"Restore its folder, or serve another version meanwhile: conveyor serve --version {present[-1]}",
        )


def _require_ports(port: int, rest_port: int) -> None:
    if port == rest_port:
        raise UsageError("gRPC and REST cannot share a port.", where="--port, --rest-port", seen=str(port))
    for option, number in (("--port", port), ("--rest-port", rest_port)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, number))
            except OSError as error:
                raise UsageError(
                    f"Port {number} cannot be used.",
                    where=option,
                    expected="a free port",
                    seen=error.strerror or str(error),
                    fix=f"End the program that uses it (another conveyor serve?), or choose another port with {option}.",
                ) from error


def _choose_verifying(engine: Engine, key: Path) -> tuple[str, str]:
    """As `_choose`, where only versions may be loaded that are signed by the private key of a public one."""
    from pipeline.contracts.signature import public_key

    public_key(key)
    if engine is Engine.DOCKER:
        raise UsageError(
            "TensorFlow Serving verifies no signatures.",
            where="--engine docker",
            expected="the embedded model server, since push.public_key is set",
            fix="Use --engine embedded, or serve without verifying: --set push.public_key=null",
        )
    return "", "TensorFlow Serving verifies no signatures" if engine is Engine.AUTO else ""


def _choose(engine: Engine, image: str) -> tuple[str, str]:
    """The image of TensorFlow Serving, empty for the embedded server; and the reason, if that was not asked for."""
    if engine is Engine.EMBEDDED:
        return "", ""
    from pipeline.util.programs import check_program
    from serving.launch import has_image, pull

    check = check_program("docker")
    if not check.ok:
        if engine is Engine.AUTO:
            return "", "no Docker engine answers here"
        raise UsageError(
            "Docker cannot be used.",
            where="--engine docker",
            expected="an engine that `docker version` can reach",
            seen=check.seen,
            fix=f"Run: {check.fix}. Or use --engine embedded.",
        )
    if has_image(image) or pull(image):
        return image, ""
    if engine is Engine.AUTO:
        return "", f"Docker cannot fetch {image}"
    raise UsageError(
        "The image of TensorFlow Serving is missing and cannot be fetched.",
        where="infra_validator.image",
        seen=image,
        fix="Name another with --set infra_validator.image=IMAGE, or use --engine embedded.",
    )


def _command(config: PipelineConfig, own: Path, image: str, port: int, rest_port: int, version: int | None) -> list[str]:
    """The command line of the model server.

    Args:
      config: the pipeline's configuration.
      own: a folder for files that only this server needs.
      image: the image of TensorFlow Serving; the embedded server when empty.
      port: the port of gRPC.
      rest_port: the port of REST.
      version: the only version to serve, if any.
    """
    from serving.launch import container_command
    from serving.rollout import prepare
    from serving.rollout.models_config import render_versions

    models_config = prepare(config)
    if version is not None:
        models_config = own / "models.config"
        models_config.write_text(render_versions(config.name, str(config.serving_path), [version], {}))
    monitoring = own / "monitoring.config"
    monitoring.write_text(_MONITORING)
    own.chmod(0o755)
    flags = [
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        f"--model_config_file={models_config}",
        f"--model_config_file_poll_wait_seconds={_POLL_SECONDS:.0f}",
        f"--file_system_poll_wait_seconds={_POLL_SECONDS:.0f}",
        "--allow_version_labels_for_unavailable_models=true",
        # A pushed version is whole: if it cannot be loaded now, it cannot be loaded in a minute either.
        "--max_num_load_retries=0",
        f"--monitoring_config_file={monitoring}",
    ]
    if not image:
        if config.push.public_key is not None:
            flags.append(f"--model_public_key_file={config.resolve(config.push.public_key)}")
        return [sys.executable, "-m", "serving.modelserver", f"--host={_HOST}", *flags]
    folders = {config.serving_path, models_config.parent, own}
    return container_command(image, f"conveyor-serve-{config.name}-{port}", flags, (port, rest_port), sorted(folders))


def _stop_on_signals() -> Event:
    stopping = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _follow(config: PipelineConfig, process: ServerProcess, port: int, rest_port: int, stopping: Event) -> None:
    """Prints how versions come and go, and the addresses once one of them answers, until a signal stops the server."""
    from serving.rollout.model_servers import RunningServer

    server = RunningServer(f"{_HOST}:{port}", config.name)
    told: dict[int, str] = {}
    advised = False
    while not stopping.wait(_POLL_SECONDS):
        process.check()
        known = server.versions() or {}
        for number, loading in known.items():
            news = _news(loading)
            if told.get(number) != news:
                told[number] = news
                _say(f"{time.strftime('%H:%M:%S')}  version {number} {news}")
        if not advised and any(loading.is_available for loading in known.values()):
            advised = True
            _say(f"  gRPC     grpc://localhost:{port}/{config.name}")
            _say(f"  REST     http://localhost:{rest_port}/v1/models/{config.name}")
            _say(f"  Metrics  http://localhost:{rest_port}{_METRICS}")
            address = "" if port == GRPC_PORT else f" --address grpc://localhost:{port}/{config.name}"
            _advise(f"http://localhost:{rest_port}/v1/models/{config.name}", address)


def _news(loading: Loading) -> str:
    if loading.is_available:
        return "answers"
    if loading.error:
        return f"cannot be loaded: {loading.error}"
    return {"START": "is found", "LOADING": "is being loaded", "UNLOADING": "is being unloaded", "END": "is unloaded"}.get(
        loading.state, loading.state
    )


def _advise(model: str, address: str) -> None:
    """Names the next commands; the one for curl only when it works.

    Args:
      model: where REST answers.
      address: the option that names the address, where it is not the one that is asked by default.
    """
    import urllib.request

    _say(f"Next: conveyor predict --file rows.csv{address}")
    request = urllib.request.Request(f"{model}:predict", _REQUEST.encode())
    try:
        with urllib.request.urlopen(request, timeout=_TRY_SECONDS):
            _say(f"  or: curl -d '{_REQUEST}' {model}:predict")
    except OSError:
        _say(f"  or: curl {model}/metadata")


def _say(text: str) -> None:
    # Line by line also into a pipe, where another program may wait for these lines.
    print(text, flush=True)
