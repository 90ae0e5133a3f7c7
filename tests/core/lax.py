"""What a walker that is not strict finds in a certificate."""

from __future__ import annotations


def lax_walk(certificate: bytes) -> bytes:
    """The walker that people write: tag, length, skip. It reads BER's indefinite length as "no content"."""

    def read(offset: int) -> tuple[int, int]:
        length, start = certificate[offset + 1], offset + 2
        if length & 0x80:
            octets = length & 0x7F
            length, start = (
                int.from_bytes(certificate[start : start + octets], "big"),
                start + octets,
            )
        return start, start + length

    at, _ = read(0)
    at, _ = read(at)
    if certificate[at] == 0xA0:
        _, at = read(at)
    for _ in ("serialNumber", "signature", "issuer", "validity", "subject"):
        _, at = read(at)
    return certificate[at : read(at)[1]]
