"""The public names of the official package, as one line of JSON; run by the SDK's own Python."""

# mypy: ignore-errors
import inspect
import json

import click
from clarifai import client, runners
from clarifai.cli.base import cli
from clarifai.client.model_client import ModelClient
from clarifai.runners.utils import data_types

METHODS = (client.Model, client.Inputs, ModelClient, runners.ModelClass)


def public(names):
    return sorted(name for name in names if not name.startswith("_"))


def commands(group, before="clarifai"):
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if command is None or command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}"


print(
    json.dumps(
        {
            "methods": {cls.__name__: public(name for name, _ in inspect.getmembers(cls)) for cls in METHODS},
            "classes": sorted({*client.__all__, *runners.__all__}),
            "types": public(vars(data_types.data_types)),
            "commands": sorted(commands(cli)),
        }
    )
)
