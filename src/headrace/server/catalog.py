"""The eight methods that list what exists: models, their types, and the one user, node pool and deployment."""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.message import Message

from headrace.server import envelope
from headrace.server.call import Admission
from headrace.server.hosted import Hosted
from headrace.server.model import Card, ModelError
from headrace.server.registry import ALIASES, Registry
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc

USER, APP = "headrace", "local"
MODEL_TRAINED = 21100
NO_SUCH_TYPE = 11101
R = TypeVar("R", bound=Any)


class Catalog:
    """Answer GetModel, ListModels, GetModelVersion, GetModelType, ListModelTypes, GetUser, GetNodepool, GetDeployment.

    Any user and app ids are accepted and echoed: one server has one owner.
    """

    def __init__(self, registry: Registry, admission: Admission) -> None:
        self._registry = registry
        self._admission = admission

    def behaviours(self) -> dict[str, Any]:
        """Return the coroutine function of each method's name."""
        return {
            "GetModel": self._guarded(self._get_model, rpc.SingleModelResponse),
            "ListModels": self._guarded(self._list_models, rpc.MultiModelResponse),
            "GetModelVersion": self._guarded(self._get_model_version, rpc.SingleModelVersionResponse),
            "GetModelType": self._guarded(self._get_model_type, rpc.SingleModelTypeResponse),
            "ListModelTypes": self._guarded(self._list_model_types, rpc.MultiModelTypeResponse),
            "GetUser": self._guarded(self._get_user, rpc.SingleUserResponse),
            "GetNodepool": self._guarded(self._get_nodepool, rpc.SingleNodepoolResponse),
            "GetDeployment": self._guarded(self._get_deployment, rpc.SingleDeploymentResponse),
        }

    def _guarded(self, behaviour: Any, response: type[Message]) -> Any:
        name = "".join(word.capitalize() for word in behaviour.__name__.split("_"))

        async def method(request: Any, context: Any) -> Any:
            call = self._admission.open(context, name)
            answer: Any
            try:
                if (refused := await call.admit(getattr(request, "model_id", ""))) is not None:
                    raise refused
                answer = await behaviour(request)
                answer.status.CopyFrom(envelope.status(envelope.SUCCESS))
            except ModelError as error:
                answer = response()
                answer.status.CopyFrom(envelope.failure(error))
            answer.status.req_id = call.req_id
            return answer

        return method

    async def _get_model(self, request: rpc.GetModelRequest) -> rpc.SingleModelResponse:
        hosted = await self._registry.get(request.model_id)
        model = self._model(hosted, request.user_app_id)
        model.model_version.method_signatures.extend(m.signature for m in hosted.methods.values())
        return rpc.SingleModelResponse(model=model)

    async def _list_models(self, request: rpc.ListModelsRequest) -> rpc.MultiModelResponse:
        matching = [h for h in await self._registry.all() if _wanted(h.card, h.built_in, request)]
        if request.sort_by_name:
            matching.sort(key=lambda h: h.card.title, reverse=not request.sort_ascending)
        size = min(request.per_page or 100, 1000)
        start = (max(request.page, 1) - 1) * size
        page = matching[start : start + size]
        defaults = await self._defaults()
        response = rpc.MultiModelResponse()
        for hosted in page:
            model = self._model(hosted, request.user_app_id)
            model.metadata.update({"default_for": [kind for kind, name in defaults.items() if name == hosted.id]})
            response.models.append(model)
        return response

    async def _get_model_version(self, request: rpc.GetModelVersionRequest) -> rpc.SingleModelVersionResponse:
        hosted = await self._registry.get(request.model_id)
        model = self._model(hosted, request.user_app_id)
        version = model.model_version
        version.method_signatures.extend(m.signature for m in hosted.methods.values())
        return rpc.SingleModelVersionResponse(model_version=version)

    async def _get_model_type(self, request: rpc.GetModelTypeRequest) -> rpc.SingleModelTypeResponse:
        types = await self._types()
        if request.model_type_id not in types:
            known = ", ".join(types)
            raise ModelError(NO_SUCH_TYPE, f"there is no model type {request.model_type_id!r}; there are: {known}")
        return rpc.SingleModelTypeResponse(model_type=types[request.model_type_id])

    async def _list_model_types(self, request: rpc.ListModelTypesRequest) -> rpc.MultiModelTypeResponse:
        return rpc.MultiModelTypeResponse(model_types=(await self._types()).values())

    async def _get_user(self, request: rpc.GetUserRequest) -> rpc.SingleUserResponse:
        asked = request.user_app_id.user_id
        return rpc.SingleUserResponse(user=pb.User(id=USER if asked in ("", "me") else asked))

    async def _get_nodepool(self, request: rpc.GetNodepoolRequest) -> rpc.SingleNodepoolResponse:
        owner = request.user_app_id.user_id or USER
        return rpc.SingleNodepoolResponse(nodepool=_nodepool(request.nodepool_id, request.compute_cluster_id, owner))

    async def _get_deployment(self, request: rpc.GetDeploymentRequest) -> rpc.SingleDeploymentResponse:
        if not request.deployment_id:
            raise ModelError(envelope.INVALID_REQUEST, "deployment_id is empty")
        owner = request.user_app_id.user_id or USER
        pools = [_nodepool("local", "local", owner)]
        return rpc.SingleDeploymentResponse(
            deployment=pb.Deployment(id=request.deployment_id, user_id=owner, nodepools=pools)
        )

    def _model(self, hosted: Hosted, owner: pb.UserAppIDSet) -> pb.Model:
        card = hosted.card
        user, app = owner.user_id if owner.user_id not in ("", "me") else USER, owner.app_id or APP
        model = pb.Model(id=card.id, name=card.id, display_name=card.title, user_id=user, app_id=app)
        model.model_type_id = _type_id(card)
        model.task = card.task
        model.description = card.description
        model.metadata.update(_beyond(card))
        version = model.model_version
        version.user_id, version.app_id, version.license = user, app, card.licence
        version.status.CopyFrom(envelope.status(MODEL_TRAINED))
        return model

    async def _defaults(self) -> dict[str, str]:
        """Return the default model of each kind of input: the first that says it takes it, echo last of all.

        Models whose weights must be fetched by name are not defaults while these are missing.
        """
        from headrace.server import weights

        defaults: dict[str, str] = {}
        for hosted in sorted(await self._registry.all(), key=lambda h: (not h.described, h.card.task == "echo")):
            if not weights.at_hand(hosted.card.weights):
                continue
            for kind in hosted.card.input_fields:
                defaults.setdefault(kind, hosted.id)
        return defaults

    async def _types(self) -> dict[str, pb.ModelType]:
        types: dict[str, pb.ModelType] = {}
        for hosted in await self._registry.all():
            card, type_id = hosted.card, _type_id(hosted.card)
            known = types.get(type_id)
            if known is None:
                title = card.task.replace("-", " ").capitalize()
                types[type_id] = pb.ModelType(
                    id=type_id, title=title, input_fields=card.input_fields, output_fields=card.output_fields
                )
            else:  # inputs that all models of the type take; outputs that any of them gives
                shared = [kind for kind in known.input_fields if kind in card.input_fields]
                known.input_fields[:] = shared or known.input_fields
                known.output_fields.extend(f for f in card.output_fields if f not in known.output_fields)
        return types


