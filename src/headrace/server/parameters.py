"""Which inference parameters a model knows: unknown names are refused, with the nearest known one."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from headrace.server.envelope import INVALID_REQUEST
from headrace.server.model import ModelError

log: logging.Logger = logging.getLogger(__name__)

#: Names of the protocol's documents. The hosted API takes them for any model, so they are never refused.
DOCUMENTED = frozenset(
    ("temperature", "max_tokens", "top_k", "top_p", "prompt_template", "system_prompt", "width", "seed")
)


def parameters_of(cls: type) -> frozenset[str] | None:
    """Return the names that a class lists as `accepts`, or None if it lists none: any name may be meant."""
    names = getattr(cls, "accepts", None)
    return None if names is None else frozenset((*names, *getattr(cls, "parameters", ())))


def check_names(names: Mapping[str, Any], known: Iterable[str], model_id: str) -> None:
    """Refuse names that a model does not know.

    Raises:
        ModelError: 11102 with the nearest name that it knows.
    """
    known = sorted(known)
    for name in names:
        if name in known:
            continue
        if name in DOCUMENTED:
            _ignored(name, model_id)
            continue
        near = difflib.get_close_matches(name, [*known, *(DOCUMENTED if not known else ())], 1, 0.6)
        hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(known) or 'none'}"
        raise ModelError(INVALID_REQUEST, f"model {model_id} has no parameter {name[:100]}{hint}")


@cache
def _ignored(name: str, model_id: str) -> None:
    """Log once that a model ignores a documented parameter."""
    log.info("model %s ignores the parameter %s", model_id, name)
