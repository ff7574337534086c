"""Packages that only some models need: parts of extra `local`, or without a build for some Python versions."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from headrace.server.model import ModelError

NOT_READY = 21350


def needed(module: str, package: str, extra: str = "") -> Any:
    """Import a module.

    Args:
        module: its name.
        package: the package that has it.
        extra: the part of extra `local` that brings the package; "": extra `server`, where there is a build of it.

    Raises:
        ModelError: 21350, naming the package and what to install, when it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if extra:
            reason = f"the package {package} is not installed on the server"
            advice = f"pip install '.[{extra}]' in headrace's folder"  # no path of the server: clients read this
            raise ModelError(NOT_READY, f"{reason}; it comes with the extra {extra!r}: {advice}") from error
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        reason = f"the package {package} is not installed (it may have no build for Python {version})"
        raise ModelError(NOT_READY, f"{reason}; pip install {package}") from error
