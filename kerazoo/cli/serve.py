"""`kerazoo serve`: models behind TF Serving's REST and gRPC."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kerazoo import formats
from kerazoo.cli._statement import resolved, statement

if TYPE_CHECKING:
    from kerazoo.serve.flags import Flags

ALONE = {"grpc_socket_path", "grpc_channel_arguments", "enable_grpc_healthcheck_service"}
"""Flags that only a server with ports of its own can honour; Ray Serve's proxies cannot."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[MODEL...] [--FLAG=VALUE...]")
@click.option(
    "--engine",
    default="auto",
    metavar="NAME",
    show_default=True,
    help=f"auto, {', '.join(form.engine for form in formats.FORMATS.values())}; for bundles.",
)
@click.option(
    "--precision",
    default="auto",
    metavar="WORD",
    show_default=True,
    help="auto (floats), int8, fp16, ...: what bundles answer in.",
)
@statement()
@click.option("--trust", is_flag=True, help="Open SavedModels that can reach files or the network.")
@click.option("--exact-pixels", is_flag=True, help="Bundles decode large pictures whole, not only as far as needed.")
@click.option("--host", metavar="ADDRESS", help="Listen on this address only.")
@click.option("--token-file", type=click.Path(path_type=Path), help="Clients must send the bearer token in this file.")
@click.option("--allow-reload", is_flag=True, help="Let models be configured over gRPC, without a token too.")
@click.option("--max-body-mib", default=128, show_default=True, type=click.IntRange(1), help="Longest request.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=NUMBER", help="See docs/serving.md; may be repeated.")
@click.option("--access-log", is_flag=True, help="One JSON line a REST request, on stderr.")
@click.option("--scale", type=click.Choice(["ray"]), help="Replicas on the machines of a cluster.")
@click.option("--replicas", type=click.IntRange(1), help="So many (1), or at least so many.")
@click.option("--max-replicas", type=click.IntRange(1), help="Up to so many, as requests come.")
@click.option("--target-requests", type=click.FloatRange(0, min_open=True), help="At a time in a replica (2).")
@click.option("--cores", type=click.IntRange(1), help="Of a replica (1).")
@click.option("--address", metavar="HOST:PORT", help="Of the cluster's head, or auto; else this machine alone.")
@click.option("--drain", default=30.0, show_default=True, metavar="SECONDS", help="For requests that run at SIGTERM.")
def serve(
    arguments: tuple[str, ...],
    engine: str,
    precision: str,
    trust: bool,
    exact_pixels: bool,
    host: str | None,
    token_file: Path | None,
    allow_reload: bool,
    max_body_mib: int,
    limits: tuple[str, ...],
    access_log: bool,
    drain: float,
    scale: str | None,
    stated: dict[str, Any],
    **scaling: Any,
) -> int:
    """Serves models as TF Serving does: gRPC on 8500, REST on 8501.

    MODEL is a name of the zoo, a file with a card (.keras, .onnx, .tflite, a
    bundle), or a folder of numbered versions: of a bundle, or of any
    SavedModel. NAME=MODEL serves it under another name.

    \b
    kerazoo serve lenet5:mnist
    kerazoo serve mine=/models/mine --rest_api_port=9001
    kerazoo serve --model_name=mine --model_base_path=/models/mine

    --labels, --size and what follows state what the one MODEL does, a file that
    has no card.

    All flags of tensorflow_model_server are taken too, in their own spelling;
    `kerazoo serve --flags` lists them.
    """
    from kerazoo.serve import flags, server

    chosen = {name: value for name, value in scaling.items() if value is not None}
    if chosen and scale is None:
        raise click.UsageError(f"--{next(iter(chosen)).replace('_', '-')} needs --scale ray.")
    if "--flags" in arguments:
        click.echo(flags.usage())
        return 0
    try:
        given = flags.parse(arguments)
    except flags.Malformed as error:
        click.echo(f"{error}\n{flags.usage()}")
        return 255
    if given.version:
        click.echo(_versions())
        return 0
    if given.unknown and not given.as_tf_serving:
        own = [name for parameter in serve.params for name in parameter.opts if name.startswith("--")]
        raise click.UsageError(f"No such flag: {given.unknown[0]}.{flags.near(given.unknown[0], own)}")
    for argument in given.unknown:
        click.echo(f"unknown argument: {argument}\n{flags.usage()}")
    server.log_to_stderr(access_log)
    idle = given.without_effect()
    if scale is not None:
        idle += sorted(ALONE & given.given) + ["access-log"] * access_log
    if idle:
        server.log.warning("These flags change nothing here: %s", ", ".join(f"--{name}" for name in idle))
    try:
        access = _access(given, token_file, allow_reload)
        given = _of_stated(given, stated, trust)
        options = replace(_options(given, engine, precision, trust, exact_pixels, host, drain), access=access)
        options = replace(options, limits=_limits(options.limits, max_body_mib, limits))
    except server.Status as error:
        click.echo(f"Failed to start server. Error: {error}")
        return 255
    if scale is None:
        return server.serve(options)
    return _scaled(given, options, chosen)


