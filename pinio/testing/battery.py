"""What a pinning client has to stand: each case stages a network, and judges the client."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pinio.core.host import canonical_host
from pinio.testing.authority import CA
from pinio.testing.mitm import Mitm, told
from pinio.testing.reason import Reason, reason_of
from pinio.testing.responder import http
from pinio.testing.site import Site
from pinio.testing.trap import Trap


class Trial:
    """One client in one case. It is led to `site` under `host`, or to an interceptor.

    Args:
        case: a name of `CASES`.
        ca: the CA that the client trusts.
        site: the genuine server, running.
        mitm: the interceptor.
        host: the host that the client connects to.
        port: the port that it connects to.
    """

    def __init__(
        self, case: str, ca: CA, site: Site, mitm: Mitm, host: str, port: int = 443
    ) -> None:
        self.case = CASES[case]
        self.ca, self.site, self.mitm = ca, site, mitm
        self.host, self.port = canonical_host(host), port
        self.trap: Trap | None = None
        site.route(host, port)

    def stage(self) -> None:
        """Prepare the network. Raises `AssertionError` where it cannot be."""
        self.case.stage(self)

    def judge(self, error: BaseException | None) -> str:
        """Tell in words what held. Raises `AssertionError`, saying what did not."""
        return self.case.judge(self, error)


@dataclass(frozen=True)
class Case:
    """One case of the battery.

    Attributes:
        stage: prepares the network.
        judge: looks at what the client raised and at what the servers saw.
        summary: what the case is, in words.
    """

    stage: Callable[[Trial], object]
    judge: Callable[[Trial, BaseException | None], str]
    summary: str


def _nothing(_trial: Trial) -> None:
    """The network as it is: the genuine server."""


def _served(trial: Trial, error: BaseException | None) -> str:
    if error is not None:
        line = (str(error).splitlines() or [""])[0]
        raise AssertionError(
            "the client does not reach the genuine server; "
            f"it raised {type(error).__name__}: {line}"
        )
    received = len(trial.site.application_bytes)
    if not received:
        raise AssertionError("the client told the genuine server nothing: it did not connect")
    return f"served; {received} application bytes"


def _intercepted(version: ssl.TLSVersion | None) -> Callable[[Trial], None]:
    def stage(trial: Trial) -> None:
        trial.mitm.route(trial.host, trial.port, tls_version=version)

    return stage


def _padded(trial: Trial) -> None:
    forged = trial.ca.issue(trial.host)
    trial.mitm.route(trial.host, trial.port, leaf=forged.serving(*trial.site.leaf.chain))


def _another_kind(trial: Trial) -> None:
    trial.mitm.route(trial.host, trial.port, leaf=trial.ca.issue(trial.host, key_type="rsa"))


def _refused_by_pin(trial: Trial, error: BaseException | None) -> str:
    return str(trial.mitm.assert_refused(error, by="pin"))


def _refused_by(reason: Reason) -> Callable[[Trial, BaseException | None], str]:
    def judge(trial: Trial, error: BaseException | None) -> str:
        if sent := len(trial.site.application_bytes):
            raise AssertionError(f"the client sent {sent} application bytes nevertheless")
        if not trial.site.connections:
            raise AssertionError("the client never connected")
        found = None if error is None else reason_of(error)
        if found != reason:
            raise AssertionError(f"the client was stopped by {found}, not by the {reason}")
        return f"refused by {reason}; 0 application bytes"

    return judge


def _no_tls(trial: Trial) -> None:
    trial.trap = trial.mitm.route(trial.host, trial.port, tls=False)


def _no_plaintext(trial: Trial, _error: BaseException | None) -> str:
    if trial.trap is None:
        raise RuntimeError("the case was not staged")
    visits = trial.trap.visits()
    told(visits, trial.host)
    if not visits:
        raise AssertionError("the client never connected")
    return f"nothing in clear; {len(visits)} connections were reset"


def _redirecting(trial: Trial) -> None:
    """The genuine server redirects to http://, where an interceptor waits."""
    site, host = trial.site, trial.host
    site.answer(http(status=307, headers=[("Location", f"http://{host}/")]))
    trial.trap = trap = trial.mitm.route(host, 80, tls=True)
    # The genuine server keeps its port: the latest route wins, and an exact port wins.
    site.route(host, trial.port)
    trap.begin()


def _not_redirected(trial: Trial, _error: BaseException | None) -> str:
    if trial.trap is None:
        raise RuntimeError("the case was not staged")
    if not trial.site.application_bytes:
        raise AssertionError("the client never reached the genuine server")
    told(trial.trap.visits(), trial.host)
    return "nothing in clear"


_PIN: Final = _refused_by_pin
CASES: Final[dict[str, Case]] = {
    "genuine": Case(_nothing, _served, "the genuine server"),
    "renewed": Case(
        lambda trial: trial.site.renew(), _served, "its certificate renewed, with the same key"
    ),
    "interceptor, TLS 1.3": Case(
        _intercepted(ssl.TLSVersion.TLSv1_3), _PIN, "a trusted certificate with another key"
    ),
    "interceptor, TLS 1.2": Case(
        _intercepted(ssl.TLSVersion.TLSv1_2), _PIN, "the same over TLS 1.2"
    ),
    "interceptor, RSA key": Case(_another_kind, _PIN, "the same with a key of another kind"),
    "genuine chain appended": Case(
        _padded, _PIN, "the genuine certificates sent behind the interceptor's"
    ),
    "expired": Case(
        lambda trial: trial.site.expire(),
        _refused_by("certificate"),
        "the genuine key in an expired certificate",
    ),
    "other name": Case(
        lambda trial: trial.site.misname(),
        _refused_by("name"),
        "the genuine key in a certificate for another name",
    ),
    "unknown CA": Case(
        lambda trial: trial.site.distrust(),
        _refused_by("certificate"),
        "the genuine key in a certificate of a CA that is not trusted",
    ),
    "TLS is reset": Case(_no_tls, _no_plaintext, "TLS breaks, and plaintext would be answered"),
    "redirect to http": Case(
        _redirecting, _not_redirected, "the genuine server redirects to plaintext"
    ),
}
"""By name, in the order in which they run."""
