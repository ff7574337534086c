"""Joining the pieces of a generated sound."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence

from headrace import media
from headrace.errors import InputError


def joined(pieces: Sequence[bytes]) -> bytes:
    """Join WAV sounds of one format, in order; one sound of any format is given as it is.

    Raises:
        InputError: several that cannot be joined.
    """
    if len(pieces) == 1:
        return pieces[0]
    whole = io.BytesIO()
    try:
        with wave.open(whole, "wb") as target:
            format_ = None
            for piece in pieces:
                with wave.open(io.BytesIO(piece)) as source:
                    if format_ is None:
                        format_ = source.getparams()
                        target.setparams(format_)
                    elif source.getparams()[:3] != format_[:3]:  # channels, bytes of a sample, samples a second
                        raise wave.Error("of several formats")
                    target.writeframes(source.readframes(source.getnframes()))
    except (wave.Error, EOFError):
        names = ", ".join(dict.fromkeys(media.extension(piece) for piece in pieces))
        raise InputError(
            f"the answer is {len(pieces)} sounds ({names}), which do not fit into one file; give --save DIR"
        ) from None
    return whole.getvalue()
