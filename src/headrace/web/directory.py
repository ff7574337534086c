"""The models by the names that callers use, and what each can do."""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace import Client, ModelInfo, errors
from headrace.chat.abilities import Abilities, abilities_of
from headrace.model import Model
from headrace.web.failures import Refusal

MAX_KEPT = 1000  # names whose models are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(Abilities):
    """A model, the name that callers use, and what it can do."""

    name: str
    model: Model

    def must(self, input_type: str, output: str, route: str) -> None:
        """Refuse a model that cannot do what a route is for, if the server says what it takes and gives.

        Raises:
            Refusal: 400 with what it takes and gives.
        """
        if not (self.accepts(input_type) and self.gives(output)):
            takes, gives = ", ".join(self.inputs) or "nothing known", ", ".join(self.outputs) or "nothing known"
            raise Refusal(
                400,
                f"The model {self.name!r} takes {takes} and gives {gives}: it cannot be used with {route}.",
                param="model",
                code="unsupported_model",
            )


@dataclass
class Directory:
    """The models behind one client.

    Args:
        client: of the server that has them.
        aliases: names for some of them: alias -> model URL or id.
        listed: the server's other models go by their ids, and are listed.
        base_url: where others find the server; None: it is ours alone.
    """

    client: Client
    aliases: Mapping[str, str] = field(default_factory=dict)
    listed: bool = True
    base_url: str | None = None
    started: int = field(default_factory=lambda: int(time.time()))
    _served: dict[str, Served] = field(default_factory=dict)

    async def entries(self) -> list[dict[str, object]]:
        """List all names in OpenAI's form."""
        owners = dict.fromkeys(self.aliases, "headrace")
        for info in await self._infos():
            owners.setdefault(info.id, info.user_id)
        return [
            {"id": name, "object": "model", "created": self.started, "owned_by": owner}
            for name, owner in owners.items()
        ]

    async def cards(self) -> list[dict[str, Any]]:
        """Describe each model by what people choose by."""
        cards = [self._card(info.id, info) for info in await self._infos()]
        for alias in self.aliases:
            try:
                cards.append(self._card(alias, await (await self._model(alias)).info()))
            except errors.HeadraceError:  # it stays selectable: its first call reports the problem
                cards.append({"id": alias, "title": alias, "inputs": [], "outputs": [], "task": "other"})
        return cards

    async def card(self, name: str) -> dict[str, Any]:
        """Describe how one model is called: its parameters.

        Raises:
            Refusal: 404, there is no such model.
        """
        served = await self.find(name)
        methods = await served.model.methods()
        method = next((m for m in methods if m.name in ("predict", "generate")), None)
        taken = {"prompt", "text", "image", "audio", "video", "params"}
        parameters = [
            {"name": p.name, "type": p.type, "default": p.default, "description": p.description}
            for p in (method.parameters if method else ())
            if p.name not in taken
        ]
        return {"id": name, "parameters": parameters, "streams": served.streams and "text" in served.outputs}

    @staticmethod
    def _card(name: str, info: ModelInfo) -> dict[str, Any]:
        return {
            "id": name,
            "title": info.title or info.id,
            "task": info.model_type_id,
            "description": info.description,
            "weak_at": info.weak_at,
            "inputs": info.input_fields or (),
            "outputs": info.output_fields or (),
            "size_bytes": info.size_bytes,
            "default_for": info.default_for,
            "url": info.url,
        }

    async def find(self, name: str) -> Served:
        """Return the model of a name: an alias, an id, a short name, or a model's URL.

        Raises:
            Refusal: 404 when there is none, with the nearest name.
        """
        if name not in self._served:
            if len(self._served) >= MAX_KEPT:  # a model's URL can be written in any number of ways
                self._served.clear()
            self._served[name] = await self._look_up(name, await self._model(name))
        return self._served[name]

    async def _model(self, name: str) -> Model:
        if name in self.aliases:
            return self.client.model(self.aliases[name])
        if "/models/" in name:
            try:
                return self.client.model(name)
            except errors.ConfigError as error:
                raise Refusal(404, str(error), param="model", code="model_not_found") from None
        infos = await self._infos()
        for info in infos:
            if name == info.id or name in info.short_names:
                return self.client.model(user_id=info.user_id, app_id=info.app_id, model_id=info.id)
        near = difflib.get_close_matches(name.lower(), [*self.aliases, *(info.id for info in infos)], 1)
        hint = f"did you mean {near[0]!r}?" if near else "GET /v1/models lists the models."
        raise Refusal(
            404,
            f"The model {name[:200]!r} does not exist: {hint}",
            param="model",
            code="model_not_found",
        )

    async def _infos(self) -> list[ModelInfo]:
        return await self.client.models() if self.listed else []

    async def _look_up(self, name: str, model: Model) -> Served:
        known = await abilities_of(model)
        return Served(
            name=name,
            model=model,
            inputs=known.inputs,
            outputs=known.outputs,
            parameters=known.parameters,
            methods=known.methods,
        )
