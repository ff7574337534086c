"""`headrace predict`: inputs in, one answer each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headrace.cli import messages, picture, render, typed
from headrace.cli.completion import model_or_file
from headrace.cli.connect import Watcher, choose_model, connect
from headrace.cli.gather import Gathered, gather, to_input
from headrace.cli.options import Command, Options, shared
from headrace.cli.pieces import pieces
from headrace.cli.run import DONE, SOME_FAILED, exit_code, run, warn_input
from headrace.cli.saving import Saver
from headrace.cli.tables import table_of
from headrace.errors import HeadraceError, InputError, PartialFailure, ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace import Model, Prediction


@click.command(cls=Command)
@click.argument("words", nargs=-1, metavar="[MODEL] [INPUT]...", shell_complete=model_or_file)
@shared("server", "model", "input", "fields", "output")
@click.option("--info", is_flag=True, help="Show what the model is, and exit.")
def predict(
    options: Options,
    words: tuple[str, ...],
    field: tuple[tuple[str, Any], ...],
    inputs: dict[str, Any],
    method: str | None,
    info: bool,
) -> int:
    """Send inputs to a model and print its answers.

    An INPUT is a file, an http(s) URL, a text, or - for stdin. MODEL is USER/APP/models/MODEL or a URL; the options
    below name it as well. A picture and a text together are one multimodal input.

    \b
    headrace predict --local cat.jpg
    headrace predict openai/chat-completion/models/gpt-4o "Hello!"
    headrace predict --local --model_id detector street.jpg --draw
    headrace predict --local llm -i prompt=Hello -i max_tokens=20
    """
    if info:
        from headrace.cli.models import show_info

        return run(show_info(options, words))
    gathered = gather(options, words, {**inputs, **dict(field)})
    return run(_predict(options, gathered, method or "predict"))


async def _predict(options: Options, gathered: Gathered, method: str) -> int:
    watcher = Watcher()
    async with connect(options, watcher, gathered.ref) as client:
        model = await choose_model(client, options, gathered.ref, gathered.kinds)
        call = await typed.for_command(model, gathered, method, options)
        if method == "generate" or (call is not None and call.method.shape == "server stream"):
            return await pieces(model, gathered, call, options, watcher)
        if call is not None:
            return await _call(model, call, options)
        gathered = gathered.resolved(options)
        saver = Saver.of(options, several=len(gathered.inputs) > 1)
        table = table_of(options)
        try:
            predictions, errors = await ask(model, gathered, options)
        except (InputError, ServerError) as error:  # of the one input, or of all
            if not messages.is_of_input(error):
                raise
            warn_input(_name_in_errors(gathered), error)
            return exit_code(error)
    _print(predictions, errors, gathered, options.output, table, bare=not saver.active)
    failed = set(errors)
    for position, prediction in predictions.items():
        if not saver.saved(prediction, gathered.inputs[position], position, alone=len(gathered.inputs) == 1):
            failed.add(position)
    return SOME_FAILED if failed else DONE


async def _call(model: Model, call: typed.TypedCall, options: Options) -> int:
    """Call a method that gives one answer."""
    saver, table = Saver.of(options, several=False), table_of(options)
    call_options = {name: value for name, value in options.call.items() if name != "inference_params"}
    prediction = await model.predict(inputs=[call.item], **call_options)
    answer = call.answer(prediction)
    name = " + ".join(part.name for part in call.parts) or call.method.name
    if options.output == "text" and not saver.active and render.emit_media(answer):
        return DONE
    if options.output == "text":
        pretty = render.on_terminal()
        render.emit_lines(call.show(prediction, pretty=pretty), "")
        if pretty and answer.image:
            picture.show(answer.image)
    else:
        render.records([(name, answer)], options.output, table, alone=True)
    return DONE if saver.saved(answer, call.parts, 0) else SOME_FAILED


async def ask(
    model: Model, gathered: Gathered, options: Options
) -> tuple[Mapping[int, Prediction], Mapping[int, HeadraceError]]:
    """Predict all inputs: position -> prediction, position -> error. A lone input's error is raised."""
    params = {**options.inference_params, **gathered.params}
    call = {**options.call, **({"inference_params": params} if params else {})}
    try:
        prediction = await model.predict(inputs=[to_input(parts) for parts in gathered.inputs], **call)
    except PartialFailure as error:
        return error.predictions, error.errors
    return dict(enumerate(prediction)), {}


def _name_in_errors(gathered: Gathered) -> str:
    """Name the inputs that failed: a lone one by its name if the user gave one, several by their number."""
    if len(gathered.inputs) > 1:
        return f"all {len(gathered.inputs)} inputs"
    named = [part.name for part in gathered.inputs[0] if part.source != "data"]
    return " + ".join(named)


def _print(
    predictions: Mapping[int, Prediction],
    errors: Mapping[int, HeadraceError],
    gathered: Gathered,
    form: str,
    table: render.Table | None,
    *,
    bare: bool,
) -> None:
    """Print the answers; if `bare`, a lone picture or sound goes into a pipe as it is."""
    names = [" + ".join(part.name for part in parts) for parts in gathered.inputs]
    many = len(names) > 1
    if form != "text":
        answers = [predictions[n] if n in predictions else render.failed(errors[n], n) for n in range(len(names))]
        render.records(list(zip(names, answers, strict=True)), form, table, alone=not many)
    elif bare and not many and 0 in predictions and render.emit_media(predictions[0]):
        return
    pretty = render.on_terminal()
    for n, name in enumerate(names):
        if n in errors:
            warn_input(name if many else "", errors[n])
        elif form == "text":
            if many:
                render.emit(render.heading(name, pretty=pretty))
            render.emit_lines(render.show(predictions[n], pretty=pretty), name if many else "")
            if pretty and (image := predictions[n].image):
                picture.show(image)
