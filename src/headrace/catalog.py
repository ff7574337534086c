"""What a server says about its models, looked up once and cached: types, typed methods, deployments' users."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import Message

from headrace import codec
from headrace.calls.deadline import Deadline, within
from headrace.calls.options import ResolvedOptions
from headrace.calls.responses import failure_of
from headrace.calls.session import Session
from headrace.calls.unary.call import Encoded, unary
from headrace.credentials import Account
from headrace.errors import ConfigError, InvalidRequest, NotFound
from headrace.inputs import Input, InputType, known_types
from headrace.reference import ModelRef
from headrace.results import Prediction
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc

if TYPE_CHECKING:
    from headrace.methods.signatures import Method

M = TypeVar("M", bound=Message)

_PAGE = 100  # models per page


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A server's description of one of its models. Source: rpc ListModels, GetModelType.

    Attributes:
        task: the title of its type.
        input_fields: the types that it takes; None if the server does not say.
        output_fields: what it answers with; None alike.
        default_for: the types for which an embedded server takes this model if none is named.
        short_names: other ids under which an embedded server knows it.
        size_bytes: of its weights, 0 if the server does not say.
        title: its name for people.
        weak_at: what an embedded server's model is bad at.
    """

    user_id: str
    app_id: str
    id: str
    model_type_id: str
    task: str
    url: str
    description: str = ""
    input_fields: tuple[str, ...] | None = ()
    output_fields: tuple[str, ...] | None = ()
    default_for: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    size_bytes: int = 0
    title: str = ""
    weak_at: str = ""

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from headrace.support import htmltext

        values = ((item.name, getattr(self, item.name)) for item in fields(self))
        said = ((name, ", ".join(v) if isinstance(v, tuple) else v) for name, v in values)
        return htmltext.facts(self.id, [(name, value) for name, value in said if value])


