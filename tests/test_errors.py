"""Errors are data first, and can be found in whatever a library made of them."""

from __future__ import annotations

import copy
import pickle
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from pinio import errors
from pinio.core.decision import Refusal
from pinio.errors import (
    BY_REASON,
    PinError,
    PinFormatError,
    PinMismatchError,
    PinVerificationError,
    PinWarning,
    PolicyError,
    find_pin_error,
)

REFUSAL = Refusal("PIN_MISMATCH", "api.example.com", 443)


def pin_error() -> PinVerificationError:
    return PinMismatchError(REFUSAL)


@pytest.mark.parametrize("kind", BY_REASON.values(), ids=BY_REASON)
def test_a_refusal_is_an_ssl_error_that_nobody_retries(kind: type[PinVerificationError]) -> None:
    """`errno` 1, and what `ssl` sets on its own errors; 2, 3 and 5 mean "try again" to event loops."""
    refusal = Refusal(kind.code, "api.example.com", 443)
    error = kind(refusal)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert isinstance(error, PinError)
    assert isinstance(error, OSError)
    assert error.errno == 1
    assert error.args == (1, refusal.text())
    assert str(error) == refusal.text()
    assert (error.reason, error.library) == (kind.code, "PINIO")
    assert (error.verify_code, error.verify_message) == (50, refusal.summary())
    assert (error.refusal, error.host, error.port) == (refusal, "api.example.com", 443)


def test_verification_errors_are_caught_as_ssl_sets_them() -> None:
    """The same attributes as on an error of the `ssl` module itself."""
    with pytest.raises(ssl.SSLCertVerificationError, match="is pinned") as caught:
        raise pin_error()
    assert {"reason", "library", "verify_code", "verify_message"} <= set(dir(caught.value))


def test_mistakes_of_the_program_are_value_errors() -> None:
    """They are no TLS errors: nobody should retry them."""
    for kind in (PinFormatError, PolicyError):
        assert issubclass(kind, ValueError)
        assert issubclass(kind, PinError)
        assert not issubclass(kind, OSError)
    assert issubclass(PinWarning, UserWarning)


def test_codes_are_unique_and_every_class_has_one() -> None:
    """A reason code names one class; it may be added, never changed."""
    assert {code: kind.__name__ for code, kind in BY_REASON.items()} == {
        "CERTIFICATE_NOT_VERIFIED": "CertificateNotVerifiedError",
        "PIN_MISMATCH": "PinMismatchError",
        "PINS_EXPIRED": "PinExpiredError",
        "UNPINNED_HOST": "UnpinnedHostError",
        "DENIED_KEY": "DeniedKeyError",
        "NO_VERIFIED_CHAIN": "NoVerifiedChainError",
        "PLAINTEXT_REFUSED": "PlaintextRefusedError",
        "OVERRIDE_REFUSED": "OverrideRefusedError",
        "INJECTED_PLAINTEXT": "InjectedPlaintextError",
        "WITNESSES_DISAGREE": "WitnessError",
        "NO_SERVER_NAME": "ServerNameError",
        "NOT_JUDGED": "NotJudgedError",
        "JUDGEMENT_FAILED": "JudgementError",
    }
    public = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, PinVerificationError)
    }
    assert public == {*BY_REASON.values(), PinVerificationError}


@pytest.mark.parametrize("kind", BY_REASON.values(), ids=BY_REASON)
def test_errors_pickle_and_copy(kind: type[PinVerificationError]) -> None:
    """With everything: type, text, refusal and attributes."""
    error = kind(Refusal(kind.code, "api.example.com", 443))
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(same) is kind
        assert (same.args, same.refusal, same.reason) == (error.args, error.refusal, error.reason)
        assert (same.library, same.verify_code, same.verify_message) == (
            "PINIO",
            50,
            error.verify_message,
        )
    for other in (PinFormatError("x"), PolicyError("y")):
        assert pickle.loads(pickle.dumps(other)).args == other.args


class WrappedError(Exception):
    """As HTTP libraries wrap what went wrong below them."""

    def __init__(self, *args: object, **attributes: object) -> None:
        super().__init__(*args)
        vars(self).update(attributes)


