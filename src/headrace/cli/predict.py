"""`headrace predict`: inputs in, one answer each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headrace.cli import picture, render
from headrace.cli.connect import choose_model, connect
from headrace.cli.gather import Gathered, gather, to_input
from headrace.cli.options import Command, Options, shared
from headrace.cli.run import DONE, SOME_FAILED, run, warn_input
from headrace.cli.saving import Saver
from headrace.errors import HeadraceError, PartialFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace import Model, Prediction


@click.command(cls=Command)
@click.argument("words", nargs=-1, metavar="[MODEL] [INPUT]...")
@shared("server", "model", "input", "fields", "output")
@click.option("--info", is_flag=True, help="Show what the model is, and stop.")
def predict(
    options: Options, words: tuple[str, ...], field: tuple[tuple[str, Any], ...], inputs: dict[str, Any], info: bool
) -> int:
    """Send inputs to a model and print its answers.

    An INPUT is a file, an http(s) URL, a text, or - for stdin. MODEL is USER/APP/models/MODEL or a URL; the options
    below name it as well. A picture and a text together are one multimodal input.

    \b
    headrace predict --local cat.jpg
    headrace predict openai/chat-completion/models/gpt-4o "Hello!"
    headrace predict --local --model_id detector street.jpg --draw
    """
    if info:
        from headrace.cli.models import show_info

        return run(show_info(options, words))
    gathered = gather(options, words, {**inputs, **dict(field)})
    return run(_predict(options, gathered))


async def _predict(options: Options, gathered: Gathered) -> int:
    saver = Saver(options.save, force=options.force, draw=options.draw) if options.save or options.draw else None
    async with connect(options) as client:
        model = await choose_model(client, options, gathered.ref, gathered.input_type)
        predictions, errors = await ask(model, gathered, options)
    _print(predictions, errors, gathered, options.output)
    failed = set(errors)
    for position, prediction in predictions.items():
        if saver is not None and not _saved(saver, prediction, gathered, position):
            failed.add(position)
    return SOME_FAILED if failed else DONE


async def ask(
    model: Model, gathered: Gathered, options: Options
) -> tuple[Mapping[int, Prediction], Mapping[int, HeadraceError]]:
    """Predict all inputs: position -> prediction, position -> error. A lone input's error is raised."""
    params = {**options.inference_params, **gathered.params}
    call = {**options.call, **({"inference_params": params} if params else {})}
    try:
        found = await model.predict(inputs=[to_input(parts) for parts in gathered.inputs], **call)
    except PartialFailure as error:
        return error.predictions, error.errors
    return dict(enumerate(found)), {}


def _print(
    predictions: Mapping[int, Prediction], errors: Mapping[int, HeadraceError], gathered: Gathered, form: str
) -> None:
    names = [" + ".join(part.name for part in parts) for parts in gathered.inputs]
    many = len(names) > 1
    if form != "text":
        records = [
            render.record(predictions[n], name) if n in predictions else render.failure(errors[n], n, name)
            for n, name in enumerate(names)
        ]
        if form == "jsonl":
            for item in records:
                render.emit(render.as_json(item, indent=None))
        else:
            render.emit(render.as_json(records if many else records[0]))
    pretty = render.on_terminal()
    for n, name in enumerate(names):
        if n in errors:
            warn_input(name if many else "", errors[n])
        elif form == "text":
            if many:
                render.emit(render.heading(name, pretty=pretty))
            render.emit(render.show(predictions[n], pretty=pretty))
            if pretty and (image := predictions[n].image):
                picture.show(image)


def _saved(saver: Saver, prediction: Prediction, gathered: Gathered, position: int) -> bool:
    parts = gathered.inputs[position]
    try:
        for path in saver.save(prediction, parts, position):
            if path.stem.endswith("-boxes") and render.on_terminal():
                picture.show(path.read_bytes())
    except (HeadraceError, OSError) as error:
        warn_input(parts[0].name if len(gathered.inputs) > 1 else "", error)
        return False
    return True
