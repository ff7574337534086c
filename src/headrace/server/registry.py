"""The models of a server, by id: built-in ones imported when first asked for, users' own from the start."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Iterable
from dataclasses import replace

from headrace.server import packages
from headrace.server.envelope import NO_SUCH_MODEL, NOT_DEPLOYABLE
from headrace.server.hosted import Hosted, refusals
from headrace.server.loading import LoadError, card_of, find
from headrace.server.methods import methods_of
from headrace.server.model import Card, ModelError
from headrace.server.models import BUILT_IN
from headrace.server.shapes import ShapeError
from headrace.server.threads import in_thread
from headrace.server.weights_table import CHOICES

#: Short names of built-in models, by what they do.
ALIASES = {
    "classifier": "efficientnet-lite0",
    "detector": "nanodet-g",
    "llm": "smollm2-135m-instruct",  # or a better one: see `resolve`
    "sentiment": "vader-sentiment",
    "smollm2-classify": "llm-classify",  # its name before it had two language models
}

_FEW = 5  # maximum models that an error names

#: Called as (name, bytes done, bytes in all) while weights are fetched; in the thread that loads.
Progress = Callable[[str, int, int], None]


def resolve(name: str) -> str:
    """Return the id that a short name stands for, any other name as it is; "llm" is the best that is in the cache."""
    if name in CHOICES:
        from headrace.server import weights

        return weights.choose(name)
    return ALIASES.get(name, name)


def _found(target: str) -> type:
    """Find a user's class; where there is none and a built-in model has the name, the error says how to serve that."""
    try:
        return find(target)
    except LoadError as error:
        if target in BUILT_IN or target in ALIASES or target in CHOICES:
            raise LoadError(f"{error}; for the built-in model of that name: --models {target}") from error
        raise


class Registry:
    """Models by id; any user and app ids are accepted in front of them, as one server has one owner.

    Args:
        names: ids of built-in models to serve, all of them when None.
        targets: users' classes, as `module.py:Class` or `package.module:Class`; imported and checked immediately.
        progress: called while weights are fetched.

    Raises:
        LoadError: an unknown name, or a class that cannot be a model.
    """

    def __init__(
        self, names: Iterable[str] | None = None, targets: Iterable[str] = (), progress: Progress | None = None
    ) -> None:
        chosen = list(BUILT_IN) if names is None else [resolve(name) for name in names]
        for name in chosen:
            if name not in BUILT_IN:
                raise LoadError(f"there is no built-in model {name!r}; the built-in models are: {', '.join(BUILT_IN)}")
        self._progress = progress
        self._builtin = {name: BUILT_IN[name] for name in chosen}
        self._hosted: dict[str, Hosted] = {}
        self._unusable: dict[str, str] = {}  # id -> why
        self._importing = asyncio.Lock()
        for target in targets:
            self.add(_found(target), target)

    def add(self, cls: type, target: str = "") -> Hosted:
        """Serve a model class; it takes the place of a built-in model of the same id.

        Raises:
            LoadError: it cannot be a model, or another one has its id.
        """
        hosted = self._host(cls, target or cls.__name__)
        if hosted.id in self._hosted:
            raise LoadError(f"{target or cls.__name__}: another class has the id {hosted.id} already")
        self._builtin.pop(hosted.id, None)
        self._hosted[hosted.id] = hosted
        return hosted

    def _host(self, cls: type, target: str) -> Hosted:
        try:
            card = card_of(cls)
            methods = methods_of(cls, card)
            if "card" not in vars(cls) and (kinds := [kind for m in methods.values() for kind in m.kinds]):
                card = replace(card, input_fields=tuple(dict.fromkeys(kinds)))
            return Hosted(cls, card, methods, self._prepare)
        except ShapeError as error:
            raise LoadError(f"{target}: {error}") from error

    def _prepare(self, card: Card, progress: Progress) -> None:
        """Fetch the weights that a model needs, once its packages are there; blocking."""
        packages.check(card.packages)
        if not card.weights:
            return
        from headrace.server import weights

        def report(name: str, done: int, total: int) -> None:
            progress(name, done, total)
            if self._progress is not None:
                self._progress(name, done, total)

        for name in card.weights:
            weights.need(weights.choose(name), report)

    @property
    def only(self) -> str:
        """The id of the one model that there is; "" when there are several."""
        names = {*self._hosted, *self._builtin}
        return names.pop() if len(names) == 1 else ""

    async def get(self, model_id: str) -> Hosted:
        """Return the model of an id, its class imported but not yet loaded.

        Raises:
            ModelError: 21200 no such model here, 21350 it cannot be imported.
        """
        if model_id not in self._hosted and model_id not in self._builtin:
            model_id = resolve(model_id)
        if hosted := self._hosted.get(model_id):
            return hosted
        if model_id not in self._builtin:
            raise ModelError(NO_SUCH_MODEL, f"there is no model {model_id!r} on this server; {self._hint(model_id)}")
        async with self._importing:
            if model_id not in self._hosted and model_id not in self._unusable:
                target = self._builtin[model_id]
                try:
                    self._hosted[model_id] = self._host(await in_thread(lambda: find(target)), target)
                except LoadError as error:
                    self._unusable[model_id] = str(error)
                    refusals.error("model %s is not usable: %s", model_id, str(error))
        if reason := self._unusable.get(model_id):
            raise ModelError(NOT_DEPLOYABLE, f"model {model_id} is not usable: {reason}")
        return self._hosted[model_id]

    def _hint(self, model_id: str) -> str:
        """Return a hint at the existing models: the nearest name, a few names, or the command that lists many."""
        known = list(dict.fromkeys([*self._hosted, *self._builtin]))
        near = difflib.get_close_matches(model_id.lower(), [*known, *ALIASES], 1)
        meant = f"did you mean {near[0]}? " if near else ""
        return meant + (f"it has: {', '.join(known)}" if len(known) <= _FEW else "headrace models lists what there is")

    async def all(self) -> list[Hosted]:
        """Return every usable model: users' own first, then built-in ones in their order."""
        own = [h for name, h in self._hosted.items() if name not in self._builtin]
        built_in = []
        for name in self._builtin:
            try:
                built_in.append(await self.get(name))
            except ModelError:
                continue  # logged when it happened
        return own + built_in

    async def close(self) -> None:
        """Close the models that were loaded."""
        await asyncio.gather(*(hosted.close() for hosted in self._hosted.values()))
