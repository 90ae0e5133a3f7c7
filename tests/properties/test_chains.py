"""What an attacker may do to a chain: flip, cut, swap, add. It never becomes a match."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pinio.core.certificate import Certificate, VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet
from tests.core.chains import A, B, attacker, genuine, judged

GENUINE, EVIL = genuine(), attacker()
WHOLE = [Pin.of_certificate(der, selector="cert") for der in GENUINE.ders]


@given(st.integers(0, 2), st.data())
def test_a_flipped_bit_never_turns_a_mismatch_into_a_match(
    position: int, data: st.DataObject
) -> None:
    """Any bit of any certificate of the interceptor's chain, against the pins of every genuine key and certificate."""
    ders = list(EVIL.ders)
    ders[position] = _flipped(
        ders[position], data.draw(st.integers(0, 8 * len(ders[position]) - 1))
    )
    for pins in ([*GENUINE.pins], WHOLE, [f"leaf:{GENUINE.pins[0]}", f"ca:{GENUINE.pins[1]}"]):
        assert isinstance(judged(pins, VerifiedChain(ders)), Refusal)
    assert isinstance(
        judged(PinSet([*GENUINE.pins], trust="leaf-pin"), VerifiedChain(ders)), Refusal
    )


def test_every_flipped_bit_of_a_genuine_certificate_is_seen_by_a_certificate_pin() -> None:
    """A pin of the whole certificate matches those bytes alone; a key's pin matches as long as the key is the same."""
    der = GENUINE.leaf.der
    spki = Certificate.of(der).spki
    assert spki is not None
    whole, key = PinSet([WHOLE[0], A]), PinSet([GENUINE.leaf.pin, A])
    for bit in range(8 * len(der)):
        chain = VerifiedChain([_flipped(der, bit)])
        assert isinstance(judged(whole, chain), Refusal)
        if isinstance(judged(key, chain), Permit):
            assert spki in chain.leaf.der


def _flipped(der: bytes, bit: int) -> bytes:
    at, mask = bit // 8, 1 << bit % 8
    return der[:at] + bytes((der[at] ^ mask,)) + der[at + 1 :]


@given(
    st.lists(st.sampled_from(EVIL.ders), min_size=1, max_size=6),
    st.lists(st.sampled_from(GENUINE.ders), max_size=6),
)
def test_genuine_certificates_behind_an_attacker_s_leaf(
    evil: list[bytes], added: list[bytes]
) -> None:
    """Under `leaf-pin`, where nothing above the leaf was verified, nothing that is appended helps."""
    pins = PinSet([*GENUINE.pins, A], trust="leaf-pin")
    assert isinstance(judged(pins, VerifiedChain(evil + added)), Refusal)


@given(
    st.permutations(range(3)),
    st.lists(st.sampled_from(["", "leaf:", "ca:"]), min_size=3, max_size=3),
)
def test_a_match_is_where_the_pin_says(order: list[int], roles: list[str]) -> None:
    """Whatever the order of a chain, the pin that matched has the key at that position, and the role for it."""
    ders = [GENUINE.ders[at] for at in order]
    pins = [role + pin for role, pin in zip(roles, GENUINE.pins, strict=True)]
    decision = judged([*pins, A, B], VerifiedChain(ders))
    allowed = [
        position
        for position, at in enumerate(order)
        if {"": True, "leaf:": position == 0, "ca:": position > 0}[roles[at]]
    ]
    if not allowed:
        assert isinstance(decision, Refusal)
        return
    assert isinstance(decision, Permit)
    assert decision.position == min(allowed)
    assert str(decision.pin) == pins[order[min(allowed)]]
