"""Interceptors of Debian: sslsplit, squid, and servers that end TLS with a forged certificate."""

from __future__ import annotations

import os
import shutil
from typing import ClassVar

from tests.interceptors.base import Interceptor, call, debian, program


class Sslsplit(Interceptor):
    """In the genuine server's place, with a certificate minted after the genuine one."""

    name = "sslsplit-direct"
    passes_through = True

    @classmethod
    def install(cls) -> None:
        debian("sslsplit", "sslsplit")

    def start(self, *, through: bool = False) -> None:
        certificate, key = self.world.write_ca()
        user = ("-u", "root") if os.geteuid() == 0 else ()
        where = ("127.0.0.1", str(self.port), "127.0.0.1", str(self.world.origin))
        self.run(
            program("sslsplit"), "-D", *user, "-k", key, "-c", certificate, "-L", self.log,
            "tcp" if through else "ssl", *where,
        )  # fmt: skip


SQUID = """
http_port 127.0.0.1:{port} ssl-bump tls-cert={cert} tls-key={key} generate-host-certificates=on
sslcrtd_program {certgen} -s {directory}/certificates -M 4MB
acl step1 at_step SslBump1
ssl_bump {bump} all
sslproxy_cert_error allow all
tls_outgoing_options flags=DONT_VERIFY_PEER
http_access allow all
cache deny all
logformat secret %rm %ru %{{X-Secret}}>h
access_log stdio:{directory}/captured.log secret
cache_log {directory}/cache.log
pid_filename {directory}/squid.pid
shutdown_lifetime 1 seconds
"""


class Squid(Interceptor):
    """An HTTP proxy that bumps TLS."""

    name = "squid"
    way = "connect"
    passes_through = True

    @classmethod
    def install(cls) -> None:
        debian("squid-openssl", "squid")

    def start(self, *, through: bool = False) -> None:
        directory = self.world.directory
        certificate, key = self.world.write_ca()
        certgen = "/usr/lib/squid/security_file_certgen"
        store = directory / "certificates"
        shutil.rmtree(store, ignore_errors=True)
        call(certgen, "-c", "-s", store, "-M", "4MB")
        settings = {"port": self.port, "cert": certificate, "key": key, "certgen": certgen}
        bump = "splice" if through else "bump"
        text = SQUID.format(directory=directory, bump=bump, **settings)
        (directory / "squid.conf").write_text(text)
        if os.geteuid() == 0:  # it gives root up
            call("chown", "-R", "proxy", directory)
            for parent in (directory, *directory.parents):
                if parent.owner() == "root" and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o001)
        self.run(program("squid"), "-N", "-f", directory / "squid.conf")


class Terminator(Interceptor):
    """Ends TLS with a forged certificate, and passes plaintext on to a server that notes it."""

    package: ClassVar[str]
    command: ClassVar[tuple[str, ...]]
    config: ClassVar[str] = ""

    @classmethod
    def install(cls) -> None:
        debian(cls.package, cls.command[0])

    def start(self, *, through: bool = False) -> None:
        chain, key, both = self.world.write_leaf()
        places = {
            "port": self.port, "plain": self.world.plain, "chain": chain, "key": key, "both": both,
            "directory": self.world.directory,
        }  # fmt: skip
        (self.world.directory / "program.conf").write_text(self.config.format(**places))
        first, *rest = self.command
        self.run(program(first), *(word.format(**places) for word in rest))


class Stunnel(Terminator):
    """stunnel."""

    name, package, command = "stunnel", "stunnel4", ("stunnel4", "{directory}/program.conf")
    config = """
foreground = yes
pid =
[forged]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{plain}
cert = {chain}
key = {key}
"""


class Socat(Terminator):
    """socat."""

    name, package = "socat", "socat"
    command = (
        "socat",
        "OPENSSL-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,cert={chain},key={key},verify=0",
        "TCP:127.0.0.1:{plain}",
    )


class Haproxy(Terminator):
    """haproxy."""

    name, package, command = (
        "haproxy",
        "haproxy",
        ("haproxy", "-db", "-f", "{directory}/program.conf"),
    )
    config = """
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend forged
  bind 127.0.0.1:{port} ssl crt {both}
  default_backend plain
backend plain
  server plain 127.0.0.1:{plain}
"""


class Nghttpx(Terminator):
    """nghttpx, which offers HTTP/2."""

    name, package = "nghttpx", "nghttp2-proxy"
    command = (
        "nghttpx", "-f127.0.0.1,{port}", "-b127.0.0.1,{plain}", "--no-ocsp", "--workers=1",
        "--conf=/dev/null", "{key}", "{chain}",
    )  # fmt: skip
