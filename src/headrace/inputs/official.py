"""The builders of inputs under the official package's names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from headrace import media
from headrace.errors import ConfigError, InputError

_TYPES = ("image", "video", "audio", "text")


class Hints(type):
    """Names the replacement of the official package's builders that headrace lacks."""

    if not TYPE_CHECKING:  # so that type checkers report missing names

        def __getattr__(cls, name: str) -> NoReturn:
            hint = next((hint for start, hint in _INSTEAD if name.startswith(start)), "")
            raise AttributeError(f"{cls.__name__} has no {name}{hint and f'; {hint}'}", name=name, obj=cls)


_DATA_SET = "data sets, annotations and uploads are the official package's; its `Input` messages can be predicted here"
#: How a name begins -> what to use.
_INSTEAD = (
    ("get_inputs_from_csv", "headrace.sources.from_csv(path, column) gives a CSV file's column to stream and map"),
    ("get_image_input", "Input.get_input_from_url, _file and _bytes(image_...=) make one; sources.from_glob many"),
    ("get_video_input", "Input.get_input_from_url, _file and _bytes(video_...=) make one"),
    ("get_audio_input", "Input.get_input_from_url, _file and _bytes(audio_...=) make one"),
    *((start, _DATA_SET) for start in ("get_", "upload_", "list_", "patch_", "delete_", "download_", "bulk_")),
)


class OfficialNames(metaclass=Hints):
    """`Input.get_input_from_url(...)` and its family; each makes what `Input`'s builder of the same kind makes.

    As there, the first argument is the input's id; `None` or "" leaves it to the client. Arguments that describe an
    input in a data set (concepts, metadata, geo points, ...) are refused: a prediction has no use for them.
    """

    __slots__ = ()

    @classmethod
    def get_input_from_url(
        cls,
        input_id: str | None = None,
        image_url: str | None = None,
        video_url: str | None = None,
        audio_url: str | None = None,
        text_url: str | None = None,
    ) -> Self:
        """Make an input that the server fetches."""
        by_type = {"image": image_url, "video": video_url, "audio": audio_url, "text": text_url}
        return cast("Self", _one(cls, input_id, "url", by_type))

    @classmethod
    def get_input_from_file(
        cls,
        input_id: str | None = None,
        image_file: str | None = None,
        video_file: str | None = None,
        audio_file: str | None = None,
        text_file: str | None = None,
    ) -> Self:
        """Make an input from a file, read when it is sent."""
        by_type = {"image": image_file, "video": video_file, "audio": audio_file, "text": text_file}
        return cast("Self", _one(cls, input_id, "filepath", by_type))

    @classmethod
    def get_input_from_bytes(
        cls,
        input_id: str | None = None,
        image_bytes: bytes | None = None,
        video_bytes: bytes | None = None,
        audio_bytes: bytes | None = None,
        text_bytes: bytes | None = None,
    ) -> Self:
        """Make an input from bytes."""
        by_type = {"image": image_bytes, "video": video_bytes, "audio": audio_bytes, "text": text_bytes}
        return cast("Self", _one(cls, input_id, "bytes", by_type))

    @classmethod
    def get_text_input(cls, input_id: str | None = None, raw_text: str = "") -> Self:
        """Make an input from text."""
        return cast("Self", cast("Any", cls).from_text(raw_text, input_id or None))

    @classmethod
    def get_multimodal_input(
        cls,
        input_id: str | None = None,
        raw_text: str | None = None,
        text_bytes: bytes | None = None,
        image_url: str | None = None,
        image_bytes: bytes | None = None,
        video_url: str | None = None,
        video_bytes: bytes | None = None,
        audio_url: str | None = None,
        audio_bytes: bytes | None = None,
    ) -> Self:
        """Make one input with several parts."""
        if raw_text is None and text_bytes is not None:
            try:
                raw_text = bytes(text_bytes).decode()
            except UnicodeDecodeError:
                raise InputError("text_bytes is not UTF-8") from None
        return cast(
            "Self",
            cast("Any", cls).multimodal(
                text=raw_text,
                image_url=image_url,
                image_bytes=image_bytes,
                video_url=video_url,
                video_bytes=video_bytes,
                audio_url=audio_url,
                audio_bytes=audio_bytes,
                id=input_id or None,
            ),
        )

    @classmethod
    def get_image_inputs_from_folder(cls, folder_path: str | os.PathLike[str]) -> list[Self]:
        """Make an input from each picture in a folder, by name; its id is the name without extension.

        Raises:
            InputError: the folder cannot be read.
        """
        return _folder(cls, folder_path, "image")

    @classmethod
    def get_text_inputs_from_folder(cls, folder_path: str | os.PathLike[str]) -> list[Self]:
        """Make an input from each text file in a folder, as `get_image_inputs_from_folder` does."""
        return _folder(cls, folder_path, "text")


def _folder(cls: type, folder: str | os.PathLike[str], type_: str) -> list[Any]:
    try:
        from pathlib import Path

        paths = sorted(path for path in Path(folder).iterdir() if path.is_file())
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error
    build = cast("Any", cls).from_filepath
    return [build(path, type_, path.stem) for path in paths if media.kind_of_name(path.name) == type_]


def _one(cls: type, input_id: str | None, form: str, by_type: Mapping[str, Any]) -> Any:
    present = {type_: value for type_, value in by_type.items() if value is not None}
    if len(present) != 1:
        names = ", ".join(f"{type_}_{'file' if form == 'filepath' else form}" for type_ in _TYPES)
        raise ConfigError(f"give one of {names}; Input.multimodal takes several parts")
    [(type_, value)] = present.items()
    return getattr(cls, f"from_{form}")(value, type_, input_id or None)


__all__ = ["OfficialNames"]
