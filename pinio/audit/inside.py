"""Leads everything in new namespaces to the interceptor, then becomes the program.

python -m pinio.audit.inside DESCRIPTOR BUNDLE RESOLVER STORE… -- COMMAND…

Sockets that listen in here go to the interceptor through the descriptor, a Unix socket. It imports
nothing of pinio's kit, since it runs for each audited program.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

_RULES = """
table inet pinio {{
    counter quic {{ }}
    chain out {{
        type nat hook output priority -100;
        meta nfproto ipv4 tcp dport != {port} redirect to :{port}
        udp dport 53 redirect to :{names}
    }}
    chain filter {{
        type filter hook output priority 0;
        udp dport 443 counter name quic reject
    }}
}}
"""


def main(arguments: list[str]) -> None:
    """Set up the namespaces, hand the sockets over, and execute the program."""
    end = arguments.index("--")
    descriptor, bundle, resolver, *stores = arguments[:end]
    command = arguments[end + 1 :]
    _run("ip", "link", "set", "lo", "up")
    # Every address is this machine's, so that connections to all of them can be redirected.
    _run("ip", "route", "add", "local", "default", "dev", "lo")
    listening = socket.create_server(("0.0.0.0", 0), backlog=1024)  # noqa: S104 - of this namespace
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 0))  # where what is redirected arrives, and answers come from
    ports = {"port": listening.getsockname()[1], "names": names.getsockname()[1]}
    _run("nft", "-f", "-", text=_RULES.format(**ports))
    for store in stores:
        _run("mount", "--bind", bundle, os.path.realpath(store))
    _run("mount", "--bind", resolver, os.path.realpath("/etc/resolv.conf"))
    with socket.socket(fileno=int(descriptor)) as parent:
        network = os.open("/proc/self/ns/net", os.O_RDONLY)
        socket.send_fds(parent, [b"ready"], [listening.fileno(), names.fileno(), network])
        parent.recv(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the program that the user names
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


def _run(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")


if __name__ == "__main__":
    main(sys.argv[1:])
