"""Penstock itself as a wheel, made of the files that it runs from: for places that no package index reaches."""

import base64
import hashlib
import io
import zipfile
from pathlib import Path

from penstock.version import __version__

__all__ = ["own_wheel", "serving_requirements"]

_PACKAGE = Path(__file__).resolve().parents[1]
_LEFT_OUT = {"__pycache__", ".DS_Store"}
_EPOCH = (1980, 1, 1, 0, 0, 0)

_METADATA = f"""\
Metadata-Version: 2.4
Name: penstock
Version: {__version__}
Summary: From a raw table to a live prediction service.
License-Expression: Apache-2.0
Requires-Python: >=3.11
"""
_WHEEL = """\
Wheel-Version: 1.0
Generator: penstock export
Root-Is-Purelib: true
Tag: py3-none-any
"""
_ENTRY_POINTS = """\
[console_scripts]
penstock = penstock.cli.main:main
"""


def own_wheel() -> tuple[str, bytes]:
    """File name and content of a wheel without requirements: what it needs is named beside it, with hashes.

    The same files give the same bytes.
    """
    info = f"penstock-{__version__}.dist-info"
    files = {f"penstock/{path.relative_to(_PACKAGE).as_posix()}": path.read_bytes() for path in _own_files()}
    files |= {
        f"{info}/METADATA": _METADATA.encode(),
        f"{info}/WHEEL": _WHEEL.encode(),
        f"{info}/entry_points.txt": _ENTRY_POINTS.encode(),
    }
    record = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return f"penstock-{__version__}-py3-none-any.whl", packed.getvalue()


def serving_requirements() -> bytes:
    """The pip requirements of `penstock serve`, each with its hashes."""
    return (_PACKAGE / "export" / "serve.txt").read_bytes()


def _own_files() -> list[Path]:
    return sorted(path for path in _PACKAGE.rglob("*") if path.is_file() and not _LEFT_OUT & set(path.parts))


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
