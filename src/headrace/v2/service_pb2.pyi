from headrace.v2 import resources_pb2 as _resources_pb2
from headrace.v2 import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PostModelOutputsRequest(_message.Message):
    __slots__ = ("user_app_id", "model_id", "version_id", "inputs", "model", "runner_selector", "use_predict_cache", "enable_log_summary_on_error")
    USER_APP_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RUNNER_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    USE_PREDICT_CACHE_FIELD_NUMBER: _ClassVar[int]
    ENABLE_LOG_SUMMARY_ON_ERROR_FIELD_NUMBER: _ClassVar[int]
    user_app_id: _resources_pb2.UserAppIDSet
    model_id: str
    version_id: str
    inputs: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Input]
    model: _resources_pb2.Model
    runner_selector: _resources_pb2.RunnerSelector
    use_predict_cache: bool
    enable_log_summary_on_error: bool
    def __init__(self, user_app_id: _Optional[_Union[_resources_pb2.UserAppIDSet, _Mapping[str, _Any]]] = ..., model_id: _Optional[str] = ..., version_id: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_resources_pb2.Input, _Mapping[str, _Any]]]] = ..., model: _Optional[_Union[_resources_pb2.Model, _Mapping[str, _Any]]] = ..., runner_selector: _Optional[_Union[_resources_pb2.RunnerSelector, _Mapping[str, _Any]]] = ..., use_predict_cache: bool = ..., enable_log_summary_on_error: bool = ...) -> None: ...

class MultiOutputResponse(_message.Message):
    __slots__ = ("status", "outputs", "runner_selector")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    RUNNER_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    outputs: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Output]
    runner_selector: _resources_pb2.RunnerSelector
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., outputs: _Optional[_Iterable[_Union[_resources_pb2.Output, _Mapping[str, _Any]]]] = ..., runner_selector: _Optional[_Union[_resources_pb2.RunnerSelector, _Mapping[str, _Any]]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("user_app_id", "model_id", "version_id", "language", "trained_before", "additional_fields")
    USER_APP_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TRAINED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    ADDITIONAL_FIELDS_FIELD_NUMBER: _ClassVar[int]
    user_app_id: _resources_pb2.UserAppIDSet
    model_id: str
    version_id: str
    language: str
    trained_before: bool
    additional_fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, user_app_id: _Optional[_Union[_resources_pb2.UserAppIDSet, _Mapping[str, _Any]]] = ..., model_id: _Optional[str] = ..., version_id: _Optional[str] = ..., language: _Optional[str] = ..., trained_before: bool = ..., additional_fields: _Optional[_Iterable[str]] = ...) -> None: ...

