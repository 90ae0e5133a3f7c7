"""Each detector of the environment: silent where nobody tampered, and not where somebody did."""

from __future__ import annotations

import hashlib
import mmap
import os
import py_compile
import subprocess
import sys
from base64 import urlsafe_b64encode
from pathlib import Path
from types import SimpleNamespace

import pytest

from pinio.tampering import environment, installed, process
from tests.tampering import shims

ROOT = Path(__file__).parents[2]
CLEAN = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def child(program: str, *flags: str, **variables: str) -> str:
    """What a program of its own prints, started from a clean environment."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", program],
        env=CLEAN | variables, cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_a_clean_process_raises_no_alarm() -> None:
    program = """
from pinio.tampering import environment
for answer in environment.look():
    print(answer.question.name, *answer.signs, sep=": ")
"""
    names = [question.name for question in environment.QUESTIONS]
    assert child(program, "-I").splitlines() == names


@pytest.mark.parametrize("name", process.VARIABLES)
def test_a_variable_is_named_and_its_value_is_not_told(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other in process.VARIABLES:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "a secret")
    assert list(process.variables()) == [f"{name} is set"]


@linux
def test_a_tracer_is_named() -> None:
    program = """
import ctypes
from pinio.tampering import process
ctypes.CDLL(None).ptrace(0, 0, 0, 0)  # PTRACE_TRACEME: by the parent
print(*process.tracer())
"""
    assert child(program) == f"process {os.getpid()} traces this one"


def test_a_trace_function_is_seen() -> None:
    program = """
import sys
from pinio.tampering import process
sys.settrace(lambda *arguments: None)
print(*process.debugger())
"""
    assert child(program) == "a trace function is set: builtins.function"


@linux
def test_an_agent_in_the_map_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "frida-agent-64.so"
    file.write_bytes(bytes(mmap.PAGESIZE))
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    with mapped:
        assert f"{file} is mapped" in process.agents()
    # The module frida, which other tests import, is an agent too.
    assert f"{file} is mapped" not in process.agents()


@linux
def test_machine_code_that_was_written_over_is_seen(tmp_path: Path) -> None:
    shims.build(tmp_path)  # skips where OpenSSL is no shared library
    program = """
import ctypes, mmap
from pinio.tampering import process
from pinio.tls.handshake import peer
library = ctypes.CDLL(peer.LIBRARY)
address = ctypes.cast(library.SSL_get_verify_result, ctypes.c_void_p).value
page = address - address % mmap.PAGESIZE
if ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), 2 * mmap.PAGESIZE, 7) == 0:
    genuine = ctypes.string_at(address, 1)
    ctypes.memmove(address, bytes([genuine[0] ^ 1]), 1)
    print(*process.text())
"""
    seen = child(program)
    assert seen.startswith("1 bytes of ")
    assert "libssl" in seen


@linux
def test_a_function_that_another_library_answers_is_seen(tmp_path: Path) -> None:
    shim = shims.build(tmp_path)
    program = "from pinio.tampering import process; print(*process.interposed())"
    seen = child(program, LD_PRELOAD=str(shim))
    assert seen == f"X509_verify_cert is answered by {shim}"
    assert child(program) == ""


def test_a_sitecustomize_is_seen(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("")
    program = "from pinio.tampering import installed; print(*installed.start_up())"
    assert child(program, PYTHONPATH=str(tmp_path)) == f"{tmp_path / 'sitecustomize.py'} ran"


def test_a_pth_file_that_runs_code_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("site.getsitepackages", lambda: [str(tmp_path)])
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "_virtualenv.pth").write_text("import _virtualenv")
    (tmp_path / "paths.pth").write_text("/somewhere\n")
    before = list(installed.start_up())
    (tmp_path / "evil.pth").write_text("import os; os.environ\n")
    assert [sign for sign in installed.start_up() if sign not in before] == [
        f"{tmp_path / 'evil.pth'} runs code"
    ]


@pytest.mark.parametrize("name", ["hashlib", "pinio.core.verify"])
def test_a_shadowed_module_is_seen(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert list(installed.origins()) == []
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(__file__="/tmp/x.py"))
    assert list(installed.origins()) == [f"{name} was loaded from /tmp/x.py"]


def test_a_file_that_is_not_as_recorded_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "pinned_thing.py"
    source.write_text("genuine = True\n")
    digest = urlsafe_b64encode(hashlib.sha256(source.read_bytes()).digest()).rstrip(b"=").decode()
    folder = tmp_path / "pinned_thing-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: pinned-thing\nVersion: 1\n")
    (folder / "RECORD").write_text(f"pinned_thing.py,sha256={digest},15\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(installed, "CHECKED", ("pinned-thing", "no-such-thing"))
    assert list(installed.record()) == []
    source.write_text("genuine = False\n")
    assert list(installed.record()) == [f"{source} is not as recorded"]


def test_bytecode_that_is_not_its_source_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, other = tmp_path / "module.py", tmp_path / "elsewhere.txt"
    source.write_text("genuine = True\n")
    other.write_text("genuine = None\n")
    cached = Path(str(py_compile.compile(str(source), doraise=True)))
    monkeypatch.setattr(installed, "_HOME", tmp_path)
    assert list(installed.caches()) == []
    header = cached.read_bytes()[:16]
    poisoned = tmp_path / "p.pyc"
    py_compile.compile(str(other), cfile=str(poisoned), doraise=True)
    cached.write_bytes(header + poisoned.read_bytes()[16:])
    assert list(installed.caches()) == [f"{cached} is not what module.py compiles to"]
    cached.write_bytes(header)
    assert list(installed.caches()) == [f"{cached} cannot be read"]
    os.utime(source, (1, 1))
    assert list(installed.caches()) == [], "a cache that Python does not use"
