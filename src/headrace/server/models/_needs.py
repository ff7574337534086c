"""Packages that a model needs and that some Python versions have no build of."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from headrace.server.model import ModelError

NOT_READY = 21350


def needed(module: str, package: str) -> Any:
    """Import a module.

    Raises:
        ModelError: 21350, naming the package, when it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        reason = f"the package {package} is not installed (it may have no build for Python {version})"
        raise ModelError(NOT_READY, f"{reason}; pip install {package}") from error