#: What models of a task take, by the first word of its name.
_USUAL_INPUTS = {"visual": {"image"}, "image": {"image"}, "video": {"video"}, "audio": {"audio"}, "text": {"text"}}


def _type_id(card: Card) -> str:
    """Name a model's type: its task, and its inputs if they are not those of the task.

    Clients look up what a model takes by its type, so models that take different inputs have different types.
    """
    usual = _USUAL_INPUTS.get(card.task.partition("-")[0])
    if usual is None or usual == set(card.input_fields):
        return card.task
    return f"{card.task}-{'-'.join(card.input_fields)}"


def _beyond(card: Card) -> dict[str, Any]:
    """Return what a card says beyond the protocol's own fields, as `Model.metadata`."""
    return {
        "input_fields": list(card.input_fields),
        "output_fields": list(card.output_fields),
        "licence": card.licence,
        "provenance": card.provenance,
        "size_bytes": card.size_bytes,
        "weak_at": card.weak_at,
        "sample": card.sample,
        "short_names": [short for short, name in ALIASES.items() if name == card.id],
    }


def _wanted(card: Card, built_in: bool, request: rpc.ListModelsRequest) -> bool:
    """Return whether a request to list models means this one; featured are those that come with the server."""
    words = " ".join((card.id, card.title, card.description, card.task)).casefold()
    asked = (request.search or request.query or request.name).casefold()
    return (
        (not request.model_type_id or request.model_type_id in (card.task, _type_id(card)))
        and (not request.featured_only or built_in)
        and all(kind in card.input_fields for kind in request.input_fields)
        and all(kind in card.output_fields for kind in request.output_fields)
        and (not asked or asked in words)
    )


def _nodepool(nodepool_id: str, cluster_id: str, owner: str) -> pb.Nodepool:
    cluster = pb.ComputeCluster(id=cluster_id, user_id=owner)
    return pb.Nodepool(id=nodepool_id, compute_cluster=cluster)
