"""Pixels of files, bytes and arrays: modes, sizes, orientation, and what is refused."""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmseq.errors import PluginError
from mmseq.modalities.pixels import MAX_PIXELS, pillow, read_pixels
from mmseq.sources.binary import encode, npy_bytes

COLOUR, GREY = (4, 6, 3), (4, 6, 1)
RGB = np.random.default_rng(0).integers(0, 256, COLOUR).astype(np.uint8)
LUMA = np.array(Image.fromarray(RGB).convert("L"))[..., None]


def file_of(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


PNG = file_of(Image.fromarray(RGB))
CELLS: dict[str, Any] = {
    "array": RGB,
    "bytes": PNG,
    "npy": npy_bytes(RGB),
    "list": RGB.tolist(),
    "JSON list": json.dumps(RGB.tolist()),
    "JSON base64": json.dumps(encode(PNG)),
}


@pytest.mark.parametrize("form", CELLS)
def test_forms(form: str) -> None:
    """The same pixels, whatever they come in; grey by luma."""
    np.testing.assert_array_equal(read_pixels(CELLS[form], Path(), COLOUR), RGB)
    np.testing.assert_array_equal(read_pixels(CELLS[form], Path(), GREY), LUMA)


def test_a_path_is_relative_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    for cell in ("a.png", Path("a.png"), str(tmp_path / "a.png")):
        np.testing.assert_array_equal(read_pixels(cell, tmp_path, COLOUR), RGB)


def uniform(mode: str, colour: Any) -> Image.Image:
    return Image.new(mode, (6, 4), colour)


def palette() -> Image.Image:
    image = Image.new("P", (6, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    return image


MODES: list[tuple[str, bytes, list[int]]] = [
    ("black and white", file_of(uniform("1", 1)), [255, 255, 255]),
    ("grey", file_of(uniform("L", 77)), [77, 77, 77]),
    ("palette", file_of(palette()), [200, 100, 50]),
    ("palette, transparent", file_of(palette(), transparency=1), [255, 255, 255]),
    ("alpha, opaque", file_of(uniform("RGBA", (10, 20, 30, 255))), [10, 20, 30]),
    ("alpha, nothing to see", file_of(uniform("RGBA", (10, 20, 30, 0))), [255, 255, 255]),
    ("alpha, half", file_of(uniform("RGBA", (0, 0, 0, 128))), [127, 127, 127]),
    ("grey with alpha", file_of(uniform("LA", (50, 255))), [50, 50, 50]),
    ("16 bits", file_of(Image.fromarray(np.full((4, 6), 257 * 90, np.uint16))), [90, 90, 90]),
    ("16 bits, TIFF", file_of(Image.fromarray(np.full((4, 6), 65_535, np.uint16)), "TIFF"), [255] * 3),
    ("CMYK", file_of(uniform("CMYK", (0, 0, 0, 0)), "TIFF"), [255, 255, 255]),
    ("BMP", file_of(uniform("RGB", (1, 2, 3)), "BMP"), [1, 2, 3]),
    ("GIF", file_of(uniform("RGB", (255, 0, 0)), "GIF"), [255, 0, 0]),
    ("WebP", file_of(uniform("RGB", (9, 8, 7)), "WEBP", lossless=True), [9, 8, 7]),
]


@pytest.mark.parametrize(("mode", "data", "colour"), MODES, ids=[row[0] for row in MODES])
def test_modes(mode: str, data: bytes, colour: list[int]) -> None:
    np.testing.assert_array_equal(read_pixels(data, Path(), COLOUR)[1, 2], colour)
    assert read_pixels(data, Path(), GREY).shape == GREY


def test_orientation_is_applied() -> None:
    """A photograph that was taken with the camera on its side. Caught: EXIF left aside."""
    image = Image.new("L", (6, 4), 0)
    image.paste(255, (0, 0, 3, 4))  # its left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter, clockwise: the left side is up
    pixels = read_pixels(file_of(image, "JPEG", exif=exif, quality=95), Path(), (6, 4, 1))[..., 0]
    assert pixels[:2].min() > 200 and pixels[4:].max() < 50


def test_shrinking_skips_nothing() -> None:
    """Stripes of one pixel become their mean. Caught: nearest neighbours."""
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    pixels = read_pixels(stripes, Path(), (8, 8, 1))
    assert abs(pixels.astype(int) - 127).max() <= 6
    jpeg = file_of(Image.fromarray(np.repeat(np.repeat(stripes, 16, 0), 16, 1)), "JPEG", quality=95)
    assert abs(read_pixels(jpeg, Path(), (8, 8, 1)).astype(int) - 127).max() <= 6
    assert read_pixels(RGB, Path(), (9, 11, 3)).shape == (9, 11, 3)


def bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """The header of a PNG that would unpack to 2,500,000,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


BAD: list[tuple[str, Any, str]] = [
    ("truncated", PNG[:-30], r"86 bytes|bytes: must be a whole image of BMP, GIF"),
    ("damaged", PNG[:40] + b"\0\0\0\0" + PNG[44:], "must be a whole image"),
    ("no image", b"a text", "6 bytes: must be a whole image of .*UnidentifiedImageError"),
    ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "must be a whole image"),
    ("nothing", b"", "0 bytes: must be a whole image"),
    ("bomb", bomb(), "an image has at most 80,000,000 pixels"),
    ("large", bomb(10_000, MAX_PIXELS // 10_000 + 1), "at most 80,000,000 pixels; 10000 × 8001"),
    ("no file", "there/is/none.png", "there is no file 'there/is/none.png'"),
    ("long name", "x" * 5_000, "there is no file 'xxx"),
    ("floats", np.zeros((4, 6)), "as uint8; float64 came; scale it"),
    ("list of floats", [[0.5, 1.0]], "as uint8; float64 came"),
    ("beyond a byte", [[256, 0]], "whole numbers from 0 to 255"),
    ("uneven list", [[1, 2], [3]], "inhomogeneous"),
    ("five channels", np.zeros((4, 6, 5), np.uint8), r"\[4, 6, 5\] came"),
    ("no rows", np.zeros((0, 6), np.uint8), r"\[0, 6\] came"),
    ("objects", npy_bytes(np.zeros(3))[:9] + b"x", "."),
    ("float pixels", file_of(uniform("F", 0.5), "TIFF"), "floats came; convert the image"),
    ("number", 7, "an image is the path of a file, its bytes, or an array of uint8 pixels; int '7' came"),
    ("JSON", '{"url": "x"}', "dict .* came"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "cell", "told"), BAD, ids=[row[0] for row in BAD])
@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
def test_what_is_refused(what: str, cell: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, OSError), match=told) as caught:
        read_pixels(cell, tmp_path if isinstance(cell, bytes) else Path(), COLOUR)
    assert len(str(caught.value)) < 400


def test_the_file_of_a_bad_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(PNG[:-30])
    with pytest.raises(ValueError, match=r"half\.png: must be a whole image"):
        read_pixels("half.png", tmp_path, COLOUR)


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(PluginError, match=r"pip install 'mmseq\[image\]'") as caught:
        pillow()
    assert caught.value.exit_code == 3