def _of_stated(given: Flags, stated: dict[str, Any], trust: bool) -> Flags:
    """The flags with a copy of the one MODEL that holds what is stated of it, under the name that it has."""
    if not stated:
        return given
    if len(given.models) != 1:
        raise click.UsageError(f"What is stated is about one MODEL; there are {len(given.models)}.")
    from kerazoo.own.files import plain_stem

    name, equals, path = given.models[0].rpartition("=")
    copy = Path(str(resolved(path, stated, trust)))
    return replace(given, models=(f"{name if equals else plain_stem(copy)}={copy}",))


def _scaled(given: Flags, options: Any, chosen: dict[str, Any]) -> int:
    from kerazoo.serve import scale

    names = {"max_replicas": "most", "target_requests": "target"}
    scaling = scale.Scaling(**{names.get(name, name): value for name, value in chosen.items()})
    zoo = {
        config.base_path: text
        for text, config in zip(given.models, options.models, strict=False)
        if "=" not in text and not Path(text).exists()
    }
    return scale.serve(options, scaling, zoo)


def _versions() -> str:
    import importlib.metadata

    from kerazoo import __version__

    try:
        library = importlib.metadata.version("tensorflow")
    except importlib.metadata.PackageNotFoundError:
        library = "not installed"
    return f"TensorFlow ModelServer: {__version__}\nTensorFlow Library: {library}"


def _access(given: Flags, token_file: Path | None, allow_reload: bool) -> Any:
    from kerazoo.serve.access import Access
    from kerazoo.serve.server import log

    token = None
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"--token-file {token_file} cannot be read: {error}") from None
        if not token:
            raise click.UsageError(f"--token-file {token_file} is empty: it would let everyone in.")
    as_tf_serving = bool(given.model_base_path or given.model_config_file)
    if as_tf_serving and token is None and not allow_reload:
        log.warning("As in TF Serving, whoever reaches gRPC may configure models; --token-file keeps others out.")
    return Access(token, allow_reload or token is not None or as_tf_serving)


def _limits(limits: Any, max_body_mib: int, given: tuple[str, ...]) -> Any:
    """The limits, with those of `--limit NAME=NUMBER` in the place of their defaults."""
    chosen: dict[str, Any] = {"body": max_body_mib << 20}
    for text in given:
        name, _, number = text.partition("=")
        kind: Any = type(getattr(limits, name, None))
        try:
            chosen[name] = kind(number)
            wrong = kind not in (int, float) or not 0 < chosen[name] < float("inf")
        except (TypeError, ValueError):
            wrong = True
        if wrong:
            known = ", ".join(vars(limits))
            raise click.UsageError(f"--limit {text} is not NAME=NUMBER, a positive one; names are {known}.")
    return replace(limits, **chosen)


def _options(
    given: Flags, engine: str, precision: str, trust: bool, exact_pixels: bool, host: str | None, drain: float
) -> Any:
    from kerazoo.serve import options
    from kerazoo.serve.http.app import METRICS

    made = options.of_flags(given)
    models = [_model(text) for text in given.models]
    for index, model in enumerate(models):
        if model.name in [other.name for other in models[:index]]:
            model.name = given.models[index].replace(":", "_")
    # TF Serving opens whatever is named to it.
    strangers = "trusted" if trust else "told" if given.as_tf_serving else "refused"
    rest = made.rest
    if models and "rest_api_port" not in given.given:
        rest = 8501
    return replace(
        made,
        models=[*models, *made.models],
        rest=rest,
        host=host,
        loading=replace(
            made.loading,
            engine=engine,
            precision=precision,
            exact_pixels=exact_pixels,
            session=replace(made.loading.session, strangers=strangers),
        ),
        metrics=made.metrics or (METRICS if models else None),
        drain_seconds=drain,
    )


def _model(text: str) -> Any:
    """The configuration of one MODEL, prepared unless it lies in version folders."""
    from kerazoo import own
    from kerazoo.cli import say
    from kerazoo.errors import UsageError
    from kerazoo.own import bundles, files
    from kerazoo.serve import server
    from kerazoo.serve.models import engines, folders

    name, equals, path = text.partition("=")
    source = path if equals else text
    place = Path(source).expanduser()
    if place.is_dir() and folders.versions(place.resolve()):
        return server.one_model(name if equals else place.resolve().name, place.resolve())
    if place.name.isdigit() and engines.is_bundle(place):  # One version of several, perhaps.
        base = place.resolve().parent
        made = server.one_model(name if equals else base.name, base)
        made.model_version_policy.specific.versions.append(int(place.name))
        return made
    if equals and not place.exists():
        raise UsageError(f"{place} is neither a folder nor a file.")
    if place.is_dir() and not engines.is_bundle(place):
        raise UsageError(f"{place} has neither a card nor version folders, such as {place}/1 with a SavedModel in it.")
    base = bundles.bundle(source, say)
    return server.one_model(
        name if equals else files.plain_stem(place) if place.exists() else own.find(text).stem, base
    )
