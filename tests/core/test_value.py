"""Values change by `replace` alone, and warnings stand where the program called."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import PinWarning, PolicyError
from tests.core.chains import A, B, C

PINS = PinSet([A], backup=[B])
VALUES: dict[str, PinSet | Policy] = {
    "pin set": PINS,
    "policy": Policy(
        {"api.example.com": [A, B]}, exempt={"old.example.com": "retired"}, deny=[C], revision="r1"
    ),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_cannot_be_changed(value: PinSet | Policy) -> None:
    """No attribute can be set, deleted or added; the message says what to do instead."""
    for name in (*type(value)._arguments, "anything"):
        with pytest.raises(AttributeError, match=r"immutable; use \.replace"):
            setattr(value, name, None)
        with pytest.raises(AttributeError, match="immutable"):
            delattr(value, name)
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_copies_are_equal(value: PinSet | Policy) -> None:
    """Copied, pickled or replaced by nothing, a value is equal to itself and hashes alike."""
    for same in (
        copy.copy(value),
        copy.deepcopy(value),
        pickle.loads(pickle.dumps(value)),
        value.replace(),
    ):
        assert same == value
        assert same is not value
        assert hash(same) == hash(value)
        assert repr(same) == repr(value)
    assert value != object()


def test_a_replaced_argument_is_checked() -> None:
    """`replace` is a construction like any other."""
    assert PINS.replace(mode="report-only").mode == "report-only"
    assert PINS.replace(pins=C) != PINS
    with pytest.raises(PolicyError, match="mode is one of"):
        PINS.replace(mode="off")
    with pytest.raises(PolicyError, match="without pins"):
        PINS.replace(pins=[])
    with pytest.raises(TypeError):
        PINS.replace(colour="red")


def test_pickling_warns_once_only() -> None:
    """What was said when a value was made is not said again when its copy is."""
    with pytest.warns(PinWarning, match="one pin and no backup"):
        fragile = PinSet(A)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pickle.loads(pickle.dumps(fragile)) == fragile


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PinSet(A), "one pin and no backup"),
        (lambda: PinSet([A, f"leaf:{A}", B]), "is shadowed by the same pin without a role"),
        (lambda: Policy({"api.example.com": A}), "one pin and no backup"),
        (lambda: Policy({"**.com": [A, B]}), "covers a whole top-level domain"),
        (lambda: Policy({}, unpinned="allow"), "allows every host and pins none"),
        (lambda: PINS.replace(backup=()), "one pin and no backup"),
    ],
    ids=range(6),
)
def test_a_warning_points_at_the_caller(make: Callable[[], Any], said: str) -> None:
    """However deep inside pinio a `PinWarning` arises, its file and line are those of the program."""
    with pytest.warns(PinWarning, match=said) as caught:
        make()
    assert caught[0].filename == __file__
    assert caught[0].lineno == inspect.getsourcelines(make)[1]