class SingleModelResponse(_message.Message):
    __slots__ = ("status", "model", "workflow_count")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_COUNT_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    model: _resources_pb2.Model
    workflow_count: int
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., model: _Optional[_Union[_resources_pb2.Model, _Mapping[str, _Any]]] = ..., workflow_count: _Optional[int] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("user_app_id", "page", "per_page", "name", "model_type_id", "trained_only", "input_fields", "output_fields", "sort_ascending", "sort_by_name", "sort_by_num_inputs", "sort_by_modified_at", "sort_by_created_at", "sort_by_star_count", "sort_by_relevance", "query", "license", "featured_only", "toolkits", "use_cases", "additional_fields", "starred_only", "languages", "filter_by_user_id", "dont_fetch_from_main", "bookmark", "search", "model_version_ids", "source", "creator", "min_replicas", "show_replicas")
    USER_APP_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    PER_PAGE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPE_ID_FIELD_NUMBER: _ClassVar[int]
    TRAINED_ONLY_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELDS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELDS_FIELD_NUMBER: _ClassVar[int]
    SORT_ASCENDING_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_NAME_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_NUM_INPUTS_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_STAR_COUNT_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    FEATURED_ONLY_FIELD_NUMBER: _ClassVar[int]
    TOOLKITS_FIELD_NUMBER: _ClassVar[int]
    USE_CASES_FIELD_NUMBER: _ClassVar[int]
    ADDITIONAL_FIELDS_FIELD_NUMBER: _ClassVar[int]
    STARRED_ONLY_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    FILTER_BY_USER_ID_FIELD_NUMBER: _ClassVar[int]
    DONT_FETCH_FROM_MAIN_FIELD_NUMBER: _ClassVar[int]
    BOOKMARK_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_IDS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    MIN_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    SHOW_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    user_app_id: _resources_pb2.UserAppIDSet
    page: int
    per_page: int
    name: str
    model_type_id: str
    trained_only: bool
    input_fields: _containers.RepeatedScalarFieldContainer[str]
    output_fields: _containers.RepeatedScalarFieldContainer[str]
    sort_ascending: bool
    sort_by_name: bool
    sort_by_num_inputs: bool
    sort_by_modified_at: bool
    sort_by_created_at: bool
    sort_by_star_count: bool
    sort_by_relevance: bool
    query: str
    license: str
    featured_only: bool
    toolkits: _containers.RepeatedScalarFieldContainer[str]
    use_cases: _containers.RepeatedScalarFieldContainer[str]
    additional_fields: _containers.RepeatedScalarFieldContainer[str]
    starred_only: bool
    languages: _containers.RepeatedScalarFieldContainer[str]
    filter_by_user_id: bool
    dont_fetch_from_main: bool
    bookmark: bool
    search: str
    model_version_ids: _containers.RepeatedScalarFieldContainer[str]
    source: int
    creator: str
    min_replicas: int
    show_replicas: bool
    def __init__(self, user_app_id: _Optional[_Union[_resources_pb2.UserAppIDSet, _Mapping[str, _Any]]] = ..., page: _Optional[int] = ..., per_page: _Optional[int] = ..., name: _Optional[str] = ..., model_type_id: _Optional[str] = ..., trained_only: bool = ..., input_fields: _Optional[_Iterable[str]] = ..., output_fields: _Optional[_Iterable[str]] = ..., sort_ascending: bool = ..., sort_by_name: bool = ..., sort_by_num_inputs: bool = ..., sort_by_modified_at: bool = ..., sort_by_created_at: bool = ..., sort_by_star_count: bool = ..., sort_by_relevance: bool = ..., query: _Optional[str] = ..., license: _Optional[str] = ..., featured_only: bool = ..., toolkits: _Optional[_Iterable[str]] = ..., use_cases: _Optional[_Iterable[str]] = ..., additional_fields: _Optional[_Iterable[str]] = ..., starred_only: bool = ..., languages: _Optional[_Iterable[str]] = ..., filter_by_user_id: bool = ..., dont_fetch_from_main: bool = ..., bookmark: bool = ..., search: _Optional[str] = ..., model_version_ids: _Optional[_Iterable[str]] = ..., source: _Optional[int] = ..., creator: _Optional[str] = ..., min_replicas: _Optional[int] = ..., show_replicas: bool = ...) -> None: ...

class MultiModelResponse(_message.Message):
    __slots__ = ("status", "models")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    models: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Model]
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., models: _Optional[_Iterable[_Union[_resources_pb2.Model, _Mapping[str, _Any]]]] = ...) -> None: ...

class GetModelVersionRequest(_message.Message):
    __slots__ = ("user_app_id", "model_id", "version_id")
    USER_APP_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    user_app_id: _resources_pb2.UserAppIDSet
    model_id: str
    version_id: str
    def __init__(self, user_app_id: _Optional[_Union[_resources_pb2.UserAppIDSet, _Mapping[str, _Any]]] = ..., model_id: _Optional[str] = ..., version_id: _Optional[str] = ...) -> None: ...

class SingleModelVersionResponse(_message.Message):
    __slots__ = ("status", "model_version")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    model_version: _resources_pb2.ModelVersion
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., model_version: _Optional[_Union[_resources_pb2.ModelVersion, _Mapping[str, _Any]]] = ...) -> None: ...

class GetModelTypeRequest(_message.Message):
    __slots__ = ("user_app_id", "model_type_id")
    USER_APP_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPE_ID_FIELD_NUMBER: _ClassVar[int]
    user_app_id: _resources_pb2.UserAppIDSet
    model_type_id: str
    def __init__(self, user_app_id: _Optional[_Union[_resources_pb2.UserAppIDSet, _Mapping[str, _Any]]] = ..., model_type_id: _Optional[str] = ...) -> None: ...

