from __future__ import annotations

from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.verify import judge
from pinio.tls.handshake.gate import TRANSITIONS, Event, Gate, GateError, State
from tests.tls.cast import GENUINE, MISPINNED, pinned


def gate_permit() -> Permit:
    permit = judge(pinned().endpoint("localhost", 443), VerifiedChain(GENUINE.chain), now=0.0)
    assert isinstance(permit, Permit)
    return permit


PERMIT = gate_permit()

ROUTES: dict[State, list[Event]] = {
    State.IDLE: [],
    State.HANDSHAKING: [Event.START],
    State.VERIFYING: [Event.START, Event.CHAIN_KNOWN],
    State.PERMITTED: [Event.START, Event.CHAIN_KNOWN, Event.PERMIT],
    State.OPEN: [Event.START, Event.CHAIN_KNOWN, Event.PERMIT, Event.HANDSHAKE_DONE],
    State.CLOSING: [
        Event.START,
        Event.CHAIN_KNOWN,
        Event.PERMIT,
        Event.HANDSHAKE_DONE,
        Event.SHUTDOWN,
    ],
    State.REFUSED: [Event.START, Event.FAIL],
    State.CLOSED: [Event.FAIL],
}


def take(gate: Gate, event: Event) -> None:
    """Let `event` happen by the method that is there for it."""
    if event is Event.PERMIT:
        gate.permit_by(PERMIT)
    elif event is Event.HANDSHAKE_DONE:
        gate.open()
    else:
        gate.advance(event)


def gate_in(state: State) -> Gate:
    gate = Gate()
    for event in ROUTES[state]:
        take(gate, event)
    assert gate.state is state
    return gate


EDGES = [(state, event) for state in State for event in Event]


@pytest.mark.parametrize(
    ("state", "event"), [edge for edge in EDGES if edge[1] in TRANSITIONS[edge[0]]]
)
def test_every_edge_of_the_table_is_taken(state: State, event: Event) -> None:
    gate = gate_in(state)
    take(gate, event)
    assert gate.state is TRANSITIONS[state][event]


@pytest.mark.parametrize(
    ("state", "event"), [edge for edge in EDGES if edge[1] not in TRANSITIONS[edge[0]]]
)
def test_a_missing_edge_raises_and_changes_nothing(state: State, event: Event) -> None:
    gate = gate_in(state)
    permit = gate.permit
    with pytest.raises(GateError):
        take(gate, event)
    assert gate.state is state
    assert gate.permit is permit


@pytest.mark.parametrize("event", [Event.PERMIT, Event.HANDSHAKE_DONE])
@pytest.mark.parametrize("state", State)
def test_what_takes_a_permit_cannot_be_had_without(state: State, event: Event) -> None:
    gate = gate_in(state)
    with pytest.raises(GateError):
        gate.advance(event)
    assert gate.state is state


class ForgedPermit(Permit):
    """A subclass could answer differently tomorrow."""

    def __init__(self) -> None:
        pass


REFUSAL = judge(MISPINNED.endpoint("localhost", 443), VerifiedChain(GENUINE.chain), now=0.0)


@pytest.mark.parametrize(
    "forged",
    [None, True, "permit", REFUSAL, Permit, ForgedPermit(), Mock(spec=Permit)],
    ids=["None", "True", "text", "Refusal", "the class", "subclass", "mock"],
)
def test_the_gate_opens_for_nothing_but_a_permit(forged: object) -> None:
    assert isinstance(REFUSAL, Refusal)
    gate = gate_in(State.VERIFYING)
    with pytest.raises(TypeError):
        gate.permit_by(forged)  # type: ignore[arg-type]
    assert gate.state is State.VERIFYING
    with pytest.raises(GateError):
        gate.open()
    assert gate.state is State.VERIFYING


def test_a_permit_is_published_when_the_gate_opens_and_not_before() -> None:
    gate = gate_in(State.PERMITTED)
    assert gate.permit is None
    assert gate.open() is PERMIT
    assert gate.permit is PERMIT


def test_a_gate_that_somebody_pushed_has_no_permit_to_open_with() -> None:
    gate = Gate()
    gate.state = State.PERMITTED
    with pytest.raises(GateError, match="no Permit"):
        gate.open()
    assert gate.permit is None


def test_a_permit_of_a_failed_handshake_is_never_published() -> None:
    gate = gate_in(State.PERMITTED)
    gate.fail()
    with pytest.raises(GateError):
        gate.open()
    assert gate.state is State.CLOSED
    assert gate.permit is None


@pytest.mark.parametrize("state", State)
def test_a_permit_is_renewed_of_an_open_or_closing_connection_and_by_a_permit(state: State) -> None:
    gate = gate_in(state)
    before, renewed = gate.permit, gate_permit()
    if state in (State.OPEN, State.CLOSING):
        gate.renew(renewed)
        assert gate.permit is renewed
    else:
        with pytest.raises(GateError):
            gate.renew(renewed)
        assert gate.permit is before
    with pytest.raises(GateError):
        gate.renew(ForgedPermit())
    assert gate.state is state


@pytest.mark.parametrize("state", State)
def test_fail_ends_every_state_for_good(state: State) -> None:
    gate = gate_in(state)
    gate.fail()
    ended = gate.state
    assert not TRANSITIONS[ended]
    gate.fail()
    assert gate.state is ended


@given(st.lists(st.sampled_from(Event), max_size=12))
def test_no_sequence_of_events_opens_the_gate_past_a_permit(events: list[Event]) -> None:
    gate, path = Gate(), list[Event]()
    for event in events:
        try:
            take(gate, event)
        except GateError:
            continue
        path.append(event)
        if gate.state is State.OPEN:
            assert path == ROUTES[State.OPEN]


def test_a_gate_says_where_it_is() -> None:
    assert repr(Gate()) == "<Gate idle>"
