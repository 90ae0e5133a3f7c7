"""A resolver for a network namespace: every name has an address of its own."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from contextlib import suppress
from typing import Final

from pinio.testing.activity import poll

_FIRST: Final = int(ipaddress.IPv4Address("198.18.0.1"))  # addresses for tests (RFC 2544)
_MOST: Final = 65_536
_A: Final = 1
_IN: Final = 1
_ANSWER: Final = 0x8180  # a response, recursion desired and available, no error (RFC 1035 4.1.1)


class Names:
    """Answers DNS over UDP: for a name, one address each; for other types than A, none.

    Args:
        sock: a UDP socket that is bound, which is closed in the end.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._names: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self._waker, wake = socket.socketpair()
        self._thread = threading.Thread(
            target=self._serve, args=(wake,), name="pinio-audit-dns", daemon=True
        )
        self._thread.start()

    def name_of(self, address: str) -> str:
        """The name that was resolved to an address; the address if none was."""
        return self._names.get(address, address)

    def close(self) -> None:
        """Stop answering."""
        self._waker.close()
        self._thread.join()
        self._socket.close()

    def _serve(self, wake: socket.socket) -> None:
        with wake:
            while wake not in (ready := poll((self._socket, wake)).to_read):
                if self._socket in ready:
                    self._answer_one()

    def _answer_one(self) -> None:
        with suppress(OSError):  # an ICMP error of an earlier answer, or a client that is gone
            query, sender = self._socket.recvfrom(4096)
            if (answer := self.answer(query)) is not None:
                self._socket.sendto(answer, sender)

    def answer(self, query: bytes) -> bytes | None:
        """The answer to a query (RFC 1035 section 4); None to what is none."""
        try:
            number, _, questions = struct.unpack_from("!HHH", query)
            labels, end = _name(query, 12)
            kind, group = struct.unpack_from("!HH", query, end)
        except (struct.error, IndexError):
            return None
        if questions != 1 or not labels:
            return None
        question = query[12 : end + 4]
        known = kind == _A and group == _IN
        head = struct.pack("!HHHHHH", number, _ANSWER, 1, int(known), 0, 0)
        if not known:
            return head + question
        address = socket.inet_aton(self._address(".".join(labels).lower()))
        return head + question + struct.pack("!HHHIH", 0xC00C, _A, _IN, 60, 4) + address

    def _address(self, name: str) -> str:
        if name not in self._addresses and len(self._addresses) < _MOST:
            address = str(ipaddress.IPv4Address(_FIRST + len(self._addresses)))
            self._addresses[name] = address
            self._names[address] = name
        return self._addresses.get(name, "198.18.0.0")


def _name(message: bytes, at: int) -> tuple[list[str], int]:
    """The labels of a name, and where it ends. A question's has no pointers."""
    labels: list[str] = []
    while length := message[at]:
        label = message[at + 1 : at + 1 + length]
        if length > 63 or len(label) < length:
            raise IndexError(at)
        labels.append(label.decode("latin-1"))
        at += 1 + length
    return labels, at + 1
