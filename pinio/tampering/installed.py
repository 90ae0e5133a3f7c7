"""Detectors that look at what is installed."""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import site
import sys
import sysconfig
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from types import CodeType
from typing import Final

CHECKED: Final = ("pinio", "certifi", "idna", "aiohappyeyeballs")
"""Distributions whose files are compared with their RECORD: what a connection needs."""
STANDARD: Final = ("asyncio", "hashlib", "hmac", "socket", "ssl", "base64", "re", "threading")
"""Modules of the standard library that a judgement leans on."""
LARGEST: Final = 8 << 20
"""Bytes of one file that is read."""

_HOME: Final = Path(__file__).parents[1]
_STANDARD: Final = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")}
)
_VIRTUALENV: Final = "import _virtualenv"


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST)
    except OSError:
        return None


def start_up() -> Iterator[str]:
    """`sitecustomize`, `usercustomize`, and `.pth` files that run code and that no wheel brought."""
    for name in ("sitecustomize", "usercustomize"):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and not str(Path(file).resolve()).startswith(_STANDARD):
            yield f"{file} ran"  # a distribution's own, beside the standard library, is none
    folders = {*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_path("purelib")}
    brought: set[Path] | None = None
    for folder in sorted(folders & set(sys.path)):
        for path in sorted(Path(folder).glob("*.pth")):
            lines = (_read(path) or b"").decode("utf-8", "replace").splitlines()
            code = [line for line in lines if line.startswith(("import ", "import\t"))]
            if code and code != [_VIRTUALENV]:
                brought = _brought() if brought is None else brought
                if path.resolve() not in brought:
                    yield f"{path} runs code"


def _brought() -> set[Path]:
    """The `.pth` files of installed distributions that are as the RECORD says."""
    return {
        Path(str(item.locate())).resolve()
        for found in distributions()
        for item in found.files or ()
        if item.suffix == ".pth" and _is_recorded(Path(str(item.locate())), item.hash)
    }


def _is_recorded(path: Path, recorded: object) -> bool:
    mode, value = getattr(recorded, "mode", ""), getattr(recorded, "value", "")
    data = _read(path)
    if mode != "sha256" or data is None:
        return False
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode() == value


def origins() -> Iterator[str]:
    """Modules from somewhere else than where they are installed."""
    for name in STANDARD:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and not str(Path(file).resolve()).startswith(_STANDARD):
            yield f"{name} was loaded from {file}"
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] == "pinio" and file and not Path(file).is_relative_to(_HOME):
            yield f"{name} was loaded from {file}"


def record() -> Iterator[str]:
    """Files whose hash is not the one in RECORD; an editable install has none of pinio's there."""
    for name in CHECKED:
        try:
            found: Distribution = distribution(name)
        except PackageNotFoundError:
            continue
        for item in found.files or ():
            if item.hash is not None and item.hash.mode == "sha256":
                path = Path(str(item.locate()))
                if not _is_recorded(path, item.hash):
                    yield f"{path} is not as recorded"


def caches() -> Iterator[str]:
    """Bytecode of pinio's modules that their sources do not compile to."""
    for source in sorted(_HOME.rglob("*.py")):
        cached = Path(importlib.util.cache_from_source(str(source)))
        data, text = _read(cached), _read(source)
        if data is None or text is None or not _is_used(data, source):
            continue
        try:
            code = marshal.loads(data[16:])  # noqa: S302  # Python loads it anyway
        except (EOFError, ValueError, TypeError):
            yield f"{cached} cannot be read"
            continue
        if not _same(code, compile(text, str(source), "exec", dont_inherit=True)):
            yield f"{cached} is not what {source.name} compiles to"


def _is_used(data: bytes, source: Path) -> bool:
    """Whether Python would load this cache (PEP 552): it is of this version, and not older than the source."""
    if data[:4] != importlib.util.MAGIC_NUMBER:
        return False
    if int.from_bytes(data[4:8], "little"):
        return True  # by hash, which an attacker may mark as unchecked
    status = source.stat()
    stamp = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    return stamp == (int.from_bytes(data[8:12], "little"), int.from_bytes(data[12:16], "little"))


def _same(one: object, other: CodeType) -> bool:
    return isinstance(one, CodeType) and one == other
