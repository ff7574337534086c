from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import wrappers_pb2 as _wrappers_pb2
from headrace.v2 import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunnerMethodType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNKNOWN: _ClassVar[RunnerMethodType]
    UNARY_UNARY: _ClassVar[RunnerMethodType]
    UNARY_STREAMING: _ClassVar[RunnerMethodType]
    STREAMING_UNARY: _ClassVar[RunnerMethodType]
    STREAMING_STREAMING: _ClassVar[RunnerMethodType]
UNKNOWN: RunnerMethodType
UNARY_UNARY: RunnerMethodType
UNARY_STREAMING: RunnerMethodType
STREAMING_UNARY: RunnerMethodType
STREAMING_STREAMING: RunnerMethodType

class UserAppIDSet(_message.Message):
    __slots__ = ("user_id", "app_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    app_id: str
    def __init__(self, user_id: _Optional[str] = ..., app_id: _Optional[str] = ...) -> None: ...

class User(_message.Message):
    __slots__ = ("id", "primary_email", "first_name", "last_name", "company_name", "created_at", "bill_type", "date_gdpr_consent", "date_tos_consent", "date_marketing_consent", "metadata", "two_factor_auth_enabled", "teams_count", "job_title", "job_role", "is_starred", "star_count", "date_pii_consent", "intention", "referral_source", "image")
    ID_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_EMAIL_FIELD_NUMBER: _ClassVar[int]
    FIRST_NAME_FIELD_NUMBER: _ClassVar[int]
    LAST_NAME_FIELD_NUMBER: _ClassVar[int]
    COMPANY_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    BILL_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATE_GDPR_CONSENT_FIELD_NUMBER: _ClassVar[int]
    DATE_TOS_CONSENT_FIELD_NUMBER: _ClassVar[int]
    DATE_MARKETING_CONSENT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TWO_FACTOR_AUTH_ENABLED_FIELD_NUMBER: _ClassVar[int]
    TEAMS_COUNT_FIELD_NUMBER: _ClassVar[int]
    JOB_TITLE_FIELD_NUMBER: _ClassVar[int]
    JOB_ROLE_FIELD_NUMBER: _ClassVar[int]
    IS_STARRED_FIELD_NUMBER: _ClassVar[int]
    STAR_COUNT_FIELD_NUMBER: _ClassVar[int]
    DATE_PII_CONSENT_FIELD_NUMBER: _ClassVar[int]
    INTENTION_FIELD_NUMBER: _ClassVar[int]
    REFERRAL_SOURCE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    primary_email: str
    first_name: str
    last_name: str
    company_name: str
    created_at: _timestamp_pb2.Timestamp
    bill_type: str
    date_gdpr_consent: _timestamp_pb2.Timestamp
    date_tos_consent: _timestamp_pb2.Timestamp
    date_marketing_consent: _timestamp_pb2.Timestamp
    metadata: _struct_pb2.Struct
    two_factor_auth_enabled: bool
    teams_count: int
    job_title: str
    job_role: str
    is_starred: bool
    star_count: int
    date_pii_consent: _timestamp_pb2.Timestamp
    intention: str
    referral_source: str
    image: Image
    def __init__(self, id: _Optional[str] = ..., primary_email: _Optional[str] = ..., first_name: _Optional[str] = ..., last_name: _Optional[str] = ..., company_name: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., bill_type: _Optional[str] = ..., date_gdpr_consent: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., date_tos_consent: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., date_marketing_consent: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., two_factor_auth_enabled: bool = ..., teams_count: _Optional[int] = ..., job_title: _Optional[str] = ..., job_role: _Optional[str] = ..., is_starred: bool = ..., star_count: _Optional[int] = ..., date_pii_consent: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., intention: _Optional[str] = ..., referral_source: _Optional[str] = ..., image: _Optional[_Union[Image, _Mapping[str, _Any]]] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("id", "data", "created_at", "modified_at", "status", "dataset_ids")
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DATASET_IDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    data: Data
    created_at: _timestamp_pb2.Timestamp
    modified_at: _timestamp_pb2.Timestamp
    status: _status_pb2.Status
    dataset_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., data: _Optional[_Union[Data, _Mapping[str, _Any]]] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., modified_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., dataset_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("id", "status", "created_at", "model", "input", "data", "prompt_tokens", "completion_tokens", "cached_tokens")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: _status_pb2.Status
    created_at: _timestamp_pb2.Timestamp
    model: Model
    input: Input
    data: Data
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., model: _Optional[_Union[Model, _Mapping[str, _Any]]] = ..., input: _Optional[_Union[Input, _Mapping[str, _Any]]] = ..., data: _Optional[_Union[Data, _Mapping[str, _Any]]] = ..., prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ...) -> None: ...

class Data(_message.Message):
    __slots__ = ("image", "video", "concepts", "metadata", "geo", "colors", "clusters", "embeddings", "regions", "frames", "text", "audio", "tracks", "time_segments", "hits", "heatmaps", "parts", "ndarray", "int_value", "float_value", "bytes_value", "bool_value", "string_value", "struct_value")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    CONCEPTS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    GEO_FIELD_NUMBER: _ClassVar[int]
    COLORS_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    TIME_SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    HEATMAPS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    NDARRAY_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    FLOAT_VALUE_FIELD_NUMBER: _ClassVar[int]
    BYTES_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRUCT_VALUE_FIELD_NUMBER: _ClassVar[int]
    image: Image
    video: Video
    concepts: _containers.RepeatedCompositeFieldContainer[Concept]
    metadata: _struct_pb2.Struct
    geo: Geo
    colors: _containers.RepeatedCompositeFieldContainer[Color]
    clusters: _containers.RepeatedCompositeFieldContainer[Cluster]
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    regions: _containers.RepeatedCompositeFieldContainer[Region]
    frames: _containers.RepeatedCompositeFieldContainer[Frame]
    text: Text
    audio: Audio
    tracks: _containers.RepeatedCompositeFieldContainer[Track]
    time_segments: _containers.RepeatedCompositeFieldContainer[TimeSegment]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    heatmaps: _containers.RepeatedCompositeFieldContainer[Image]
    parts: _containers.RepeatedCompositeFieldContainer[Part]
    ndarray: NDArray
    int_value: int
    float_value: float
    bytes_value: bytes
    bool_value: bool
    string_value: str
    struct_value: _struct_pb2.Struct
    def __init__(self, image: _Optional[_Union[Image, _Mapping[str, _Any]]] = ..., video: _Optional[_Union[Video, _Mapping[str, _Any]]] = ..., concepts: _Optional[_Iterable[_Union[Concept, _Mapping[str, _Any]]]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., geo: _Optional[_Union[Geo, _Mapping[str, _Any]]] = ..., colors: _Optional[_Iterable[_Union[Color, _Mapping[str, _Any]]]] = ..., clusters: _Optional[_Iterable[_Union[Cluster, _Mapping[str, _Any]]]] = ..., embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping[str, _Any]]]] = ..., regions: _Optional[_Iterable[_Union[Region, _Mapping[str, _Any]]]] = ..., frames: _Optional[_Iterable[_Union[Frame, _Mapping[str, _Any]]]] = ..., text: _Optional[_Union[Text, _Mapping[str, _Any]]] = ..., audio: _Optional[_Union[Audio, _Mapping[str, _Any]]] = ..., tracks: _Optional[_Iterable[_Union[Track, _Mapping[str, _Any]]]] = ..., time_segments: _Optional[_Iterable[_Union[TimeSegment, _Mapping[str, _Any]]]] = ..., hits: _Optional[_Iterable[_Union[Hit, _Mapping[str, _Any]]]] = ..., heatmaps: _Optional[_Iterable[_Union[Image, _Mapping[str, _Any]]]] = ..., parts: _Optional[_Iterable[_Union[Part, _Mapping[str, _Any]]]] = ..., ndarray: _Optional[_Union[NDArray, _Mapping[str, _Any]]] = ..., int_value: _Optional[int] = ..., float_value: _Optional[float] = ..., bytes_value: _Optional[bytes] = ..., bool_value: bool = ..., string_value: _Optional[str] = ..., struct_value: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("url", "base64", "allow_duplicate_url", "hosted", "image_info", "hosted_image_info", "decoded_bytes")
    class HostedImageInfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ImageInfo
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ImageInfo, _Mapping[str, _Any]]] = ...) -> None: ...
    URL_FIELD_NUMBER: _ClassVar[int]
    BASE64_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DUPLICATE_URL_FIELD_NUMBER: _ClassVar[int]
    HOSTED_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INFO_FIELD_NUMBER: _ClassVar[int]
    HOSTED_IMAGE_INFO_FIELD_NUMBER: _ClassVar[int]
    DECODED_BYTES_FIELD_NUMBER: _ClassVar[int]
    url: str
    base64: bytes
    allow_duplicate_url: bool
    hosted: HostedURL
    image_info: ImageInfo
    hosted_image_info: _containers.MessageMap[str, ImageInfo]
    decoded_bytes: bytes
    def __init__(self, url: _Optional[str] = ..., base64: _Optional[bytes] = ..., allow_duplicate_url: bool = ..., hosted: _Optional[_Union[HostedURL, _Mapping[str, _Any]]] = ..., image_info: _Optional[_Union[ImageInfo, _Mapping[str, _Any]]] = ..., hosted_image_info: _Optional[_Mapping[str, ImageInfo]] = ..., decoded_bytes: _Optional[bytes] = ...) -> None: ...