class SingleModelTypeResponse(_message.Message):
    __slots__ = ("status", "model_type")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPE_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    model_type: _resources_pb2.ModelType
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., model_type: _Optional[_Union[_resources_pb2.ModelType, _Mapping[str, _Any]]] = ...) -> None: ...

class ListModelTypesRequest(_message.Message):
    __slots__ = ("user_app_id", "page", "per_page")
    USER_APP_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    PER_PAGE_FIELD_NUMBER: _ClassVar[int]
    user_app_id: _resources_pb2.UserAppIDSet
    page: int
    per_page: int
    def __init__(self, user_app_id: _Optional[_Union[_resources_pb2.UserAppIDSet, _Mapping[str, _Any]]] = ..., page: _Optional[int] = ..., per_page: _Optional[int] = ...) -> None: ...

class MultiModelTypeResponse(_message.Message):
    __slots__ = ("status", "model_types", "model_importers")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPES_FIELD_NUMBER: _ClassVar[int]
    MODEL_IMPORTERS_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    model_types: _containers.RepeatedCompositeFieldContainer[_resources_pb2.ModelType]
    model_importers: _resources_pb2.ModelTypeField
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., model_types: _Optional[_Iterable[_Union[_resources_pb2.ModelType, _Mapping[str, _Any]]]] = ..., model_importers: _Optional[_Union[_resources_pb2.ModelTypeField, _Mapping[str, _Any]]] = ...) -> None: ...

class GetDeploymentRequest(_message.Message):
    __slots__ = ("user_app_id", "deployment_id")
    USER_APP_ID_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    user_app_id: _resources_pb2.UserAppIDSet
    deployment_id: str
    def __init__(self, user_app_id: _Optional[_Union[_resources_pb2.UserAppIDSet, _Mapping[str, _Any]]] = ..., deployment_id: _Optional[str] = ...) -> None: ...

class SingleDeploymentResponse(_message.Message):
    __slots__ = ("status", "deployment")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    deployment: _resources_pb2.Deployment
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., deployment: _Optional[_Union[_resources_pb2.Deployment, _Mapping[str, _Any]]] = ...) -> None: ...

class GetNodepoolRequest(_message.Message):
    __slots__ = ("user_app_id", "compute_cluster_id", "nodepool_id", "active_usage")
    USER_APP_ID_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODEPOOL_ID_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_USAGE_FIELD_NUMBER: _ClassVar[int]
    user_app_id: _resources_pb2.UserAppIDSet
    compute_cluster_id: str
    nodepool_id: str
    active_usage: bool
    def __init__(self, user_app_id: _Optional[_Union[_resources_pb2.UserAppIDSet, _Mapping[str, _Any]]] = ..., compute_cluster_id: _Optional[str] = ..., nodepool_id: _Optional[str] = ..., active_usage: bool = ...) -> None: ...

class SingleNodepoolResponse(_message.Message):
    __slots__ = ("status", "nodepool")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    NODEPOOL_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    nodepool: _resources_pb2.Nodepool
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., nodepool: _Optional[_Union[_resources_pb2.Nodepool, _Mapping[str, _Any]]] = ...) -> None: ...

class GetUserRequest(_message.Message):
    __slots__ = ("user_app_id", "additional_fields")
    USER_APP_ID_FIELD_NUMBER: _ClassVar[int]
    ADDITIONAL_FIELDS_FIELD_NUMBER: _ClassVar[int]
    user_app_id: _resources_pb2.UserAppIDSet
    additional_fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, user_app_id: _Optional[_Union[_resources_pb2.UserAppIDSet, _Mapping[str, _Any]]] = ..., additional_fields: _Optional[_Iterable[str]] = ...) -> None: ...

class SingleUserResponse(_message.Message):
    __slots__ = ("status", "user")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    user: _resources_pb2.User
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., user: _Optional[_Union[_resources_pb2.User, _Mapping[str, _Any]]] = ...) -> None: ...