def caused(inner: BaseException, outer: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


def during(
    inner: BaseException, outer: BaseException, *, suppressed: bool = False
) -> BaseException:
    outer.__context__, outer.__suppress_context__ = inner, suppressed
    return outer


WRAPPINGS: dict[str, Callable[[PinError], BaseException]] = {
    "itself": lambda error: error,
    "cause": lambda error: caused(error, RuntimeError()),
    "context": lambda error: during(error, RuntimeError()),
    "suppressed context": lambda error: during(error, RuntimeError(), suppressed=True),
    "argument": lambda error: WrappedError("connection aborted", error),
    "list in an attribute": lambda error: WrappedError(reason=[OSError(), error]),
    "group": lambda error: ExceptionGroup("all attempts failed", [OSError(), error]),
    "group of groups": lambda error: BaseExceptionGroup("x", [ExceptionGroup("y", [error])]),
    ".reason": lambda error: WrappedError(reason=error),
    ".certificate_error": lambda error: WrappedError(certificate_error=error),
    ".os_error": lambda error: WrappedError(os_error=error),
    "requests": lambda error: WrappedError(
        WrappedError("pool", "url", reason=caused(error, ssl.SSLError(1, "x")))
    ),
    "a long way": lambda error: caused(
        during(WrappedError(ExceptionGroup("x", [WrappedError(os_error=error)])), OSError()),
        OSError(),
    ),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("kind", ["refusal", "policy", "format"])
def test_the_pin_error_is_found(wrapping: str, kind: str) -> None:
    """Inside causes, contexts, groups, arguments, and the attributes where libraries keep the original."""
    error: PinError = {
        "refusal": pin_error(),
        "policy": PolicyError("x"),
        "format": PinFormatError("y"),
    }[kind]
    assert find_pin_error(WRAPPINGS[wrapping](error)) is error


def test_nothing_is_found_where_nothing_is() -> None:
    """None, strangers, and attributes that are no errors."""
    for error in (
        None,
        OSError(1, "x"),
        ssl.SSLError(1, "x"),
        WrappedError("x", reason="CERTIFICATE_VERIFY_FAILED", os_error=7),
    ):
        assert find_pin_error(error) is None
    assert find_pin_error(ExceptionGroup("x", [OSError(), KeyError()])) is None
    assert find_pin_error(KeyboardInterrupt()) is None


def test_the_nearest_is_found() -> None:
    """Breadth first: the outermost pin error is the one that ended the attempt."""
    near, far = pin_error(), PolicyError("far")
    assert find_pin_error(caused(caused(far, OSError()), during(near, OSError()))) is near


def test_cycles_end() -> None:
    """An exception may be its own context, by way of others."""
    one, other = OSError(), OSError()
    one.__context__, other.__context__ = other, one
    assert find_pin_error(one) is None
    one.__cause__ = pin_error()
    assert find_pin_error(other) is one.__cause__
    circle = WrappedError()
    circle.args = (circle,) * 900
    assert find_pin_error(circle) is None
    assert find_pin_error(caused(caused(pin_error(), OSError()), circle)) is not None


def test_long_and_wide_errors_are_bounded() -> None:
    """Arguments and chains without end are looked at up to a limit, and strings do not count against it."""
    wide = caused(caused(pin_error(), OSError()), WrappedError(*map(str, range(100_000))))
    assert isinstance(find_pin_error(wide), PinMismatchError)
    assert find_pin_error(WrappedError(*map(str, range(100_000)), pin_error())) is None
    assert find_pin_error(WrappedError(*(OSError() for _ in range(100_000)), pin_error())) is None
    deep: BaseException = pin_error()
    for _ in range(2000):
        deep = caused(deep, OSError())
    assert find_pin_error(deep) is None


class RudeError(Exception):
    """An exception whose attributes raise."""

    @property
    def reason(self) -> Any:
        raise RuntimeError("none of your business")


def test_properties_that_raise_are_passed_over() -> None:
    """Somebody else's bug does not hide the pin error, nor raise while an error is handled."""
    assert find_pin_error(RudeError()) is None
    error = pin_error()
    assert find_pin_error(caused(error, RudeError())) is error


def test_the_text_goes_to_the_terminal_as_it_is() -> None:
    """`str` has no errno in front, so that the message can be pasted."""
    assert str(pin_error()).startswith("api.example.com:443 is pinned")
    assert str(PolicyError("what is wrong")) == "what is wrong"
