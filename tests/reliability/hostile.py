"""Damage that somebody means: folders that agree with their own digests, and are not what they say."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Change = Callable[[Path], None]


class Evil:
    """What runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def dump(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def entry(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def seal(folder: Path, change: Callable[[dict[str, Any]], Any] | None = None) -> None:
    """Writes the manifest that a folder of `write_folder` should have, changed."""
    path = folder / "manifest.json"
    old = json.loads(path.read_bytes())
    manifest = {
        "schema": old["schema"],
        "files": {
            file.name: entry(file.read_bytes())
            for file in sorted(folder.iterdir())
            if file.is_file() and file.name != "manifest.json"
        },
    }
    if change is not None:
        manifest = change(manifest) or manifest
    path.write_bytes(dump({**manifest, "sha256": hashlib.sha256(dump(manifest)).hexdigest()}))


def sealed_manifest(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Another manifest."""
    return lambda folder: seal(folder, change)


def replaced(name: str, content: bytes) -> Change:
    """Another file."""

    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)
        seal(folder)

    return change


def edited(name: str, edit: Callable[[Any], Any]) -> Change:
    """Another JSON file: changed in place, or what is returned."""

    def change(folder: Path) -> None:
        tree = json.loads((folder / name).read_bytes())
        returned = edit(tree)
        (folder / name).write_bytes(dump(tree if returned is None else returned))
        seal(folder)

    return change


def assign(*keys: Any) -> Callable[[Any], None]:
    """An edit: a value deep in a tree, the last of the arguments."""
    *way, last, value = keys

    def edit(tree: Any) -> None:
        for key in way:
            tree = tree[key]
        tree[last] = value

    return edit


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """Bytes of a file with any header."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content) if length is None else length) + content + data


def one(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


def _torch_file() -> bytes:
    import io

    stream = io.BytesIO()
    torch.save({"w": torch.zeros(2), "x": Evil()}, stream)
    return stream.getvalue()


TENSORS: dict[str, bytes] = {
    "pickle": pickle.dumps(Evil()),
    "file of torch": _torch_file(),
    "nothing": b"",
    "few bytes": b"\1\2\3",
    "header longer than the file": safetensors(one(), b"\0" * 4, length=1 << 20),
    "giant header": safetensors(one(), b"\0" * 4, length=(1 << 63) - 1),
    "header of 2^64 - 1": safetensors(one(), b"\0" * 4, length=(1 << 64) - 1),
    "header that is no JSON": safetensors(b"{{{{"),
    "header that is no map": safetensors([1, 2]),
    "header that is no text": safetensors(b"\xff\xfe\x00\x01"),
    "deep header": safetensors(b'{"a":' * 50_000),
    "deep list": safetensors(b"[" * 100_000),
    "giant shape": safetensors(one(shape=(1 << 40, 1 << 20)), b"\0" * 4),
    "shape that overflows": safetensors(one(shape=(1 << 63, 4)), b"\0" * 4),
    "giant shape and offsets": safetensors(one(shape=(1 << 40,), offsets=(0, 1 << 42)), b"\0" * 4),
    "giant shape with a 0": safetensors(one(shape=(0, 1 << 62), offsets=(0, 0))),
    "negative shape": safetensors(one(shape=(-1,)), b"\0" * 4),
    "negative offset": safetensors(one(offsets=(-4, 0)), b"\0" * 4),
    "offsets beyond": safetensors(one(offsets=(100, 104)), b"\0" * 4),
    "offsets in between": safetensors(one(offsets=(2, 6)), b"\0" * 8),
    "offsets turned round": safetensors(one(offsets=(4, 0)), b"\0" * 4),
    "overlapping": safetensors({**one(), "v": one()["w"]}, b"\0" * 4),
    "a gap": safetensors({**one(), "v": one(offsets=(8, 12))["w"]}, b"\0" * 12),
    "more bytes": safetensors(one(), b"\0" * 400),
    "unknown dtype": safetensors(one(dtype="OBJECT"), b"\0" * 4),
    "float8": safetensors(one(dtype="F8_E4M3", offsets=(0, 1)), b"\0"),
    "huge number": safetensors(b'{"w":{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}}', b"\0" * 4),
    "key twice": safetensors(b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":3}', b"\0" * 4),
    "metadata that is none": safetensors({**one(), "__metadata__": {"a": [1]}}, b"\0" * 4),
    "other tensors": safetensors(one(), b"\0" * 4),
    "no tensors": safetensors({}),
}

JSON: dict[str, bytes] = {
    "pickle": pickle.dumps(Evil()),
    "nothing": b"",
    "null": b"null\n",
    "list": b"[]\n",
    "number": b"3\n",
    "text": b'"os.system"\n',
    "map": b"{}\n",
    "deep": b"[" * 200_000,
    "deep map": b'{"a":' * 100_000,
    "deep and whole": b"[" * 900 + b"]" * 900,
    "NaN": b'{"time_scale": NaN}',
    "infinite": b"1e999",
    "huge whole number": b"9" * 100_000,
    "not UTF-8": b"\xff\xfe{\x00}\x00",
    "half a pair of surrogates": b'{"a": "\\ud800"}',
    "key twice": b'{"name": "a", "name": "b"}',
    "many small lists": b"[" + b"[]," * 8_000_000 + b"[]]",
}


def _outside(folder: Path, content: bytes) -> Path:
    path = folder.parent / "outside"
    path.write_bytes(content)
    return path


def linked(name: str) -> Change:
    """A file that is a link to its own contents elsewhere."""

    def change(folder: Path) -> None:
        path = folder / name
        target = _outside(folder, path.read_bytes())
        path.unlink()
        path.symlink_to(target)

    return change


def piped(name: str) -> Change:
    """A pipe nobody writes to, said to be empty."""

    def change(folder: Path) -> None:
        (folder / name).write_bytes(b"")
        seal(folder)
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def device(name: str, of: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(b"")
        seal(folder)
        (folder / name).unlink()
        (folder / name).symlink_to(of)

    return change


def sparse(name: str, size: int = 1 << 40) -> Change:
    """A file of a terabyte that takes no room; its digest would take a day to tell."""

    def change(folder: Path) -> None:
        seal(folder, assign("files", name, "bytes", size))
        os.truncate(folder / name, size)

    return change


def _renamed(name: str) -> Callable[[dict[str, Any]], None]:
    """The manifest lists a good entry under this name, too."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["files"][name] = next(iter(manifest["files"].values()))

    return edit


MANIFESTS: dict[str, Change] = {
    **{
        f"name {name[:20]!r}": sealed_manifest(_renamed(name))
        for name in ("..", ".", "", "../outside", "/etc/passwd", "a/b", "a\0b", "manifest.json", "x" * 5_000)
    },
    **{
        f"bytes {value!r}": sealed_manifest(
            lambda m, value=value: assign("bytes", value)(next(iter(m["files"].values())))
        )
        for value in (-1, 1.0, "3", None, True, 1 << 70, [[]])
    },
    **{
        f"sha256 {value!r}": sealed_manifest(
            lambda m, value=value: assign("sha256", value)(next(iter(m["files"].values())))
        )
        for value in (None, 3, "", "0" * 64, [])
    },
    **{
        f"schema {str(value)[:20]!r}": sealed_manifest(assign("schema", value))
        for value in ("mmseq stream 1", "os", "", None, 3, ["mmseq model 1"], {"a": 1}, "x" * 500_000)
    },
    "no files": sealed_manifest(assign("files", {})),
    "files are a list": sealed_manifest(assign("files", [])),
    "entry is text": sealed_manifest(assign("files", "weights.safetensors", "x")),
    "list": lambda folder: _raw(folder, b"[]"),
    "deep": lambda folder: _raw(folder, b"[" * 200_000),
    "deep files": lambda folder: _raw(folder, b'{"schema": "mmseq model 1", "files": ' * 30_000),
    "NaN": lambda folder: _raw(folder, b'{"schema": NaN, "files": {}}'),
    "UTF-16": lambda folder: _raw(folder, '{"schema": 1}'.encode("utf-16")),
    "pickle": lambda folder: _raw(folder, pickle.dumps(Evil())),
    "sparse": lambda folder: os.truncate(folder / "manifest.json", 1 << 40),
    "link": linked("manifest.json"),
    "pipe": lambda folder: _fifo(folder / "manifest.json"),
}


def _raw(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def npy(header: str | bytes, data: bytes = b"", version: tuple[int, int] = (1, 0), size: int = 118) -> bytes:
    """Bytes of a `.npy` file with any header."""
    facts = header if isinstance(header, bytes) else header.encode()
    facts = facts.ljust(size - 1) + b"\n"
    length = struct.pack("<H" if version[0] == 1 else "<I", len(facts) & (0xFFFF if version[0] == 1 else -1))
    return b"\x93NUMPY" + bytes(version) + length + facts + data


def facts(descr: str = "<f8", order: str = "False", shape: str = "(1,)") -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}"


def _objects() -> bytes:
    import io

    stream = io.BytesIO()
    np.save(stream, np.array([Evil()], dtype=object), allow_pickle=True)
    return stream.getvalue()


ARRAYS: dict[str, bytes] = {
    "objects": _objects(),
    "pickle": pickle.dumps(Evil()),
    "nothing": b"",
    "short": b"\x93NUMPY",
    "object dtype": npy(facts("|O"), b"\0" * 8),
    "giant shape": npy(facts(shape="(1152921504606846976,)"), b"\0" * 8),
    "giant shape with a 0": npy(facts(shape="(0, 999999999999999999)")),
    "negative shape": npy(facts(shape="(-1,)"), b"\0" * 8),
    "shape that is no tuple": npy(facts(shape="3"), b"\0" * 8),
    "shape of floats": npy(facts(shape="(1e3,)"), b"\0" * 8),
    "columns first": npy(facts(order="True"), b"\0" * 8),
    "structured": npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }", b"\0" * 8),
    "void of a gigabyte": npy(facts("|V999999999")),
    "big end first": npy(facts(">f8"), b"\0" * 8),
    "dates": npy(facts("<M8[ns]"), b"\0" * 8),
    "giant header": npy(facts(), version=(2, 0), size=1 << 20),
    "version 3": npy(facts(), b"\0" * 8, version=(3, 0)),
    "call in the header": npy("__import__('os').system('touch pwned')"),
    "deep header": npy("(" * 60),
    "key more": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'x': 1}", b"\0" * 8),
    "other dtype": npy(facts("<f4"), b"\0" * 4),
    "more bytes": npy(facts(), b"\0" * 800),
    "another length": npy(facts(shape="(77,)"), b"\0" * 77 * 8),
}