class ModelInfos(list[ModelInfo]):
    """A list of models that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from headrace.support import htmltext

        rows = (
            (one.id, one.task, ", ".join(one.input_fields or ()), ", ".join(one.output_fields or ()), one.description)
            for one in self
        )
        return htmltext.table(("id", "task", "takes", "gives", "description"), rows, len(self))


class Catalog:
    """Cached look-ups at one server.

    Args:
        session: gives the session of its calls; it raises if the client cannot make any.
        account: the default server, user and app.
        timeout: seconds for each look-up; None: no limit.
        other: a catalog whose cache this one shares.
    """

    def __init__(
        self, session: Callable[[], Session], account: Account, timeout: float | None, other: Catalog | None = None
    ) -> None:
        self._session = session
        self._account = account
        self._seconds = timeout
        self._infos: dict[ModelRef, ModelInfo] = other._infos if other else {}
        self._methods: dict[ModelRef, tuple[Method, ...]] = other._methods if other else {}
        self._own_user: list[str] = other._own_user if other else []

    async def models(self, user_id: str | None, app_id: str | None, input_field: str | None) -> list[ModelInfo]:
        """List the models of a user and app, all pages. Source: rpc ListModels, ListModelTypes."""
        deadline = Deadline.after(self._seconds)
        ids = pb.UserAppIDSet(user_id=user_id or self._account.user_id, app_id=app_id or self._account.app_id)
        types = await self._model_types(deadline)
        infos: dict[tuple[str, str, str], ModelInfo] = {}
        for page in itertools.count(1):
            request = rpc.ListModelsRequest(user_app_id=ids, page=page, per_page=_PAGE)
            response = await self._get("ListModels", request, rpc.MultiModelResponse, deadline)
            known = len(infos)
            for model in response.models:
                infos.setdefault((model.user_id, model.app_id, model.id), _info(model, types.get(model.model_type_id)))
            if len(response.models) < _PAGE or len(infos) == known:  # some servers repeat the same page forever
                break
        return ModelInfos(
            info for info in infos.values() if input_field is None or input_field in (info.input_fields or ())
        )

    async def default(self, input_type: str) -> ModelInfo:
        """Choose the model for a type: the server's default, else the first that takes nothing else, else the first.

        Raises:
            NotFound: none takes it.
        """
        models = await self.models(None, None, input_type)
        if not models:
            raise NotFound(f"{self._account.target} has no model that takes {input_type}; name one with model_id")
        return min(models, key=lambda info: (input_type not in info.default_for, len(info.input_fields or ()) > 1))

    async def info(self, ref: ModelRef) -> ModelInfo:
        """Look up a model. Source: rpc GetModel, GetModelType."""
        if ref not in self._infos:
            ids = pb.UserAppIDSet(user_id=ref.user_id, app_id=ref.app_id)
            model_request = rpc.GetModelRequest(user_app_id=ids, model_id=ref.model_id, version_id=ref.version_id)
            model = (await self._get("GetModel", model_request, rpc.SingleModelResponse)).model
            type_request = rpc.GetModelTypeRequest(user_app_id=ids, model_type_id=model.model_type_id)
            type_: pb.ModelType | None = None
            try:
                type_ = (await self._get("GetModelType", type_request, rpc.SingleModelTypeResponse)).model_type
            except InvalidRequest as error:
                if error.name != "UNIMPLEMENTED":
                    raise
            self._infos[ref] = _info(model, type_)
        return self._infos[ref]

    async def input_types(self, ref: ModelRef) -> tuple[InputType, ...]:
        """Look up the types that a model takes.

        Raises:
            ConfigError: it takes none that is known, or the server does not say.
        """
        fields: tuple[str, ...] | None = None
        try:
            fields = (await self.info(ref)).input_fields
        except InvalidRequest as error:
            if error.name != "UNIMPLEMENTED":  # the answer of a bare model runner
                raise
        if fields is None:
            target = self._account.target
            raise ConfigError(f"{target} does not say what its models take: give input_type=")
        return known_types(fields, str(ref))

    async def methods(self, ref: ModelRef, predict: Callable[[Input], Awaitable[Prediction]]) -> Mapping[str, Method]:
        """Look up a model's typed methods; if the server doesn't know them, the model itself is asked.

        Source: rpc GetModelVersion (version "" is the latest).
        """
        if ref not in self._methods:
            methods = await self._published(ref)
            if methods is None:
                from headrace.methods.call import ask_for_methods

                methods = await ask_for_methods(predict)
            self._methods[ref] = methods
        return {method.name: method for method in self._methods[ref]}

    async def _published(self, ref: ModelRef) -> tuple[Method, ...] | None:
        request = rpc.GetModelVersionRequest(
            user_app_id=pb.UserAppIDSet(user_id=ref.user_id, app_id=ref.app_id),
            model_id=ref.model_id,
            version_id=ref.version_id,
        )
        try:
            response = await self._get("GetModelVersion", request, rpc.SingleModelVersionResponse)
        except InvalidRequest:  # not implemented there: a bare model runner
            return None
        from headrace.methods.signatures import Method

        return tuple(Method.of(message) for message in response.model_version.method_signatures) or None

    async def template(self, ref: ModelRef, options: ResolvedOptions, deadline: Deadline) -> bytes:
        """Encode the part of a request that goes before its inputs; the deployment's user may be looked up.

        Raises:
            DeadlineExceeded: the look-up took too long.
        """
        routing = dict(options.routing)
        if routing and "user_id" not in routing:
            async with within(deadline, "looking up the user of the deployment"):
                routing["user_id"] = await self._own_user_id()
        return template(ref, options, routing)

    async def _own_user_id(self) -> str:
        """The default user of deployments: the environment's, else the credential's."""
        if user_id := os.environ.get("CLARIFAI_USER_ID", ""):
            return user_id
        if not self._own_user:
            request = rpc.GetUserRequest(user_app_id=pb.UserAppIDSet(user_id="me"))
            self._own_user.append((await self._get("GetUser", request, rpc.SingleUserResponse)).user.id)
        return self._own_user[0]

    async def _model_types(self, deadline: Deadline) -> dict[str, pb.ModelType]:
        request = rpc.ListModelTypesRequest(page=1, per_page=500)
        try:
            response = await self._get("ListModelTypes", request, rpc.MultiModelTypeResponse, deadline)
        except InvalidRequest as error:
            if error.name != "UNIMPLEMENTED":
                raise
            return {}
        return {type_.id: type_ for type_ in response.model_types}

    async def _get(self, method: str, request: Message, response: type[M], deadline: Deadline | None = None) -> M:
        def parse(raw: bytes) -> M:
            message = codec.decode_as(response, raw)
            error = failure_of(message.status)  # type: ignore[attr-defined]
            if error is not None:
                raise error
            return message

        return await unary(
            self._session(),
            codec.SERVICE + method,
            Encoded([request.SerializeToString()], parse),
            metadata=(),
            timeout=self._seconds if deadline is None else deadline,
            label=method,
        )


def template(ref: ModelRef, options: ResolvedOptions, routing: Mapping[str, str]) -> bytes:
    """Encode the part of a request that goes before its inputs.

    Raises:
        ConfigError: parameters that cannot be sent.
    """
    return codec.template(
        user_id=ref.user_id,
        app_id=ref.app_id,
        model_id=ref.model_id,
        version_id=ref.version_id,
        params=options.params,
        output_config=options.config,
        routing=routing,
    )


def _info(model: pb.Model, type_: pb.ModelType | None) -> ModelInfo:
    """Make the record; an embedded server's statements about the model override those about its type."""
    ref = ModelRef(model.user_id, model.app_id, model.id)
    inputs = _names(model, "input_fields") or (tuple(type_.input_fields) if type_ is not None else None)
    outputs = _names(model, "output_fields") or (tuple(type_.output_fields) if type_ is not None else None)
    size = model.metadata.fields["size_bytes"].number_value if "size_bytes" in model.metadata.fields else 0.0
    return ModelInfo(
        model.user_id,
        model.app_id,
        model.id,
        model.model_type_id,
        (type_.title if type_ is not None else "") or model.model_type_id,
        ref.url,
        model.description,
        inputs,
        outputs,
        _names(model, "default_for"),
        _names(model, "short_names"),
        int(size) if math.isfinite(size) else 0,
        model.display_name,
        model.metadata.fields["weak_at"].string_value if "weak_at" in model.metadata.fields else "",
    )


def _names(model: pb.Model, key: str) -> tuple[str, ...]:
    """Read a list of names of the model's metadata; () if there is none."""
    if key not in model.metadata.fields:
        return ()
    return tuple(value.string_value for value in model.metadata.fields[key].list_value.values if value.string_value)


__all__ = ["Catalog", "ModelInfo", "template"]
