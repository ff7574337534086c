"""Every way to send a list of inputs, as one table: each gives, by position, the answer or the error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from headrace import HeadraceError, Model, PartialFailure
from headrace.results import Prediction

Outcome = Prediction | HeadraceError
Shape = Callable[..., Awaitable[Mapping[int, Outcome]]]


async def predict_list(model: Model, items: Sequence[Any], type_: Any, **options: Any) -> Mapping[int, Outcome]:
    try:
        return dict(enumerate(await model.predict(list(items), type_, **options)))
    except PartialFailure as failure:
        return {**failure.predictions, **failure.errors}
    except HeadraceError as error:
        return dict.fromkeys(range(len(items)), error)


async def predict_each(model: Model, items: Sequence[Any], type_: Any, **options: Any) -> Mapping[int, Outcome]:
    async def one(item: Any) -> Outcome:
        try:
            return await model.predict(item, type_, **options)
        except HeadraceError as error:
            return error

    return dict(enumerate(await asyncio.gather(*map(one, items))))


async def generate_each(model: Model, items: Sequence[Any], type_: Any, **options: Any) -> Mapping[int, Outcome]:
    async def one(item: Any) -> Outcome:
        try:
            async with model.generate(item, type_, **options) as stream:
                [piece] = [piece async for piece in stream]
        except HeadraceError as error:
            return error
        return piece

    return dict(enumerate(await asyncio.gather(*map(one, items))))


def streamed(**settings: Any) -> Shape:
    async def shape(model: Model, items: Sequence[Any], type_: Any, **options: Any) -> Mapping[int, Outcome]:
        async with model.stream(items, type_, **settings, **options) as stream:
            return {p.position: p.error or p async for p in stream}

    return shape


def mapped(**settings: Any) -> Shape:
    async def shape(model: Model, items: Sequence[Any], type_: Any, **options: Any) -> Mapping[int, Outcome]:
        async with model.map(items, input_type=type_, on_error="yield", **settings, **options) as stream:
            return {p.position: p.error or p async for p in stream}

    return shape


#: Those in which several inputs go through one call.
MANY: dict[str, Shape] = {
    "predict": predict_list,
    "stream": streamed(),
    "stream batch": streamed(batch=3),
    "stream unordered": streamed(ordered=False),
    "map": mapped(),
    "map batch": mapped(batch="auto"),
    "map unordered": mapped(ordered=False),
}
#: Those with a call for each.
EACH: dict[str, Shape] = {"predict each": predict_each, "generate each": generate_each}
SHAPES = {**MANY, **EACH}
