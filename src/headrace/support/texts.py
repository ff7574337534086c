"""Making texts of a server safe to show: without credentials, and not too long."""

from __future__ import annotations

import re
from collections import OrderedDict

SHOWN = 2000  # characters of an error's message
KEPT_CHARACTERS = 64_000  # characters of a server's text that an attribute of an error holds
MASK = "***"

_REMEMBERED = 256  # how many credentials of a process are masked, the most recent ones
_SHORTEST = 4
_WORD_ONLY = 6  # characters below which a credential is masked only if it stands as a word
_secrets: OrderedDict[str, None] = OrderedDict()


def keep_secret(credential: str) -> None:
    """Mask a credential in every later text of a server; shorter than four characters is ignored."""
    if len(credential) >= _SHORTEST:
        _secrets.pop(credential, None)
        _secrets[credential] = None
        while len(_secrets) > _REMEMBERED:
            _secrets.popitem(last=False)


def received(text: str) -> str:
    """Clean a text from a server: mask credentials, and cut it to a readable length."""
    if len(text) > KEPT_CHARACTERS:
        longest = max(map(len, _secrets), default=0)
        text = masked(text[: KEPT_CHARACTERS + longest])  # a credential across the cut is masked whole
        return shortened(text, KEPT_CHARACTERS)
    return masked(text)


def masked(text: str) -> str:
    """Replace the credentials that this process uses."""
    for secret in list(_secrets):
        if secret not in text:
            continue
        if len(secret) >= _WORD_ONLY:
            text = text.replace(secret, MASK)
        else:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    return text


def shortened(text: str, limit: int = SHOWN) -> str:
    """Cut a text to at most `limit` characters; the cut says how long it was."""
    if len(text) <= limit:
        return text
    end = f"... ({len(text):,} characters)"
    return text[: max(0, limit - len(end))] + end
