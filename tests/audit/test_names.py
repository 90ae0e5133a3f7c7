"""The resolver of a namespace."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinio.audit.names import Names

LABELS = b"\x03api\x07example\x03com\x00"


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    names = Names(sock)
    yield names
    names.close()
    assert sock.fileno() == -1 and not names._thread.is_alive()


def query(labels: bytes = LABELS, kind: int = 1, questions: int = 1) -> bytes:
    return (
        struct.pack("!HHHHHH", 7, 0x100, questions, 0, 0, 0) + labels + struct.pack("!HH", kind, 1)
    )


def address(answer: bytes | None) -> str:
    assert answer is not None and answer[:2] == b"\x00\x07" and answer[7] == 1
    return socket.inet_ntoa(answer[-4:])


def test_a_name_has_one_address_which_leads_back_to_it(names: Names) -> None:
    first = address(names.answer(query()))
    assert address(names.answer(query(LABELS.upper()))) == first
    assert address(names.answer(query(b"\x05other\x00"))) != first
    assert names.name_of(first) == "api.example.com"
    assert names.name_of("127.0.0.1") == "127.0.0.1"


def test_another_type_has_no_address(names: Names) -> None:
    answer = names.answer(query(kind=28))
    assert answer is not None and answer[6:8] == b"\x00\x00"


@pytest.mark.parametrize(
    "wrong", [b"", b"\x00" * 11, query(questions=2), query(b"\x00"), query()[:20]]
)
def test_what_is_no_query_has_no_answer(names: Names, wrong: bytes) -> None:
    assert names.answer(wrong) is None


@given(data=st.binary(max_size=64))
def test_nothing_makes_it_fail(names: Names, data: bytes) -> None:
    answer = names.answer(data)
    assert answer is None or answer[:2] == data[:2]


def test_it_answers_over_udp(names: Names) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(60)
        sock.sendto(query(), names._socket.getsockname())
        assert address(sock.recv(512)).startswith("198.18.")
