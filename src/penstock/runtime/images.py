"""Photos as files to uint8 pixels `[height, width, 3]` of one size: the preprocessing that a signature declares.

Training and serving decode with this same code. Knows Pillow, which loads with the first photo.
"""

import base64
import binascii
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.schema import Column

__all__ = ["MOST_PIXELS", "Pixels", "decode_photo", "photo_bytes", "photo_instance"]

Pixels = NDArray[np.uint8]

MOST_PIXELS = 64_000_000
"""A small file can say that it unpacks to gigabytes; photos of cameras have fewer."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


def photo_bytes(value: object) -> bytes:
    """The file in a value as sent: `{"b64": …}`, or base64 text. Raises ValueError saying what was expected."""
    text = value.get("b64") if isinstance(value, dict) and len(value) == 1 else value
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise ValueError('expected a photo as {"b64": "…"}, base64 of a JPEG, PNG or WebP file')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected base64 under 'b64', of a JPEG, PNG or WebP file") from None


def decode_photo(content: bytes, column: Column) -> Pixels:
    """The pixels of a file, of the size that the column's `shape` says, turned as its EXIF orientation says.

    The shorter side is brought to that size and the middle cut out (`fit` "crop"), or each side by itself ("stretch").
    Gray, palette, CMYK and 16-bit files become RGB, transparency becomes white; of an animation the first frame counts.
    Raises ValueError for what is no photo, is cut off, or is larger than `MOST_PIXELS`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # ours is stricter, and refuses in place of warning

    height, width, _ = column.shape
    assert height is not None
    assert width is not None
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise ValueError(f"the photo has {opened.width} x {opened.height} pixels; at most {MOST_PIXELS:,} do")
            # A JPEG unpacks at a half or a quarter of its size at once; twice the wanted size loses nothing to see.
            opened.draft("RGB", (2 * max(width, height), 2 * max(width, height)))
            image = _as_rgb(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError:
        raise ValueError("expected a JPEG, PNG, WebP, GIF or BMP file; this is none") from None
    except (OSError, SyntaxError, EOFError) as error:
        raise ValueError(f"the photo is damaged ({' '.join(str(error).split())})") from None
    if image.size == (width, height):
        return np.asarray(image, dtype=np.uint8)
    if column.fit == "crop":
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR, centering=(0.5, 0.5))
    else:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8)


def photo_instance(pixels: Pixels) -> dict[str, str]:
    """Pixels `[height, width, 3]` as callers send them: a PNG file in base64, which unpacks to the same pixels."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return {"b64": base64.b64encode(content.getvalue()).decode()}


def _as_rgb(image: Any) -> Any:
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        largest = 65535.0 if values.max(initial=0.0) > 255 else 255.0
        image = Image.fromarray(np.clip(values * 255.0 / largest, 0, 255).astype(np.uint8), "L")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")
