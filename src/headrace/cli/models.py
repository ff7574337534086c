"""`headrace models`: list a server's models, show one, fetch weights ahead of time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from headrace.cli import render, words
from headrace.cli.completion import model_names
from headrace.cli.connect import Watcher, choose_model, connect
from headrace.cli.gather import model_and_inputs
from headrace.cli.options import Grouped, Options, shared
from headrace.cli.run import DONE, run, say
from headrace.cli.status import styled
from headrace.cli.stub import stub
from headrace.cli.terminal import in_bytes, line, wrapped
from headrace.errors import InvalidRequest, PredictionFailed
from headrace.events import ServerLog

if TYPE_CHECKING:
    from headrace import ModelInfo
    from headrace.methods.signatures import Method
    from headrace.server.model import Card

_FIELDS = (
    "user_id", "app_id", "id", "model_type_id", "task", "url", "description", "input_fields", "output_fields",
    "short_names", "default_for", "size_bytes",
)  # fmt: skip


@click.group(cls=Grouped, invoke_without_command=True)
@shared("server", "owner", "form")
@click.pass_context
def models(ctx: click.Context, options: Options) -> int:
    """List the models of a server; without a server or credential, those of the embedded one.

    \b
    headrace models
    headrace models --user_id clarifai --app_id main
    headrace models show yolov3-tiny
    headrace models pull
    """
    if ctx.invoked_subcommand is not None:
        return DONE
    return run(_list(options))


models.add_command(stub)


@models.command()
@click.argument("name", shell_complete=model_names)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format of the card.")
def show(name: str, output: str) -> int:
    """Show the card of a model of the embedded server: what it is, how good, licence, size."""
    card = _card(name)
    facts: dict[str, Any] = {
        "id": card.id,
        "title": card.title,
        "task": card.task,
        "description": card.description,
        "takes": list(card.input_fields),
        "gives": list(card.output_fields),
        "licence": card.licence,
        "comes from": card.provenance,
        "size": card.size_bytes,
        "bad at": card.weak_at,
        "try": card.sample,
    }
    if output == "json":
        render.emit(render.as_json({key.replace(" ", "_"): value for key, value in facts.items()}))
        return DONE
    if card.weights:
        facts["weights"] = _weights_state(card)
    for key, value in facts.items():
        if value:
            shown = in_bytes(value) if key == "size" else ", ".join(value) if isinstance(value, list) else str(value)
            render.emit(f"{key + ':':<12} {line(shown)}")
    return DONE


@models.command()
@click.argument("names", nargs=-1, shell_complete=model_names)
def pull(names: tuple[str, ...]) -> int:
    """Fetch the weights of models into the cache, so that they work offline; by default those that first runs need.

    \b
    headrace models pull
    headrace models pull qwen2.5-coder-1.5b
    """
    from headrace.server import weights

    missing: list[str] = []
    for name in names or weights.first_needed():
        needed = [name] if name in weights.WEIGHTS else [weights.choose(one) for one in _card(name).weights]
        if not needed:
            say(f"{name} needs no download: its weights are part of headrace")
        missing += [one for one in needed if one not in missing]
    watcher = Watcher()
    with watcher.status:
        for name in missing:
            try:
                path = weights.ensure(name, lambda label, done, total: watcher(ServerLog(label, done, total)))
            except weights.WeightsError as error:
                raise click.ClickException(str(error)) from error
            watcher.status.clear()
            render.emit(f"{name}\t{line(os.fspath(path))}")
    return DONE


async def _list(options: Options) -> int:
    options = _somewhere(options)
    async with connect(options) as client:
        infos = await client.models(user_id=options.user_id, app_id=options.app_id)
    if options.output == "text":
        _table(infos)
        return DONE
    records = [_record(info) for info in infos]
    if options.output == "json":
        render.emit(render.as_json(records))
    else:
        for record in records:
            render.emit(render.as_json(record, indent=None))
    return DONE


def _somewhere(options: Options) -> Options:
    """Choose the embedded server if neither options, environment nor context know another one."""
    from dataclasses import replace

    from headrace.credentials import resolve

    if options.local or options.base_url or options.user_id or os.environ.get("CLARIFAI_API_BASE"):
        return options
    if resolve(None, options.pat, None).credentials:
        return options
    say("models of the embedded server (no other server or credential given)")
    return replace(options, local=True)


def _record(info: ModelInfo) -> dict[str, Any]:
    values = {name: getattr(info, name) for name in _FIELDS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _table(models: list[ModelInfo]) -> None:
    """Print the models by task: name, short names, what it is the default for, size, description."""
    tasks = list(dict.fromkeys(info.task for info in models))
    models = sorted(models, key=lambda info: tasks.index(info.task))
    if not render.on_terminal():
        for info in models:
            render.emit("\t".join((line(info.id), line(info.model_type_id), *_facts(info), line(info.description))))
        return
    from headrace.cli import pretty

    for task in tasks:
        render.emit(styled(line(task), "bold"))
        for info in (info for info in models if info.task == task):
            short, default, size = _facts(info)
            facts = [f"({short})" if short else "", f"default for {default}" if default else "", size]
            render.emit(
                f"  {pretty.styled(line(info.id), 'cyan')}  {'  '.join(fact for fact in facts if fact)}".rstrip()
            )
            if info.description:
                render.emit(wrapped(line(info.description), indent="      "))
    render.emit("")
    render.emit(styled("headrace models show NAME says what a model is good and bad at", "dim"))


def _facts(info: ModelInfo) -> tuple[str, str, str]:
    return (
        line(", ".join(info.short_names)),
        line(", ".join(info.default_for)),
        in_bytes(info.size_bytes) if info.size_bytes else "",
    )


async def show_info(options: Options, positional: tuple[str, ...]) -> int:
    """Return what the named model is (`predict --info`)."""
    if not positional and not options.names_model:
        raise click.UsageError("--info needs a model: give --model-url, --model-id, or USER/APP/models/MODEL")
    ref, _ = model_and_inputs(options, positional)
    if ref is None and not options.names_model:
        raise click.UsageError(f"--info needs a model, and {positional[0]!r} does not name one")
    async with connect(options, ref=ref) as client:
        model = await choose_model(client, options, ref, ())
        try:
            record = _record(await model.info())
        except InvalidRequest:  # a bare model runner knows its methods only
            record = {"id": model.id, "url": model.ref.url}
        try:
            methods = await model.methods()
        except PredictionFailed:  # an older model may answer anything to this unknown question
            methods = ()
    if options.output != "text":
        record["methods"] = [_method(method) for method in methods]
        render.emit(render.as_json(record, indent=2 if options.output == "json" else None))
        return DONE
    for key, value in record.items():
        shown = ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)
        if shown:
            render.emit(f"{key + ':':<14} {line(shown)}")
    for method in methods:
        render.emit(f"{'method:':<14} {line(str(method))}")
        for text in (method.description, *(f"{p.name}: {p.description}" for p in method.parameters if p.description)):
            if text:
                render.emit(f"{'':<14}   {line(text)}")
    return DONE


def _method(method: Method) -> dict[str, Any]:
    parameters = ("name", "type", "required", "default", "description", "iterator")
    return {
        "name": method.name,
        "shape": method.shape,
        "signature": str(method),
        "description": method.description,
        "parameters": [{key: getattr(one, key) for key in parameters} for one in method.parameters],
        "returns": [one.type for one in method.returns],
    }


def _card(name: str) -> Card:
    """Find a built-in model's card by id or short name."""
    from headrace.server.loading import card_of, find
    from headrace.server.models import BUILT_IN
    from headrace.server.registry import resolve

    target = BUILT_IN.get(resolve(name))
    if target is None:
        near = words.nearest(name, words.built_in_names())
        meant = f"did you mean {near}? " if near else ""
        raise click.UsageError(f"there is no model {name} in the embedded server; {meant}headrace models lists them")
    return card_of(find(target))


def _weights_state(card: Card) -> str:
    from headrace.server import weights

    there = {state.weight.name for state in weights.status() if state.path is not None}
    missing = [name for name in card.weights if weights.choose(name) not in there]
    return f"not fetched yet (headrace models pull {card.id})" if missing else "in the cache"
