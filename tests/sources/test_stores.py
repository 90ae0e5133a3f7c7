"""The examples of stores, against the real servers over TLS. Without a server its test is skipped."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import pinio
from pinio import Policy, PolicyError
from pinio.sources import AsyncSource
from pinio.testing import CA, Leaf, Request, Server, http
from tests.docs.pages import blocks
from tests.formats.policies import OTHER, PIN
from tests.sources.following import text

POLICY = Policy({"a.example": [PIN, OTHER]}, revision="1")


def example(name: str) -> Any:
    """The function `fetch` of an example in the how-to."""
    (source,) = [block.text for block in blocks("docs/howto/sources.md") if block.title == name]
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace["fetch"]


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """A server that answers on a port of loopback."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        while True:
            assert process.poll() is None, (folder / "log").read_text("utf-8", "replace")
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                continue
        yield
    finally:
        process.terminate()
        process.wait()


def identity(folder: Path) -> tuple[CA, Leaf, str, str]:
    ca = CA()
    leaf = ca.issue("localhost", "127.0.0.1")
    certificate, key = leaf.write(folder)
    return ca, leaf, str(certificate), str(key)


def source_of(fetch: Callable[[], Awaitable[bytes]]) -> AsyncSource:
    return AsyncSource(fetch, name="store", interval=100_000.0)


def follows(source: AsyncSource, put: Callable[[str], object]) -> None:
    """It takes a change, and keeps the last good policy over garbage and an empty key."""
    assert source.current == POLICY
    later = POLICY.replace(revision="2")
    put(text(later))
    source.refresh()
    assert source.current == later and source.error is None
    for garbage in ("garbage", ""):
        put(garbage)
        source.refresh()
        assert source.current == later and isinstance(source.error, PolicyError)
    source.close()


def test_the_example_for_redis_follows_a_real_server(tmp_path: Path) -> None:
    redis = pytest.importorskip("redis")
    server, port = program("redis-server"), free_port()
    ca, leaf, certificate, key = identity(tmp_path)
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(ca.certificate_pem, "ascii")
    command = [server, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1"]
    command += ["--tls-cert-file", certificate, "--tls-key-file", key]
    command += ["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"]
    command += ["--save", "", "--dir", str(tmp_path)]

    def context(pin: str) -> pinio.PinnedSSLContext:
        pins = pinio.PinSet(pin, single="a test", anchors=ca.anchors)
        return pinio.create_ssl_context(Policy({"localhost": pins}))

    with running(command, port, tmp_path):
        fetch = example("redis_pins.py")

        def put(value: str) -> None:
            options = {"ssl_ca_certs": ca_file, "ssl_check_hostname": True}
            with redis.Redis("localhost", port, ssl=True, **options) as store:
                store.set("pins", value)

        put(text(POLICY))
        follows(source_of(lambda: fetch("localhost", port, context(leaf.pin))), put)
        with pytest.raises(PolicyError, match="is pinned"):  # it is somebody else's
            source_of(lambda: fetch("localhost", port, context(PIN)))


def test_the_example_for_etcd_follows_a_real_server(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    from pinio.aiohttp import PinnedConnector

    server, port, peer = program("etcd"), free_port(), free_port()
    ca, leaf, certificate, key = identity(tmp_path)
    url, peers = f"https://localhost:{port}", f"http://127.0.0.1:{peer}"
    command = [server, "--data-dir", str(tmp_path / "data"), "--name", "one"]
    command += ["--listen-client-urls", f"https://127.0.0.1:{port}", "--advertise-client-urls", url]
    command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
    command += ["--initial-cluster", f"one={peers}"]
    command += ["--cert-file", certificate, "--key-file", key]

    def connector(pin: str) -> Callable[[], PinnedConnector]:
        pins = pinio.PinSet(pin, single="a test", anchors=ca.anchors)
        return lambda: PinnedConnector(Policy({"localhost": pins}))

    with running(command, port, tmp_path):
        fetch = example("etcd_pins.py")

        def put(value: str) -> None:
            async def put_it() -> None:
                import aiohttp

                encoded = [base64.b64encode(part.encode()).decode() for part in ("pins", value)]
                body = json.dumps(dict(zip(("key", "value"), encoded, strict=True)))
                async with (
                    aiohttp.ClientSession(connector=connector(leaf.pin)()) as session,
                    session.post(f"{url}/v3/kv/put", data=body) as response,
                ):
                    response.raise_for_status()

            asyncio.run(put_it())

        put(text(POLICY))
        follows(source_of(lambda: fetch(url, connector(leaf.pin))), put)
        with pytest.raises(PolicyError, match="PinMismatchError"):
            source_of(lambda: fetch(url, connector(PIN)))


def test_the_examples_for_consul_and_kubernetes_ask_as_those_answer() -> None:
    """The servers cannot be installed here: one of ours answers what their manuals say."""
    pytest.importorskip("aiohttp")
    from pinio.aiohttp import PinnedConnector

    ca = CA()
    leaf = ca.issue("localhost")
    kept = {"pins": ""}
    paths: dict[str, tuple[str, str, Callable[[], str]]] = {
        "/v1/kv/pins?raw": ("x-consul-token", "secret", lambda: kept["pins"]),
        "/api/v1/namespaces/default/configmaps/pins": (
            "authorization",
            "Bearer secret",
            lambda: json.dumps({"data": {"policy.toml": kept["pins"]}}),
        ),
    }

    def answer(request: Request) -> bytes:
        header, value, body = paths[request.target]
        assert request.header(header) == value
        return body().encode()

    json_type = [("Content-Type", "application/json")]
    with Server(leaf, handler=http(answer, headers=json_type)) as server:
        pins = pinio.PinSet(leaf.pin, single="a test", anchors=ca.anchors)
        for name in ("consul_pins.py", "kubernetes_pins.py"):
            kept["pins"] = text(POLICY)
            fetch, url = example(name), f"https://localhost:{server.port}"

            def ask(fetch: Any = fetch, url: str = url) -> Awaitable[bytes]:
                connector = lambda: PinnedConnector(Policy({"localhost": pins}))  # noqa: E731
                found: Awaitable[bytes] = fetch(url, connector, "secret")
                return found

            follows(source_of(ask), lambda value: kept.update(pins=value))
