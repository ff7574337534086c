"""Encoding Pillow pictures and arrays, so that a model sees the same as in a file of them.

Pillow and numpy (extra `images`) are imported when something is encoded.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headrace.errors import InputError
from headrace.media import pictures, require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

#: Modes that a PNG holds as they are.
_PNG_MODES = frozenset(("1", "L", "LA", "I;16", "P", "RGB", "RGBA"))


def png(picture: Any) -> bytes:
    """Encode a Pillow picture or an array as PNG, without loss; grey ones of 16 bits stay so.

    Raises:
        ConfigError: Pillow isn't installed.
        InputError: as `image_of`; or Pillow cannot encode it.
    """
    return _encoded(picture, lambda image: image, "PNG", compress_level=1)


def jpeg(picture: Any, quality: int = 95) -> bytes:
    """Encode a Pillow picture or an array as JPEG with all of its colour; what is transparent is white.

    Raises:
        ConfigError, InputError: as `png`.
    """
    return _encoded(picture, pictures.rgb, "JPEG", quality=quality, subsampling=0)


def _encoded(picture: Any, convert: Callable[[Image], Image], format: str, **options: Any) -> bytes:
    require("PIL.Image", "pictures and arrays as inputs")
    buffer = io.BytesIO()
    try:
        convert(image_of(picture)).save(buffer, format, **options)
    except InputError:
        raise
    except Exception as error:  # Pillow reads the file only now, and may raise anything
        raise InputError(f"the picture cannot be encoded: {error}") from error
    return buffer.getvalue()


def image_of(picture: Any) -> Image:
    """Return a Pillow picture or an array as a picture that a PNG can hold, turned as its EXIF says.

    Arrays have the shape (height, width), or a third axis of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA). They hold
    uint8, bool (true is white), uint16 (65535 is white) or floats, whose white is 1 if none is larger, else 255.

    Raises:
        InputError: an array of another shape or type, or with values outside; its message names both.
    """
    from PIL import Image, ImageOps

    image = picture if isinstance(picture, Image.Image) else _from_array(picture)
    image = ImageOps.exif_transpose(image)
    if image.mode in _PNG_MODES:
        return image
    if pictures.is_deep(image):
        return _grey(image)
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _eight_bits(values: NDArray[Any], white: float) -> NDArray[np.uint8]:
    import numpy as np

    return (values.clip(0, white) * (255.0 / white) + 0.5).astype(np.uint8)


def _grey(image: Image) -> Image:
    """Keep 16 bits; of floats, 8.

    Raises:
        InputError: levels that neither holds.
    """
    import numpy as np
    from PIL import Image

    values = np.asarray(image)
    if image.mode == "F":
        return _from_array(values)
    if values.min() < 0 or values.max() > 65535:
        raise InputError(f"a picture of mode {image.mode} has levels from 0 to 65535, not {_range(values)}")
    return Image.fromarray(values.astype(np.uint16))


def _from_array(picture: Any) -> Image:
    import numpy as np
    from PIL import Image

    if not hasattr(picture, "__array_interface__"):
        raise InputError(f"{type(picture).__name__} cannot be encoded: give a Pillow picture or a numpy array")
    array = np.asarray(picture)
    kind = f"an array of {array.dtype} and shape {array.shape}"
    if array.ndim not in (2, 3) or not array.size or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise InputError(f"{kind} is not a picture: give (height, width), or a third axis of 1 to 4 channels")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array = array.astype(np.uint16) if array.ndim == 2 else _eight_bits(array, 65535.0)
    elif array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 255:
            raise InputError(f"{kind}: float levels must be from 0 to 1 or from 0 to 255, not {_range(array)}")
        array = _eight_bits(array.astype(np.float32), 1.0 if array.max() <= 1 else 255.0)
    elif array.dtype != np.uint8:
        raise InputError(f"{kind} cannot be sent as it is: convert it to uint8, bool, uint16 or floats from 0 to 1")
    return Image.fromarray(np.ascontiguousarray(array))


def _range(values: Any) -> str:
    return f"{values.min():g} to {values.max():g}"