class ImageInfo(_message.Message):
    __slots__ = ("width", "height", "format", "color_mode", "mode")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    COLOR_MODE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    format: str
    color_mode: str
    mode: str
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., format: _Optional[str] = ..., color_mode: _Optional[str] = ..., mode: _Optional[str] = ...) -> None: ...

class Video(_message.Message):
    __slots__ = ("url", "base64", "allow_duplicate_url", "thumbnail_url", "hosted", "video_info", "hosted_thumbnail")
    URL_FIELD_NUMBER: _ClassVar[int]
    BASE64_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DUPLICATE_URL_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_URL_FIELD_NUMBER: _ClassVar[int]
    HOSTED_FIELD_NUMBER: _ClassVar[int]
    VIDEO_INFO_FIELD_NUMBER: _ClassVar[int]
    HOSTED_THUMBNAIL_FIELD_NUMBER: _ClassVar[int]
    url: str
    base64: bytes
    allow_duplicate_url: bool
    thumbnail_url: str
    hosted: HostedURL
    video_info: VideoInfo
    hosted_thumbnail: HostedURL
    def __init__(self, url: _Optional[str] = ..., base64: _Optional[bytes] = ..., allow_duplicate_url: bool = ..., thumbnail_url: _Optional[str] = ..., hosted: _Optional[_Union[HostedURL, _Mapping[str, _Any]]] = ..., video_info: _Optional[_Union[VideoInfo, _Mapping[str, _Any]]] = ..., hosted_thumbnail: _Optional[_Union[HostedURL, _Mapping[str, _Any]]] = ...) -> None: ...

class VideoInfo(_message.Message):
    __slots__ = ("width", "height", "fps", "video_format", "bit_rate", "frame_count", "duration_seconds")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FORMAT_FIELD_NUMBER: _ClassVar[int]
    BIT_RATE_FIELD_NUMBER: _ClassVar[int]
    FRAME_COUNT_FIELD_NUMBER: _ClassVar[int]
    DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    fps: float
    video_format: str
    bit_rate: int
    frame_count: int
    duration_seconds: float
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., fps: _Optional[float] = ..., video_format: _Optional[str] = ..., bit_rate: _Optional[int] = ..., frame_count: _Optional[int] = ..., duration_seconds: _Optional[float] = ...) -> None: ...

class Audio(_message.Message):
    __slots__ = ("url", "base64", "allow_duplicate_url", "hosted", "audio_info")
    URL_FIELD_NUMBER: _ClassVar[int]
    BASE64_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DUPLICATE_URL_FIELD_NUMBER: _ClassVar[int]
    HOSTED_FIELD_NUMBER: _ClassVar[int]
    AUDIO_INFO_FIELD_NUMBER: _ClassVar[int]
    url: str
    base64: bytes
    allow_duplicate_url: bool
    hosted: HostedURL
    audio_info: AudioInfo
    def __init__(self, url: _Optional[str] = ..., base64: _Optional[bytes] = ..., allow_duplicate_url: bool = ..., hosted: _Optional[_Union[HostedURL, _Mapping[str, _Any]]] = ..., audio_info: _Optional[_Union[AudioInfo, _Mapping[str, _Any]]] = ...) -> None: ...

