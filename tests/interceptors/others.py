"""Interceptors of npm and PyPI."""

from __future__ import annotations

import subprocess
from typing import ClassVar

from tests.interceptors.base import Interceptor, Way, npm, program, pypi

MOCKTTP = """
const fs = require('fs');
const mockttp = require('mockttp');
const [port, log, through] = process.argv.slice(2);
const https = {keyPath: 'ca.key', certPath: 'ca.pem'};
if (through === 'true') https.tlsPassthrough = [{hostname: 'localhost'}];
const server = mockttp.getLocal({https, socks: true, cors: false});
(async () => {
    await server.forAnyRequest().thenPassThrough({
        ignoreHostHttpsErrors: true,
        beforeRequest: request => {
            const secret = request.headers['x-secret'];
            fs.appendFileSync(log, `${request.method} ${request.url} ${secret}\\n`);
        },
    });
    await server.start(Number(port));
})();
"""


class Mockttp(Interceptor):
    """The library under HTTP Toolkit, as an HTTP proxy."""

    name = "mockttp-http"
    way: ClassVar[Way] = "connect"
    passes_through = True

    @classmethod
    def install(cls) -> None:
        npm("mockttp", "mockttp@4")

    def start(self, *, through: bool = False) -> None:
        self.world.write_ca()
        script = self.world.directory / "mockttp.js"
        script.write_text(MOCKTTP)
        self.run(
            program("node"), script, str(self.port), self.log, str(through).lower(),
            NODE_PATH=str(npm("mockttp", "mockttp@4") / "node_modules"),
        )  # fmt: skip


class MockttpSocks(Mockttp):
    """The same as a SOCKS proxy."""

    name, way = "mockttp-socks5", "socks"


HTTP_MITM_PROXY = """
const fs = require('fs');
const {Proxy} = require('http-mitm-proxy');
const [port, log, directory] = process.argv.slice(2);
const proxy = new Proxy();
proxy.onError(() => {});
proxy.onRequest((context, callback) => {
    const request = context.clientToProxyRequest;
    fs.appendFileSync(log, `${request.method} ${request.url} ${request.headers['x-secret']}\\n`);
    callback();
});
proxy.listen({host: '127.0.0.1', port: Number(port), sslCaDir: directory});
"""


class HttpMitmProxy(Interceptor):
    """http-mitm-proxy, with a CA of its own."""

    name = "http-mitm-proxy"
    way: ClassVar[Way] = "connect"

    @classmethod
    def install(cls) -> None:
        npm("http-mitm-proxy", "http-mitm-proxy@1")

    def start(self, *, through: bool = False) -> None:
        script = self.world.directory / "proxy.js"
        script.write_text(HTTP_MITM_PROXY)
        self.run(
            program("node"), script, str(self.port), self.log, self.world.directory / "own-ca",
            NODE_PATH=str(npm("http-mitm-proxy", "http-mitm-proxy@1") / "node_modules"),
            NODE_TLS_REJECT_UNAUTHORIZED="0",
        )  # fmt: skip

    def trusted(self) -> str:
        return (self.world.directory / "own-ca" / "certs" / "ca.pem").read_text()


PROXY_PY = """
import os
from proxy.http.proxy import HttpProxyBasePlugin

class Log(HttpProxyBasePlugin):
    def handle_client_request(self, request):
        value = (request.headers or {}).get(b"x-secret", (b"", b""))[1].decode()
        with open(os.environ["CAPTURED"], "a") as log:
            log.write(f"{request.method} {request.path} {value}\\n")
        return request
"""


class ProxyPy(Interceptor):
    """proxy.py, which asks openssl for its certificates."""

    name = "proxy.py"
    way: ClassVar[Way] = "connect"

    @classmethod
    def install(cls) -> None:
        program("openssl")
        pypi("proxy.py", "proxy.py>=2.4")

    def start(self, *, through: bool = False) -> None:
        directory = self.world.directory
        certificate, key = self.world.write_ca()
        (directory / "pinio_log.py").write_text(PROXY_PY)
        signing = directory / "signing.key"
        subprocess.run(
            [program("openssl"), "genrsa", "-out", signing, "2048"], capture_output=True, check=True
        )
        self.run(
            pypi("proxy.py", "proxy.py>=2.4") / "proxy", "--hostname", "127.0.0.1",
            "--port", str(self.port), "--num-workers", "1", "--plugins", "pinio_log.Log",
            "--ca-cert-file", certificate, "--ca-key-file", key, "--ca-signing-key-file", signing,
            "--ca-cert-dir", directory, "--ca-file", certificate, "--insecure-tls-interception",
            "--data-dir", directory,
            CAPTURED=str(self.log), PYTHONPATH=str(directory),
        )  # fmt: skip
