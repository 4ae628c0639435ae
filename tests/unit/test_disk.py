"""Digests of bytes and of files."""

from __future__ import annotations

from pathlib import Path

from mmseq.disk import digest, digest_file

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def test_bytes_and_files_have_one_digest(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert digest(b"abc") == digest_file(tmp_path / "abc") == ABC