class AudioInfo(_message.Message):
    __slots__ = ("audio_format", "sample_rate", "duration_seconds", "bit_rate")
    AUDIO_FORMAT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_FIELD_NUMBER: _ClassVar[int]
    DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BIT_RATE_FIELD_NUMBER: _ClassVar[int]
    audio_format: str
    sample_rate: int
    duration_seconds: float
    bit_rate: int
    def __init__(self, audio_format: _Optional[str] = ..., sample_rate: _Optional[int] = ..., duration_seconds: _Optional[float] = ..., bit_rate: _Optional[int] = ...) -> None: ...

class Text(_message.Message):
    __slots__ = ("raw", "url", "allow_duplicate_url", "hosted", "text_info")
    RAW_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DUPLICATE_URL_FIELD_NUMBER: _ClassVar[int]
    HOSTED_FIELD_NUMBER: _ClassVar[int]
    TEXT_INFO_FIELD_NUMBER: _ClassVar[int]
    raw: str
    url: str
    allow_duplicate_url: bool
    hosted: HostedURL
    text_info: TextInfo
    def __init__(self, raw: _Optional[str] = ..., url: _Optional[str] = ..., allow_duplicate_url: bool = ..., hosted: _Optional[_Union[HostedURL, _Mapping[str, _Any]]] = ..., text_info: _Optional[_Union[TextInfo, _Mapping[str, _Any]]] = ...) -> None: ...

class TextInfo(_message.Message):
    __slots__ = ("char_count", "encoding")
    CHAR_COUNT_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    char_count: int
    encoding: str
    def __init__(self, char_count: _Optional[int] = ..., encoding: _Optional[str] = ...) -> None: ...

class HostedURL(_message.Message):
    __slots__ = ("prefix", "suffix", "sizes", "crossorigin")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    SUFFIX_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    CROSSORIGIN_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    suffix: str
    sizes: _containers.RepeatedScalarFieldContainer[str]
    crossorigin: str
    def __init__(self, prefix: _Optional[str] = ..., suffix: _Optional[str] = ..., sizes: _Optional[_Iterable[str]] = ..., crossorigin: _Optional[str] = ...) -> None: ...

