"""An image, whatever it comes as → uint8 pixels of a set size."""

from __future__ import annotations

import io
import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from mmseq.errors import PluginError
from mmseq.sources.binary import decode

FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Those that pillow decodes by itself; others, such as EPS, run programs."""
MAX_PIXELS = 80_000_000
"""Of a file, as its header tells, before anything is decoded: a small one may unpack to more than fits."""

Shape = tuple[int, int, int]
Pixels = UInt8[np.ndarray, "height width channel"]

_NPY = b"\x93NUMPY"
_KINDS = "an image is the path of a file, its bytes, or an array of uint8 pixels"


def pillow() -> Any:
    """The package that reads images. Raises PluginError where it is not installed."""
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError as error:
        raise PluginError(
            f"modality of kind 'image': needs pillow to read images; {error}; pip install 'mmseq[image]'"
        ) from error
    return PIL


def read_pixels(cell: Any, folder: Path, shape: Shape) -> Pixels:
    """The pixels of one cell, resized.

    Args:
        cell: a path, the bytes of an image or `.npy` file, an array, nested lists, or such as JSON text.
        folder: that a path is relative to.
        shape: height, width and channels (1: grey, 3: red, green, blue).

    Raises:
        ValueError, OSError: it is none of these, or too large; the message says what came.
    """
    if isinstance(cell, str) and cell.lstrip()[:1] in ("{", "["):
        cell = decode(json.loads(cell))
    if isinstance(cell, str | PathLike):
        return _of_file(folder / cell, shape)
    if isinstance(cell, bytes) and cell.startswith(_NPY):
        cell = np.load(io.BytesIO(cell), allow_pickle=False)
    if isinstance(cell, bytes):
        return _of_image(io.BytesIO(cell), f"{len(cell):,} bytes", shape)
    if isinstance(cell, list | tuple | np.ndarray):
        return _of_array(cell, shape)
    raise ValueError(f"{_KINDS}; {type(cell).__name__} {str(cell)[:60]!r} came")


def _of_file(path: Path, shape: Shape) -> Pixels:
    try:
        is_file = path.is_file()
    except OSError:  # no name of a file
        is_file = False
    if not is_file:
        raise ValueError(f"{_KINDS}; there is no file {str(path)[:200]!r}")
    with path.open("rb") as file:
        return _of_image(file, str(path), shape)


def _of_image(file: Any, where: str, shape: Shape) -> Pixels:
    image_module = pillow().Image
    try:
        with image_module.open(file, formats=FORMATS) as image:
            if image.width * image.height <= MAX_PIXELS:
                side = 2 * max(shape[:2])
                image.draft(None, (side, side))  # of a JPEG: unpack no more than resizing can use
                return _resized(pillow().ImageOps.exif_transpose(image), shape)
            came = f"{image.width} × {image.height}"
    except (image_module.DecompressionBombError, image_module.DecompressionBombWarning) as error:
        came = str(error)
    except (MemoryError, PluginError):
        raise
    except Exception as error:  # decoders raise anything on damaged bytes: SyntaxError, struct.error, …
        told = f"{type(error).__name__}: {error}"
        raise ValueError(f"{where}: must be a whole image of {', '.join(FORMATS)}; {told}") from error
    raise ValueError(f"{where}: an image has at most {MAX_PIXELS:,} pixels; {came}")


def _of_array(cell: Any, shape: Shape) -> Pixels:
    array = np.asarray(cell)
    if not isinstance(cell, np.ndarray) and array.dtype.kind in "iu" and array.size:
        in_range = array.min() >= 0 and array.max() <= 255
        array = array.astype(np.uint8) if in_range else array  # in lists, whole numbers have no type
    if array.dtype != np.uint8:
        raise ValueError(
            f"an array of pixels holds whole numbers from 0 to 255, as uint8; {array.dtype} came; scale it, "
            "and convert it with .astype('uint8'), or use the modality `vector`"
        )
    if array.ndim not in (2, 3) or not array.size or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(
            "an array of pixels has the shape [height, width] or [height, width, 1, 3 or 4]; "
            f"{list(array.shape)} came"
        )
    array = array[..., 0] if array.shape[2:] == (1,) else array
    if array.shape == (shape if shape[2] == 3 else shape[:2]):
        return np.ascontiguousarray(array).reshape(shape)
    return _resized(pillow().Image.fromarray(array), shape)


def _resized(image: Any, shape: Shape) -> Pixels:
    """Grey or in colour, and of the size that is asked for; the aspect is not kept.

    Each pixel is a mean weighted by a triangle, as wide as what becomes one pixel (`BILINEAR` of pillow), so
    that nothing is skipped where an image shrinks.
    """
    height, width, channels = shape
    plain = _opaque(_in_bytes(image)).convert("L" if channels == 1 else "RGB")
    small = plain.resize((width, height), pillow().Image.Resampling.BILINEAR)
    return np.array(small, np.uint8).reshape(shape)


def _in_bytes(image: Any) -> Any:
    """16 bits a pixel as 8, 65,535 as 255; other modes as they are."""
    if image.mode == "F":
        raise ValueError("pixels must be whole numbers of 8 or 16 bits; floats came; convert the image")
    if not image.mode.startswith("I"):
        return image
    numbers = np.asarray(image).astype(np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() > 65_535):
        came = f"{numbers.min()} to {numbers.max()}"
        raise ValueError(f"pixels must be whole numbers of 8 or 16 bits; {came} came; convert the image")
    return pillow().Image.fromarray(((numbers * 255 + 32_767) // 65_535).astype(np.uint8))


def _opaque(image: Any) -> Any:
    """What is transparent shows white."""
    if not image.has_transparency_data:
        return image
    colours = image.convert("RGBA")
    background = pillow().Image.new("RGBA", colours.size, "white")
    background.alpha_composite(colours)
    return background