class NDArray(_message.Message):
    __slots__ = ("buffer", "shape", "dtype")
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    buffer: bytes
    shape: _containers.RepeatedScalarFieldContainer[int]
    dtype: str
    def __init__(self, buffer: _Optional[bytes] = ..., shape: _Optional[_Iterable[int]] = ..., dtype: _Optional[str] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("data", "id")
    DATA_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    data: Data
    id: str
    def __init__(self, data: _Optional[_Union[Data, _Mapping[str, _Any]]] = ..., id: _Optional[str] = ...) -> None: ...

class Concept(_message.Message):
    __slots__ = ("id", "name", "value", "created_at", "language", "app_id", "definition", "vocab_id", "user_id", "metadata", "image")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    VOCAB_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    value: float
    created_at: _timestamp_pb2.Timestamp
    language: str
    app_id: str
    definition: str
    vocab_id: str
    user_id: str
    metadata: _struct_pb2.Struct
    image: Image
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., value: _Optional[float] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., language: _Optional[str] = ..., app_id: _Optional[str] = ..., definition: _Optional[str] = ..., vocab_id: _Optional[str] = ..., user_id: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., image: _Optional[_Union[Image, _Mapping[str, _Any]]] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("id", "region_info", "data", "value", "track_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    REGION_INFO_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    region_info: RegionInfo
    data: Data
    value: float
    track_id: str
    def __init__(self, id: _Optional[str] = ..., region_info: _Optional[_Union[RegionInfo, _Mapping[str, _Any]]] = ..., data: _Optional[_Union[Data, _Mapping[str, _Any]]] = ..., value: _Optional[float] = ..., track_id: _Optional[str] = ...) -> None: ...

class RegionInfo(_message.Message):
    __slots__ = ("bounding_box", "mask", "polygon", "point", "span", "token", "keypoint_locations")
    BOUNDING_BOX_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    POLYGON_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    KEYPOINT_LOCATIONS_FIELD_NUMBER: _ClassVar[int]
    bounding_box: BoundingBox
    mask: Mask
    polygon: Polygon
    point: Point
    span: Span
    token: Token
    keypoint_locations: _containers.RepeatedCompositeFieldContainer[Point]
    def __init__(self, bounding_box: _Optional[_Union[BoundingBox, _Mapping[str, _Any]]] = ..., mask: _Optional[_Union[Mask, _Mapping[str, _Any]]] = ..., polygon: _Optional[_Union[Polygon, _Mapping[str, _Any]]] = ..., point: _Optional[_Union[Point, _Mapping[str, _Any]]] = ..., span: _Optional[_Union[Span, _Mapping[str, _Any]]] = ..., token: _Optional[_Union[Token, _Mapping[str, _Any]]] = ..., keypoint_locations: _Optional[_Iterable[_Union[Point, _Mapping[str, _Any]]]] = ...) -> None: ...

class BoundingBox(_message.Message):
    __slots__ = ("top_row", "left_col", "bottom_row", "right_col")
    TOP_ROW_FIELD_NUMBER: _ClassVar[int]
    LEFT_COL_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_ROW_FIELD_NUMBER: _ClassVar[int]
    RIGHT_COL_FIELD_NUMBER: _ClassVar[int]
    top_row: float
    left_col: float
    bottom_row: float
    right_col: float
    def __init__(self, top_row: _Optional[float] = ..., left_col: _Optional[float] = ..., bottom_row: _Optional[float] = ..., right_col: _Optional[float] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: Image
    def __init__(self, image: _Optional[_Union[Image, _Mapping[str, _Any]]] = ...) -> None: ...

class Polygon(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[Point]
    def __init__(self, points: _Optional[_Iterable[_Union[Point, _Mapping[str, _Any]]]] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("row", "col", "z", "visibility")
    class Visibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NOT_SET: _ClassVar[Point.Visibility]
        VISIBLE: _ClassVar[Point.Visibility]
        NOT_VISIBLE: _ClassVar[Point.Visibility]
        NOT_PRESENT: _ClassVar[Point.Visibility]
    NOT_SET: Point.Visibility
    VISIBLE: Point.Visibility
    NOT_VISIBLE: Point.Visibility
    NOT_PRESENT: Point.Visibility
    ROW_FIELD_NUMBER: _ClassVar[int]
    COL_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    row: float
    col: float
    z: float
    visibility: Point.Visibility
    def __init__(self, row: _Optional[float] = ..., col: _Optional[float] = ..., z: _Optional[float] = ..., visibility: _Optional[_Union[Point.Visibility, str]] = ...) -> None: ...

class Span(_message.Message):
    __slots__ = ("char_start", "char_end", "raw_text")
    CHAR_START_FIELD_NUMBER: _ClassVar[int]
    CHAR_END_FIELD_NUMBER: _ClassVar[int]
    RAW_TEXT_FIELD_NUMBER: _ClassVar[int]
    char_start: int
    char_end: int
    raw_text: str
    def __init__(self, char_start: _Optional[int] = ..., char_end: _Optional[int] = ..., raw_text: _Optional[str] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("char_start", "char_end", "raw_text")
    CHAR_START_FIELD_NUMBER: _ClassVar[int]
    CHAR_END_FIELD_NUMBER: _ClassVar[int]
    RAW_TEXT_FIELD_NUMBER: _ClassVar[int]
    char_start: int
    char_end: int
    raw_text: str
    def __init__(self, char_start: _Optional[int] = ..., char_end: _Optional[int] = ..., raw_text: _Optional[str] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("vector", "num_dimensions")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    NUM_DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    vector: _containers.RepeatedScalarFieldContainer[float]
    num_dimensions: int
    def __init__(self, vector: _Optional[_Iterable[float]] = ..., num_dimensions: _Optional[int] = ...) -> None: ...

class Color(_message.Message):
    __slots__ = ("raw_hex", "w3c", "value")
    RAW_HEX_FIELD_NUMBER: _ClassVar[int]
    W3C_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    raw_hex: str
    w3c: W3C
    value: float
    def __init__(self, raw_hex: _Optional[str] = ..., w3c: _Optional[_Union[W3C, _Mapping[str, _Any]]] = ..., value: _Optional[float] = ...) -> None: ...

class W3C(_message.Message):
    __slots__ = ("hex", "name")
    HEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    hex: str
    name: str
    def __init__(self, hex: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Cluster(_message.Message):
    __slots__ = ("id", "count", "score", "hits", "projection")
    ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_FIELD_NUMBER: _ClassVar[int]
    id: str
    count: int
    score: float
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    projection: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, id: _Optional[str] = ..., count: _Optional[int] = ..., score: _Optional[float] = ..., hits: _Optional[_Iterable[_Union[Hit, _Mapping[str, _Any]]]] = ..., projection: _Optional[_Iterable[float]] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("score", "input", "user_id", "app_id")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    score: float
    input: Input
    user_id: str
    app_id: str
    def __init__(self, score: _Optional[float] = ..., input: _Optional[_Union[Input, _Mapping[str, _Any]]] = ..., user_id: _Optional[str] = ..., app_id: _Optional[str] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("frame_info", "data", "id")
    FRAME_INFO_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    frame_info: FrameInfo
    data: Data
    id: str
    def __init__(self, frame_info: _Optional[_Union[FrameInfo, _Mapping[str, _Any]]] = ..., data: _Optional[_Union[Data, _Mapping[str, _Any]]] = ..., id: _Optional[str] = ...) -> None: ...

class FrameInfo(_message.Message):
    __slots__ = ("index", "time", "number")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    index: int
    time: int
    number: int
    def __init__(self, index: _Optional[int] = ..., time: _Optional[int] = ..., number: _Optional[int] = ...) -> None: ...

class Track(_message.Message):
    __slots__ = ("id", "data", "time_info", "quality")
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TIME_INFO_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    id: str
    data: Data
    time_info: TimeInfo
    quality: float
    def __init__(self, id: _Optional[str] = ..., data: _Optional[_Union[Data, _Mapping[str, _Any]]] = ..., time_info: _Optional[_Union[TimeInfo, _Mapping[str, _Any]]] = ..., quality: _Optional[float] = ...) -> None: ...

class TimeSegment(_message.Message):
    __slots__ = ("id", "data", "time_info")
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TIME_INFO_FIELD_NUMBER: _ClassVar[int]
    id: str
    data: Data
    time_info: TimeInfo
    def __init__(self, id: _Optional[str] = ..., data: _Optional[_Union[Data, _Mapping[str, _Any]]] = ..., time_info: _Optional[_Union[TimeInfo, _Mapping[str, _Any]]] = ...) -> None: ...

class TimeInfo(_message.Message):
    __slots__ = ("num_frames", "begin_time", "end_time")
    NUM_FRAMES_FIELD_NUMBER: _ClassVar[int]
    BEGIN_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    num_frames: int
    begin_time: float
    end_time: float
    def __init__(self, num_frames: _Optional[int] = ..., begin_time: _Optional[float] = ..., end_time: _Optional[float] = ...) -> None: ...

class Geo(_message.Message):
    __slots__ = ("geo_point", "geo_limit", "geo_box")
    GEO_POINT_FIELD_NUMBER: _ClassVar[int]
    GEO_LIMIT_FIELD_NUMBER: _ClassVar[int]
    GEO_BOX_FIELD_NUMBER: _ClassVar[int]
    geo_point: GeoPoint
    geo_limit: GeoLimit
    geo_box: _containers.RepeatedCompositeFieldContainer[GeoBoxedPoint]
    def __init__(self, geo_point: _Optional[_Union[GeoPoint, _Mapping[str, _Any]]] = ..., geo_limit: _Optional[_Union[GeoLimit, _Mapping[str, _Any]]] = ..., geo_box: _Optional[_Iterable[_Union[GeoBoxedPoint, _Mapping[str, _Any]]]] = ...) -> None: ...

class GeoPoint(_message.Message):
    __slots__ = ("longitude", "latitude")
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    longitude: float
    latitude: float
    def __init__(self, longitude: _Optional[float] = ..., latitude: _Optional[float] = ...) -> None: ...

class GeoLimit(_message.Message):
    __slots__ = ("type", "value")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    type: str
    value: float
    def __init__(self, type: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class GeoBoxedPoint(_message.Message):
    __slots__ = ("geo_point",)
    GEO_POINT_FIELD_NUMBER: _ClassVar[int]
    geo_point: GeoPoint
    def __init__(self, geo_point: _Optional[_Union[GeoPoint, _Mapping[str, _Any]]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("id", "name", "created_at", "app_id", "output_info", "model_version", "display_name", "user_id", "model_type_id", "description", "metadata", "notes", "modified_at", "toolkits", "use_cases", "is_starred", "star_count", "languages", "task", "presets", "workflow_recommended", "check_consents", "image", "creator", "version_count", "featured_order", "replica_count")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_INFO_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPE_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    TOOLKITS_FIELD_NUMBER: _ClassVar[int]
    USE_CASES_FIELD_NUMBER: _ClassVar[int]
    IS_STARRED_FIELD_NUMBER: _ClassVar[int]
    STAR_COUNT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PRESETS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_RECOMMENDED_FIELD_NUMBER: _ClassVar[int]
    CHECK_CONSENTS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    VERSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    FEATURED_ORDER_FIELD_NUMBER: _ClassVar[int]
    REPLICA_COUNT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    created_at: _timestamp_pb2.Timestamp
    app_id: str
    output_info: OutputInfo
    model_version: ModelVersion
    display_name: str
    user_id: str
    model_type_id: str
    description: str
    metadata: _struct_pb2.Struct
    notes: str
    modified_at: _timestamp_pb2.Timestamp
    toolkits: _containers.RepeatedScalarFieldContainer[str]
    use_cases: _containers.RepeatedScalarFieldContainer[str]
    is_starred: bool
    star_count: int
    languages: _containers.RepeatedScalarFieldContainer[str]
    task: str
    presets: _struct_pb2.Struct
    workflow_recommended: _wrappers_pb2.BoolValue
    check_consents: _containers.RepeatedScalarFieldContainer[str]
    image: Image
    creator: str
    version_count: int
    featured_order: _wrappers_pb2.Int32Value
    replica_count: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., app_id: _Optional[str] = ..., output_info: _Optional[_Union[OutputInfo, _Mapping[str, _Any]]] = ..., model_version: _Optional[_Union[ModelVersion, _Mapping[str, _Any]]] = ..., display_name: _Optional[str] = ..., user_id: _Optional[str] = ..., model_type_id: _Optional[str] = ..., description: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., notes: _Optional[str] = ..., modified_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., toolkits: _Optional[_Iterable[str]] = ..., use_cases: _Optional[_Iterable[str]] = ..., is_starred: bool = ..., star_count: _Optional[int] = ..., languages: _Optional[_Iterable[str]] = ..., task: _Optional[str] = ..., presets: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., workflow_recommended: _Optional[_Union[_wrappers_pb2.BoolValue, _Mapping[str, _Any]]] = ..., check_consents: _Optional[_Iterable[str]] = ..., image: _Optional[_Union[Image, _Mapping[str, _Any]]] = ..., creator: _Optional[str] = ..., version_count: _Optional[int] = ..., featured_order: _Optional[_Union[_wrappers_pb2.Int32Value, _Mapping[str, _Any]]] = ..., replica_count: _Optional[int] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("id", "created_at", "status", "active_concept_count", "total_input_count", "completed_at", "description", "app_id", "user_id", "modified_at", "metadata", "license", "output_info", "input_info", "train_log", "method_signatures", "num_threads")
    ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_CONCEPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_INPUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_INFO_FIELD_NUMBER: _ClassVar[int]
    INPUT_INFO_FIELD_NUMBER: _ClassVar[int]
    TRAIN_LOG_FIELD_NUMBER: _ClassVar[int]
    METHOD_SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    NUM_THREADS_FIELD_NUMBER: _ClassVar[int]
    id: str
    created_at: _timestamp_pb2.Timestamp
    status: _status_pb2.Status
    active_concept_count: int
    total_input_count: int
    completed_at: _timestamp_pb2.Timestamp
    description: str
    app_id: str
    user_id: str
    modified_at: _timestamp_pb2.Timestamp
    metadata: _struct_pb2.Struct
    license: str
    output_info: OutputInfo
    input_info: InputInfo
    train_log: str
    method_signatures: _containers.RepeatedCompositeFieldContainer[MethodSignature]
    num_threads: int
    def __init__(self, id: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping[str, _Any]]] = ..., active_concept_count: _Optional[int] = ..., total_input_count: _Optional[int] = ..., completed_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., description: _Optional[str] = ..., app_id: _Optional[str] = ..., user_id: _Optional[str] = ..., modified_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., license: _Optional[str] = ..., output_info: _Optional[_Union[OutputInfo, _Mapping[str, _Any]]] = ..., input_info: _Optional[_Union[InputInfo, _Mapping[str, _Any]]] = ..., train_log: _Optional[str] = ..., method_signatures: _Optional[_Iterable[_Union[MethodSignature, _Mapping[str, _Any]]]] = ..., num_threads: _Optional[int] = ...) -> None: ...

class OutputInfo(_message.Message):
    __slots__ = ("data", "output_config", "message", "fields_map", "params", "params_specs")
    DATA_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_CONFIG_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_MAP_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    PARAMS_SPECS_FIELD_NUMBER: _ClassVar[int]
    data: Data
    output_config: OutputConfig
    message: str
    fields_map: _struct_pb2.Struct
    params: _struct_pb2.Struct
    params_specs: _containers.RepeatedCompositeFieldContainer[ModelTypeField]
    def __init__(self, data: _Optional[_Union[Data, _Mapping[str, _Any]]] = ..., output_config: _Optional[_Union[OutputConfig, _Mapping[str, _Any]]] = ..., message: _Optional[str] = ..., fields_map: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., params: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., params_specs: _Optional[_Iterable[_Union[ModelTypeField, _Mapping[str, _Any]]]] = ...) -> None: ...

class OutputConfig(_message.Message):
    __slots__ = ("concepts_mutually_exclusive", "existing_model_id", "language", "hyper_parameters", "max_concepts", "min_value", "select_concepts", "training_timeout", "sample_ms", "hyper_params", "embed_model_version_id", "fail_on_missing_positive_examples", "model_metadata")
    CONCEPTS_MUTUALLY_EXCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    EXISTING_MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    HYPER_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCEPTS_FIELD_NUMBER: _ClassVar[int]
    MIN_VALUE_FIELD_NUMBER: _ClassVar[int]
    SELECT_CONCEPTS_FIELD_NUMBER: _ClassVar[int]
    TRAINING_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_MS_FIELD_NUMBER: _ClassVar[int]
    HYPER_PARAMS_FIELD_NUMBER: _ClassVar[int]
    EMBED_MODEL_VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    FAIL_ON_MISSING_POSITIVE_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    MODEL_METADATA_FIELD_NUMBER: _ClassVar[int]
    concepts_mutually_exclusive: bool
    existing_model_id: str
    language: str
    hyper_parameters: str
    max_concepts: int
    min_value: float
    select_concepts: _containers.RepeatedCompositeFieldContainer[Concept]
    training_timeout: int
    sample_ms: int
    hyper_params: _struct_pb2.Struct
    embed_model_version_id: str
    fail_on_missing_positive_examples: bool
    model_metadata: _struct_pb2.Struct
    def __init__(self, concepts_mutually_exclusive: bool = ..., existing_model_id: _Optional[str] = ..., language: _Optional[str] = ..., hyper_parameters: _Optional[str] = ..., max_concepts: _Optional[int] = ..., min_value: _Optional[float] = ..., select_concepts: _Optional[_Iterable[_Union[Concept, _Mapping[str, _Any]]]] = ..., training_timeout: _Optional[int] = ..., sample_ms: _Optional[int] = ..., hyper_params: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., embed_model_version_id: _Optional[str] = ..., fail_on_missing_positive_examples: bool = ..., model_metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ...) -> None: ...

class InputInfo(_message.Message):
    __slots__ = ("fields_map", "params", "base_embed_model")
    FIELDS_MAP_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    BASE_EMBED_MODEL_FIELD_NUMBER: _ClassVar[int]
    fields_map: _struct_pb2.Struct
    params: _struct_pb2.Struct
    base_embed_model: Model
    def __init__(self, fields_map: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., params: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., base_embed_model: _Optional[_Union[Model, _Mapping[str, _Any]]] = ...) -> None: ...

class ModelType(_message.Message):
    __slots__ = ("id", "title", "description", "input_fields", "output_fields", "trainable", "creatable", "internal_only", "model_type_fields", "requires_sequential_frames", "method_signatures")
    ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELDS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELDS_FIELD_NUMBER: _ClassVar[int]
    TRAINABLE_FIELD_NUMBER: _ClassVar[int]
    CREATABLE_FIELD_NUMBER: _ClassVar[int]
    INTERNAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPE_FIELDS_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_SEQUENTIAL_FRAMES_FIELD_NUMBER: _ClassVar[int]
    METHOD_SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    id: str
    title: str
    description: str
    input_fields: _containers.RepeatedScalarFieldContainer[str]
    output_fields: _containers.RepeatedScalarFieldContainer[str]
    trainable: bool
    creatable: bool
    internal_only: bool
    model_type_fields: _containers.RepeatedCompositeFieldContainer[ModelTypeField]
    requires_sequential_frames: bool
    method_signatures: _containers.RepeatedCompositeFieldContainer[MethodSignature]
    def __init__(self, id: _Optional[str] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., input_fields: _Optional[_Iterable[str]] = ..., output_fields: _Optional[_Iterable[str]] = ..., trainable: bool = ..., creatable: bool = ..., internal_only: bool = ..., model_type_fields: _Optional[_Iterable[_Union[ModelTypeField, _Mapping[str, _Any]]]] = ..., requires_sequential_frames: bool = ..., method_signatures: _Optional[_Iterable[_Union[MethodSignature, _Mapping[str, _Any]]]] = ...) -> None: ...

class ModelTypeField(_message.Message):
    __slots__ = ("path", "field_type", "default_value", "description", "placeholder", "model_type_enum_options", "internal_only", "required", "model_type_range_info", "name", "type", "type_args", "iterator", "default", "is_param")
    class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NOT_SET: _ClassVar[ModelTypeField.DataType]
        STR: _ClassVar[ModelTypeField.DataType]
        BYTES: _ClassVar[ModelTypeField.DataType]
        INT: _ClassVar[ModelTypeField.DataType]
        FLOAT: _ClassVar[ModelTypeField.DataType]
        BOOL: _ClassVar[ModelTypeField.DataType]
        NDARRAY: _ClassVar[ModelTypeField.DataType]
        JSON_DATA: _ClassVar[ModelTypeField.DataType]
        TEXT: _ClassVar[ModelTypeField.DataType]
        IMAGE: _ClassVar[ModelTypeField.DataType]
        CONCEPT: _ClassVar[ModelTypeField.DataType]
        REGION: _ClassVar[ModelTypeField.DataType]
        FRAME: _ClassVar[ModelTypeField.DataType]
        AUDIO: _ClassVar[ModelTypeField.DataType]
        VIDEO: _ClassVar[ModelTypeField.DataType]
        NAMED_FIELDS: _ClassVar[ModelTypeField.DataType]
        TUPLE: _ClassVar[ModelTypeField.DataType]
        LIST: _ClassVar[ModelTypeField.DataType]
    NOT_SET: ModelTypeField.DataType
    STR: ModelTypeField.DataType
    BYTES: ModelTypeField.DataType
    INT: ModelTypeField.DataType
    FLOAT: ModelTypeField.DataType
    BOOL: ModelTypeField.DataType
    NDARRAY: ModelTypeField.DataType
    JSON_DATA: ModelTypeField.DataType
    TEXT: ModelTypeField.DataType
    IMAGE: ModelTypeField.DataType
    CONCEPT: ModelTypeField.DataType
    REGION: ModelTypeField.DataType
    FRAME: ModelTypeField.DataType
    AUDIO: ModelTypeField.DataType
    VIDEO: ModelTypeField.DataType
    NAMED_FIELDS: ModelTypeField.DataType
    TUPLE: ModelTypeField.DataType
    LIST: ModelTypeField.DataType
    class ModelTypeFieldType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        INVALID_MODEL_TYPE_FIELD_TYPE: _ClassVar[ModelTypeField.ModelTypeFieldType]
        BOOLEAN: _ClassVar[ModelTypeField.ModelTypeFieldType]
        STRING: _ClassVar[ModelTypeField.ModelTypeFieldType]
        NUMBER: _ClassVar[ModelTypeField.ModelTypeFieldType]
        ARRAY_OF_CONCEPTS: _ClassVar[ModelTypeField.ModelTypeFieldType]
        ARRAY_OF_CONCEPTS_WITH_THRESHOLD: _ClassVar[ModelTypeField.ModelTypeFieldType]
        RANGE: _ClassVar[ModelTypeField.ModelTypeFieldType]
        ENUM: _ClassVar[ModelTypeField.ModelTypeFieldType]
        COLLABORATORS: _ClassVar[ModelTypeField.ModelTypeFieldType]
        JSON: _ClassVar[ModelTypeField.ModelTypeFieldType]
        ARRAY_OF_NUMBERS: _ClassVar[ModelTypeField.ModelTypeFieldType]
        WORKFLOW_EMBED_MODELS: _ClassVar[ModelTypeField.ModelTypeFieldType]
        ARRAY_OF_STRINGS: _ClassVar[ModelTypeField.ModelTypeFieldType]
        RECURSIVE_ENUM: _ClassVar[ModelTypeField.ModelTypeFieldType]
        PYTHON_CODE: _ClassVar[ModelTypeField.ModelTypeFieldType]
        DATASET_ID: _ClassVar[ModelTypeField.ModelTypeFieldType]
        DATASET_VERSION_ID: _ClassVar[ModelTypeField.ModelTypeFieldType]
        ARRAY_OF_MODEL_CONCEPTS: _ClassVar[ModelTypeField.ModelTypeFieldType]
        DATASET: _ClassVar[ModelTypeField.ModelTypeFieldType]
        DATASET_VERSION: _ClassVar[ModelTypeField.ModelTypeFieldType]
        ENCRYPTED_STRING: _ClassVar[ModelTypeField.ModelTypeFieldType]
        CHECKPOINT_MODEL: _ClassVar[ModelTypeField.ModelTypeFieldType]
        ARRAY_OF_SECRETS: _ClassVar[ModelTypeField.ModelTypeFieldType]
    INVALID_MODEL_TYPE_FIELD_TYPE: ModelTypeField.ModelTypeFieldType
    BOOLEAN: ModelTypeField.ModelTypeFieldType
    STRING: ModelTypeField.ModelTypeFieldType
    NUMBER: ModelTypeField.ModelTypeFieldType
    ARRAY_OF_CONCEPTS: ModelTypeField.ModelTypeFieldType
    ARRAY_OF_CONCEPTS_WITH_THRESHOLD: ModelTypeField.ModelTypeFieldType
    RANGE: ModelTypeField.ModelTypeFieldType
    ENUM: ModelTypeField.ModelTypeFieldType
    COLLABORATORS: ModelTypeField.ModelTypeFieldType
    JSON: ModelTypeField.ModelTypeFieldType
    ARRAY_OF_NUMBERS: ModelTypeField.ModelTypeFieldType
    WORKFLOW_EMBED_MODELS: ModelTypeField.ModelTypeFieldType
    ARRAY_OF_STRINGS: ModelTypeField.ModelTypeFieldType
    RECURSIVE_ENUM: ModelTypeField.ModelTypeFieldType
    PYTHON_CODE: ModelTypeField.ModelTypeFieldType
    DATASET_ID: ModelTypeField.ModelTypeFieldType
    DATASET_VERSION_ID: ModelTypeField.ModelTypeFieldType
    ARRAY_OF_MODEL_CONCEPTS: ModelTypeField.ModelTypeFieldType
    DATASET: ModelTypeField.ModelTypeFieldType
    DATASET_VERSION: ModelTypeField.ModelTypeFieldType
    ENCRYPTED_STRING: ModelTypeField.ModelTypeFieldType
    CHECKPOINT_MODEL: ModelTypeField.ModelTypeFieldType
    ARRAY_OF_SECRETS: ModelTypeField.ModelTypeFieldType
    PATH_FIELD_NUMBER: _ClassVar[int]
    FIELD_TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PLACEHOLDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPE_ENUM_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    INTERNAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPE_RANGE_INFO_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TYPE_ARGS_FIELD_NUMBER: _ClassVar[int]
    ITERATOR_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    IS_PARAM_FIELD_NUMBER: _ClassVar[int]
    path: str
    field_type: ModelTypeField.ModelTypeFieldType
    default_value: _struct_pb2.Value
    description: str
    placeholder: str
    model_type_enum_options: _containers.RepeatedCompositeFieldContainer[ModelTypeEnumOption]
    internal_only: bool
    required: bool
    model_type_range_info: ModelTypeRangeInfo
    name: str
    type: ModelTypeField.DataType
    type_args: _containers.RepeatedCompositeFieldContainer[ModelTypeField]
    iterator: bool
    default: str
    is_param: bool
    def __init__(self, path: _Optional[str] = ..., field_type: _Optional[_Union[ModelTypeField.ModelTypeFieldType, str]] = ..., default_value: _Optional[_Union[_struct_pb2.Value, _Mapping[str, _Any]]] = ..., description: _Optional[str] = ..., placeholder: _Optional[str] = ..., model_type_enum_options: _Optional[_Iterable[_Union[ModelTypeEnumOption, _Mapping[str, _Any]]]] = ..., internal_only: bool = ..., required: bool = ..., model_type_range_info: _Optional[_Union[ModelTypeRangeInfo, _Mapping[str, _Any]]] = ..., name: _Optional[str] = ..., type: _Optional[_Union[ModelTypeField.DataType, str]] = ..., type_args: _Optional[_Iterable[_Union[ModelTypeField, _Mapping[str, _Any]]]] = ..., iterator: bool = ..., default: _Optional[str] = ..., is_param: bool = ...) -> None: ...

class ModelTypeRangeInfo(_message.Message):
    __slots__ = ("min", "max", "step")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    min: float
    max: float
    step: float
    def __init__(self, min: _Optional[float] = ..., max: _Optional[float] = ..., step: _Optional[float] = ...) -> None: ...

class ModelTypeEnumOption(_message.Message):
    __slots__ = ("id", "description", "model_type_fields", "internal_only", "recommended")
    ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    MODEL_TYPE_FIELDS_FIELD_NUMBER: _ClassVar[int]
    INTERNAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    RECOMMENDED_FIELD_NUMBER: _ClassVar[int]
    id: str
    description: str
    model_type_fields: _containers.RepeatedCompositeFieldContainer[ModelTypeField]
    internal_only: bool
    recommended: bool
    def __init__(self, id: _Optional[str] = ..., description: _Optional[str] = ..., model_type_fields: _Optional[_Iterable[_Union[ModelTypeField, _Mapping[str, _Any]]]] = ..., internal_only: bool = ..., recommended: bool = ...) -> None: ...

class MethodSignature(_message.Message):
    __slots__ = ("name", "method_type", "description", "input_fields", "output_fields")
    NAME_FIELD_NUMBER: _ClassVar[int]
    METHOD_TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELDS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    method_type: RunnerMethodType
    description: str
    input_fields: _containers.RepeatedCompositeFieldContainer[ModelTypeField]
    output_fields: _containers.RepeatedCompositeFieldContainer[ModelTypeField]
    def __init__(self, name: _Optional[str] = ..., method_type: _Optional[_Union[RunnerMethodType, str]] = ..., description: _Optional[str] = ..., input_fields: _Optional[_Iterable[_Union[ModelTypeField, _Mapping[str, _Any]]]] = ..., output_fields: _Optional[_Iterable[_Union[ModelTypeField, _Mapping[str, _Any]]]] = ...) -> None: ...

class RunnerSelector(_message.Message):
    __slots__ = ("nodepool", "runner", "deployment")
    NODEPOOL_FIELD_NUMBER: _ClassVar[int]
    RUNNER_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    nodepool: Nodepool
    runner: Runner
    deployment: Deployment
    def __init__(self, nodepool: _Optional[_Union[Nodepool, _Mapping[str, _Any]]] = ..., runner: _Optional[_Union[Runner, _Mapping[str, _Any]]] = ..., deployment: _Optional[_Union[Deployment, _Mapping[str, _Any]]] = ...) -> None: ...

class Runner(_message.Message):
    __slots__ = ("id", "description", "created_at", "modified_at", "metadata", "labels", "nodepool", "num_replicas", "min_replicas", "priority")
    ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    NODEPOOL_FIELD_NUMBER: _ClassVar[int]
    NUM_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    MIN_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    id: str
    description: str
    created_at: _timestamp_pb2.Timestamp
    modified_at: _timestamp_pb2.Timestamp
    metadata: _struct_pb2.Struct
    labels: _containers.RepeatedScalarFieldContainer[str]
    nodepool: Nodepool
    num_replicas: int
    min_replicas: int
    priority: int
    def __init__(self, id: _Optional[str] = ..., description: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., modified_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., labels: _Optional[_Iterable[str]] = ..., nodepool: _Optional[_Union[Nodepool, _Mapping[str, _Any]]] = ..., num_replicas: _Optional[int] = ..., min_replicas: _Optional[int] = ..., priority: _Optional[int] = ...) -> None: ...

class Deployment(_message.Message):
    __slots__ = ("id", "user_id", "nodepools", "metadata", "description", "created_at", "modified_at", "deploy_latest_version", "email_reminder_after", "graceful_deploy")
    ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    NODEPOOLS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    DEPLOY_LATEST_VERSION_FIELD_NUMBER: _ClassVar[int]
    EMAIL_REMINDER_AFTER_FIELD_NUMBER: _ClassVar[int]
    GRACEFUL_DEPLOY_FIELD_NUMBER: _ClassVar[int]
    id: str
    user_id: str
    nodepools: _containers.RepeatedCompositeFieldContainer[Nodepool]
    metadata: _struct_pb2.Struct
    description: str
    created_at: _timestamp_pb2.Timestamp
    modified_at: _timestamp_pb2.Timestamp
    deploy_latest_version: bool
    email_reminder_after: _duration_pb2.Duration
    graceful_deploy: bool
    def __init__(self, id: _Optional[str] = ..., user_id: _Optional[str] = ..., nodepools: _Optional[_Iterable[_Union[Nodepool, _Mapping[str, _Any]]]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., description: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., modified_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., deploy_latest_version: bool = ..., email_reminder_after: _Optional[_Union[_duration_pb2.Duration, _Mapping[str, _Any]]] = ..., graceful_deploy: bool = ...) -> None: ...

class Nodepool(_message.Message):
    __slots__ = ("id", "description", "created_at", "modified_at", "compute_cluster", "min_instances", "max_instances", "metadata", "enforced_min_instances", "enforced_max_instances", "node_count", "status_description", "warm_instances")
    ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    MIN_INSTANCES_FIELD_NUMBER: _ClassVar[int]
    MAX_INSTANCES_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ENFORCED_MIN_INSTANCES_FIELD_NUMBER: _ClassVar[int]
    ENFORCED_MAX_INSTANCES_FIELD_NUMBER: _ClassVar[int]
    NODE_COUNT_FIELD_NUMBER: _ClassVar[int]
    STATUS_DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    WARM_INSTANCES_FIELD_NUMBER: _ClassVar[int]
    id: str
    description: str
    created_at: _timestamp_pb2.Timestamp
    modified_at: _timestamp_pb2.Timestamp
    compute_cluster: ComputeCluster
    min_instances: int
    max_instances: int
    metadata: _struct_pb2.Struct
    enforced_min_instances: int
    enforced_max_instances: int
    node_count: int
    status_description: str
    warm_instances: int
    def __init__(self, id: _Optional[str] = ..., description: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., modified_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., compute_cluster: _Optional[_Union[ComputeCluster, _Mapping[str, _Any]]] = ..., min_instances: _Optional[int] = ..., max_instances: _Optional[int] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, _Any]]] = ..., enforced_min_instances: _Optional[int] = ..., enforced_max_instances: _Optional[int] = ..., node_count: _Optional[int] = ..., status_description: _Optional[str] = ..., warm_instances: _Optional[int] = ...) -> None: ...

class ComputeCluster(_message.Message):
    __slots__ = ("id", "description", "region", "user_id", "created_at", "modified_at", "cluster_type", "managed_by")
    ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_TYPE_FIELD_NUMBER: _ClassVar[int]
    MANAGED_BY_FIELD_NUMBER: _ClassVar[int]
    id: str
    description: str
    region: str
    user_id: str
    created_at: _timestamp_pb2.Timestamp
    modified_at: _timestamp_pb2.Timestamp
    cluster_type: str
    managed_by: str
    def __init__(self, id: _Optional[str] = ..., description: _Optional[str] = ..., region: _Optional[str] = ..., user_id: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., modified_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, _Any]]] = ..., cluster_type: _Optional[str] = ..., managed_by: _Optional[str] = ...) -> None: ...
