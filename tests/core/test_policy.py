"""Which rule holds for which host, and what a policy refuses to be."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any, Final
from unittest import mock

import pytest

from pinio.core.anchors import Anchors
from pinio.core.pinset import PinSet
from pinio.core.policy import MAX_ANSWERS, Policy, Rule
from pinio.errors import (
    PinError,
    PinFormatError,
    PinWarning,
    PlaintextRefusedError,
    PolicyError,
    UnpinnedHostError,
)
from tests.core.chains import A, B, C, genuine

PINS: Final = PinSet([A, B])


def policy(*patterns: str, **arguments: Any) -> Policy:
    """A policy with the same two pins for each pattern."""
    return Policy(dict.fromkeys(patterns, PINS), **arguments)


def applied(tested: Policy, host: str) -> str | None:
    """The pattern that applies."""
    return tested.lookup(host).pattern


EVERY_PATTERN: Final = (
    "c.b.x.test", "*.b.x.test", "**.b.x.test", "b.x.test", "*.x.test", "**.x.test", "**.test.",
    "192.0.2.7", "::1", "localhost",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*top-level:pinio.errors.PinWarning")
@pytest.mark.parametrize(
    ("host", "pattern"),
    [
        ("c.b.x.test", "c.b.x.test"),
        ("d.b.x.test", "*.b.x.test"),
        ("e.d.b.x.test", "**.b.x.test"),
        ("f.e.d.b.x.test", "**.b.x.test"),
        ("b.x.test", "b.x.test"),
        ("y.x.test", "*.x.test"),
        ("z.y.x.test", "**.x.test"),
        ("x.test", "**.x.test"),
        ("other.test", "**.test"),
        ("test", "**.test"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.8", None),
        ("0:0::1", "::1"),
        ("[::1]", "::1"),
        ("localhost", "localhost"),
        ("a.localhost", None),
        ("test.example", None),
        ("xtest", None),
        ("nottest", None),
        ("C.B.X.TEST.", "c.b.x.test"),
        ("\uff43.b\u3002x.test", "c.b.x.test"),
    ],
)
def test_the_most_specific_pattern_applies(host: str, pattern: str | None) -> None:
    """More literal labels win, and at equal count exact beats `*.` beats `**.`; labels are whole."""
    assert applied(policy(*EVERY_PATTERN), host) == pattern


@pytest.mark.parametrize(
    ("patterns", "host", "pattern"),
    [
        (("**.b.test", "*.test"), "b.test", "**.b.test"),
        (("*.b.test", "**.b.test"), "b.test", "**.b.test"),
        (("*.b.test", "**.b.test"), "a.b.test", "*.b.test"),
        (("*.b.test", "**.b.test"), "z.a.b.test", "**.b.test"),
        (("*.test", "b.test"), "b.test", "b.test"),
        (("**.b.test", "b.test"), "b.test", "b.test"),
        (("*.b.test",), "b.test", None),
        (("*.b.test",), "z.a.b.test", None),
        (("*.b.test",), "ab.test", None),
        (("**.b.test",), "ab.test", None),
        (("**.b.test",), "b.test.evil.example", None),
        (("b.test",), "evilb.test", None),
        (("b.test",), "a.b.test", None),
    ],
)
@pytest.mark.filterwarnings("ignore:.*top-level:pinio.errors.PinWarning")
def test_specificity_and_label_borders(
    patterns: tuple[str, ...], host: str, pattern: str | None
) -> None:
    """An apex is literal labels too; nothing matches in the middle of a label."""
    assert applied(policy(*patterns), host) == pattern


@pytest.mark.filterwarnings("ignore:.*top-level:pinio.errors.PinWarning")
def test_the_order_of_entries_means_nothing() -> None:
    """Every order of the same entries, exempt ones among them, gives an equal policy and the same rules."""
    hosts = {"**.test": [A, B], "*.b.test": [A, C], "b.test": [B, C]}
    exempt = {"**.b.test": "one", "a.b.test": "two"}
    names = ["test", "x.test", "b.test", "a.b.test", "c.b.test", "d.c.b.test"]
    first = Policy(hosts, exempt=exempt)
    assert [applied(first, name) for name in names] == [
        "**.test", "**.test", "b.test", "a.b.test", "*.b.test", "**.b.test"
    ]  # fmt: skip
    for some, others in itertools.product(
        itertools.permutations(hosts), itertools.permutations(exempt)
    ):
        again = Policy(
            {name: hosts[name] for name in some}, exempt={name: exempt[name] for name in others}
        )
        assert again == first
        assert hash(again) == hash(first)
        assert [again.lookup(name) for name in names] == [first.lookup(name) for name in names]


def test_sets_are_never_merged() -> None:
    """The more specific set stands alone."""
    tested = Policy({"**.example.com": [A, B], "api.example.com": PinSet(C, single="test")})
    rule = tested.lookup("api.example.com")
    assert rule.pin_set is not None
    assert [str(pin) for pin in rule.pin_set.pins] == [C]


def test_an_exempt_host_is_taken_out_of_a_wider_pattern() -> None:
    """And a pinned one out of a wider exemption; the reason stays with the rule."""
    tested = Policy(
        {"**.example.com": [A, B], "pay.legacy.example.com": [A, B]},
        exempt={"**.legacy.example.com": "no keys known"},
    )
    assert tested.lookup("old.legacy.example.com") == Rule(
        "**.legacy.example.com", None, "no keys known"
    )
    assert tested.lookup("pay.legacy.example.com").pin_set is not None
    assert tested.lookup("example.com").pin_set is not None
    assert tested.endpoint("old.legacy.example.com").rule.exempt == "no keys known"
    assert tested.exempt == {"**.legacy.example.com": "no keys known"}


def test_looking_up_nonsense_is_an_error_not_a_miss() -> None:
    """A host that cannot be one has no rule, not "no entry"; whatever its type."""
    nonsense: list[Any] = [
        "",
        "a..b",
        "127.1",
        "exa mple.com",
        None,
        7,
        b"api.example.com",
        ["api.example.com"],
        {},
    ]
    tested = policy("api.example.com", unpinned="allow")
    for host in nonsense:
        for ask in (tested.lookup, tested.endpoint, tested.explain):
            with pytest.raises(PolicyError):
                ask(host)


class Liar(str):
    """A text that equals whatever it is compared with."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("exempt.example.com")


def test_a_lookup_does_not_ask_the_text_what_it_equals() -> None:
    """A subclass of `str` is looked up by its characters."""
    tested = policy("api.example.com", exempt={"exempt.example.com": "test"})
    assert applied(tested, Liar("api.example.com")) == "api.example.com"
    assert tested.endpoint(Liar("api.example.com")).host == "api.example.com"
    assert type(tested.endpoint(Liar("api.example.com")).host) is str


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no mapping": ({"hosts": ["api.example.com"]}, "hosts is a mapping"),
    "None": ({"hosts": None}, "hosts is a mapping"),
    "a file's name": ({"hosts": "pins.toml"}, "hosts is a mapping of patterns to pins, not str; pinio.load_policy reads a file"),
    "a leading dot": ({"hosts": {".example.com": [A, B]}}, r"\(a name and all below it is '\*\*\.' and the name\)"),
    "exempt is a list": ({"hosts": {}, "exempt": ["x.test"]}, "exempt is a mapping of patterns to reasons, not list"),
    "unpinned": ({"hosts": {}, "unpinned": "deny"}, 'unpinned is "refuse" or "allow", not \'deny\''),
    "unpinned is anything": ({"hosts": {}, "unpinned": mock.ANY}, "unpinned is"),
    "unpinned is True": ({"hosts": {}, "unpinned": True}, "unpinned is"),
    "revision is a number": ({"hosts": {}, "revision": 7}, "revision is one line of text"),
    "revision of two lines": ({"hosts": {}, "revision": "a\nb"}, "revision is one line of text"),
    "empty set": ({"hosts": {"Api.Example.com": []}}, "^api.example.com: a pin set without pins"),
    "bad pin": ({"hosts": {"*.example.com": ["sha256/x"]}}, r"^\*\.example\.com: 'sha256/x' is not a pin: not Base64"),
    "pins of the wrong type": ({"hosts": {"a.test": None}}, "^a.test: pins are text, Pin, or several"),
    "bad pattern": ({"hosts": {"a.*.com": [A, B]}}, "'a.\\*.com' is not a host name"),
    "a URL": ({"hosts": {"http://example.com": [A, B]}}, "give the host alone"),
    "a port": ({"hosts": {"example.com:443": [A, B]}}, "hold on every port"),
    "pattern is no text": ({"hosts": {7: [A, B]}}, "a host pattern is text, not int"),
    "two cases": ({"hosts": {"a.test": [A, B], "A.test": [A, B]}}, "'A.test': the pattern a.test stands in the policy twice"),
    "dot": ({"hosts": {"a.test": [A, B], "a.test.": [A, B]}}, "the pattern a.test stands in the policy twice"),
    "U-label and A-label": (
        {"hosts": {"*.bücher.test": [A, B], "*.xn--bcher-kva.test": [A, C]}},
        r"the pattern \*.xn--bcher-kva.test stands in the policy twice",
    ),
    "two spellings of an address": ({"hosts": {"::1": [A, B], "[0:0::1]": [A, B]}}, "the pattern ::1 stands"),
    "two zones": ({"hosts": {"fe80::1%eth0": [A, B], "fe80::1%eth1": [A, B]}}, "the pattern fe80::1 stands"),
    "pinned and exempt": ({"hosts": {"a.test": [A, B]}, "exempt": {"A.TEST": "why"}}, "the pattern a.test stands"),
    "exempt without a reason": ({"hosts": {}, "exempt": {"a.test": ""}}, "exempt a.test: the reason is one line of text"),
    "exempt for a blank": ({"hosts": {}, "exempt": {"a.test": "  "}}, "exempt a.test: the reason"),
    "exempt for two lines": ({"hosts": {}, "exempt": {"a.test": "a\nb"}}, "exempt a.test: the reason"),
    "exempt for True": ({"hosts": {}, "exempt": {"a.test": True}}, "exempt a.test: the reason"),
    "exempt everybody": ({"hosts": {}, "exempt": {"*": "why"}}, "a wildcard stands alone"),
    "deny with a role": ({"hosts": {}, "deny": [f"leaf:{A}"]}, "deny leaf:sha256/.*: a denied key has no role"),
    "deny with another role": ({"hosts": {}, "deny": [f"ca:cert-{A}"]}, "a denied key has no role"),
    "deny of nonsense": ({"hosts": {}, "deny": ["sha1/x"]}, "^deny: .* the algorithm is one of"),
    "deny of a number": ({"hosts": {}, "deny": 7}, "^deny: pins are text, Pin, or several"),
    "no hosts, and no reason": ({"hosts": {}, "no_hosts": " "}, "no_hosts is the reason why"),
    "no hosts for two lines": ({"hosts": {}, "no_hosts": "a\nb"}, "no_hosts is the reason why"),
    "no hosts for True": ({"hosts": {}, "no_hosts": True}, "no_hosts is the reason why"),
    "no hosts beside one": ({"hosts": {"a.test": [A, B]}, "no_hosts": "why"}, "no_hosts says .* but hosts has 1"),
    "anchors by a word": ({"hosts": {}, "unpinned_anchors": "system"}, "unpinned_anchors is an Anchors value"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "why"), BAD.values(), ids=BAD)
def test_a_policy_that_exists_is_valid(arguments: dict[str, Any], why: str) -> None:
    """Whatever is wrong is an error when the policy is made, and names the entry."""
    with pytest.raises((PolicyError, PinFormatError), match=why):
        Policy(**arguments)


@pytest.mark.parametrize(
    "pattern",
    [
        "fe80::1%eth0",
        "my_printer.local",
        "localhost",
        "_x._tcp.example",
        "192.0.2.7",
        "[::1]",
        "xn--bcher-kva.test",
    ],
)
def test_unusual_hosts_are_legal(pattern: str) -> None:
    """Link-local addresses with a zone, underscores, `.local` and single labels can be pinned."""
    assert policy(pattern).lookup(pattern).pin_set == PINS


def test_a_key_that_is_denied_twice_is_denied_once() -> None:
    with pytest.warns(PinWarning, match="stands in deny twice"):
        tested = Policy({}, deny=[A, B, A.replace("sha256/", "sha256//")])
    assert tested == Policy({}, deny=[A, B])


def test_what_is_fragile_warns() -> None:
    """A policy that pins nothing, or a whole top-level domain, is valid, and said to be what it is."""
    with pytest.warns(PinWarning, match="allows every host and pins none"):
        Policy({}, unpinned="allow")
    with pytest.warns(PinWarning, match=r"\*\*\.com covers a whole top-level domain"):
        policy("**.com")
    with pytest.warns(PinWarning, match=r"\*\.local covers a whole top-level domain"):
        Policy({}, exempt={"*.local": "printers"})
    assert Policy({}).unpinned == "refuse"
    assert (
        Policy({}, unpinned="allow", no_hosts="the servers are gone").no_hosts
        == "the servers are gone"
    )


def test_a_warning_about_pins_names_their_host() -> None:
    """A policy of a hundred hosts would be searched for it otherwise."""
    with pytest.warns(PinWarning, match=r"^\*\.example\.com: one pin and no backup"):
        Policy({"a.test": [A, B], "*.Example.com": A})


def test_a_policy_cannot_be_changed_through_what_it_shows() -> None:
    """Its mappings are read-only, and what it was made from may change without changing it."""
    hosts: dict[str, Any] = {"a.test": [A, B]}
    exempt = {"b.test": "why"}
    tested = Policy(hosts, exempt=exempt)
    hosts.clear()
    exempt["a.test"] = "because"
    assert applied(tested, "a.test") == "a.test"
    assert applied(tested, "b.test") == "b.test"
    for mapping in (tested.hosts, tested.exempt):
        with pytest.raises(TypeError):
            mapping["a.test"] = None  # type: ignore[index]
    assert tested.current is tested


def test_hosts_are_shown_canonical() -> None:
    """`hosts` and `exempt` have the canonical patterns, ready to be made into a policy again."""
    tested = Policy({"*.BÜCHER.test.": [A, B]}, exempt={"[0::1]": "why"}, deny=A, revision="r")
    assert dict(tested.hosts) == {"*.xn--bcher-kva.test": PINS}
    assert dict(tested.exempt) == {"::1": "why"}
    again = Policy(tested.hosts, exempt=tested.exempt, deny=tested.deny, revision=tested.revision)
    assert again == tested == tested.replace()
    assert tested.replace(revision="s") != tested
    assert repr(tested) == "<Policy revision='r' hosts=1 unpinned='refuse'>"


def test_endpoint_of_an_unlisted_host() -> None:
    """Refused with a typed error under "refuse", before there is a socket; let through under "allow"."""
    with pytest.raises(UnpinnedHostError) as caught:
        policy("a.test", revision="r7").endpoint("B.test", 8443)
    refusal = caught.value.refusal
    assert (refusal.host, refusal.port, refusal.reason) == ("b.test", 8443, "UNPINNED_HOST")
    assert (refusal.revision, refusal.pattern, refusal.chain) == ("r7", None, None)
    endpoint = policy("a.test", unpinned="allow").endpoint("B.test", 8443)
    assert (endpoint.host, endpoint.rule, endpoint.needs_chain) == ("b.test", Rule(), False)


def test_endpoint_of_two_names() -> None:
    """The other name counts if it has pins of its own; spelled otherwise it is the same name, and exempt it asks nothing."""
    tested = policy("a.test", "b.test", exempt={"c.test": "why"})
    assert tested.endpoint("a.test", url_host="B.test.").url_rule == (
        "b.test",
        tested.lookup("b.test"),
    )
    assert tested.endpoint("a.test", url_host="A.test.").url_rule is None
    assert tested.endpoint("a.test", url_host="c.test").url_rule is None
    assert tested.endpoint("a.test", url_host="unlisted.test").url_rule is None
    with pytest.raises(PolicyError):
        tested.endpoint("a.test", url_host="127.1")
    with pytest.raises(UnpinnedHostError):
        tested.endpoint("unlisted.test", url_host="a.test")
    assert tested.endpoint("c.test", url_host="a.test").needs_chain
    assert tested.endpoint("a.test", url_host="Unlisted.test.").url_host == "unlisted.test"
    assert tested.endpoint("a.test").url_host is None


def test_two_names_verified_in_different_ways_are_an_error() -> None:
    """One connection has one verification: other trust or other anchors for its other name cannot both hold."""
    private = Anchors.from_pem(genuine().root.certificate_pem)
    tested = Policy(
        {
            "a.test": PINS,
            "same.test": PINS.replace(anchors=Anchors()),
            "device.test": PINS.replace(trust="leaf-pin"),
            "private.test": PINS.replace(anchors=private),
        },
        exempt={"exempt.test": "why"},
    )
    assert tested.endpoint("a.test", url_host="same.test").url_rule is not None
    for name, other in (
        ("a.test", "device.test"),
        ("private.test", "a.test"),
        ("exempt.test", "private.test"),
    ):
        with pytest.raises(PolicyError, match=f"{name} and {other} lead to one connection"):
            tested.endpoint(name, url_host=other)


def test_endpoint_says_how_to_verify() -> None:
    """Trust and anchors come from the rule; hosts without pins have their own anchors, certifi's unless told."""
    private, other = Anchors.from_pem(genuine().root.certificate_pem), Anchors.system()
    tested = Policy(
        {"private.test": PINS.replace(anchors=private), "a.test": PINS, "device.test": PINS.replace(trust="leaf-pin")},
        exempt={"exempt.test": "why"}, unpinned="allow", unpinned_anchors=other,
    )  # fmt: skip
    seen = {host: (tested.endpoint(host).trust, tested.endpoint(host).anchors) for host in (
        "private.test", "a.test", "device.test", "exempt.test", "unlisted.test")}  # fmt: skip
    assert seen == {
        "private.test": ("pkix", private),
        "a.test": ("pkix", Anchors()),
        "device.test": ("leaf-pin", Anchors()),
        "exempt.test": ("pkix", other),
        "unlisted.test": ("pkix", other),
    }
    assert policy("a.test").unpinned_anchors == Anchors()


def test_the_chain_is_needed_where_pins_or_denied_keys_are() -> None:
    """A host without pins pays nothing, unless keys are denied everywhere."""
    assert policy("a.test").endpoint("a.test").needs_chain
    assert not policy("a.test", unpinned="allow").endpoint("b.test").needs_chain
    assert policy("a.test", unpinned="allow", deny=C).endpoint("b.test").needs_chain
    assert policy("a.test", exempt={"b.test": "why"}, deny=C).endpoint("b.test").needs_chain


@pytest.mark.parametrize("mode", ["enforce", "report-only"])
@pytest.mark.parametrize(
    "url",
    [
        "http://a.test/x",
        "ws://a.test",
        "HTTP://A.TEST",
        "http://a.test.:8080/",
        "http://u:p@a.test/",
    ],
)
def test_plaintext_to_a_pinned_host_is_refused_in_any_mode(url: str, mode: Any) -> None:
    """A redirect down to `http:` is refused before a byte is sent; report-only waives keys, not TLS."""
    tested = Policy({"a.test": PINS.replace(mode=mode)}, unpinned="allow", revision="r1")
    with pytest.raises(
        PlaintextRefusedError, match="is pinned, and was about to be spoken to without TLS"
    ) as caught:
        tested.check_url(url)
    assert (caught.value.host, caught.value.refusal.pattern, caught.value.refusal.revision) == (
        "a.test",
        "a.test",
        "r1",
    )
    assert "u:p" not in str(caught.value)


def test_urls_that_may_be_fetched() -> None:
    """TLS to pinned hosts; anything to hosts that the policy lets be; the rule comes back."""
    tested = policy("a.test", "::1", exempt={"b.test": "why"}, unpinned="allow")
    for url in (
        "https://a.test/",
        "wss://a.test:8443/x?y#z",
        "HTTPS://user:pw@A.test./",
        "https://\uff41.test",
    ):
        assert tested.check_url(url).pattern == "a.test"
    assert tested.check_url("https://[0:0::1]:8443/").pattern == "::1"
    for url in ("https://b.test/", "http://b.test/"):
        assert tested.check_url(url).exempt == "why"
    for url in ("https://c.test/", "http://c.test/", "ws://c.test/"):
        assert tested.check_url(url) == Rule()


@pytest.mark.parametrize("url", ["https://c.test/", "http://c.test/", "wss://user:secret@c.test/"])
def test_urls_of_unlisted_hosts_are_refused(url: str) -> None:
    """Under "refuse", with TLS or without."""
    with pytest.raises(UnpinnedHostError) as caught:
        policy("a.test").check_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "", "a.test", "//user:secret@a.test/", "/path", "ftp://user:secret@a.test/", "file:///etc/passwd", "data:,secret",
        "https://", "https:///secret", "https://:443/secret", "https:a.test", "https://user:secret@/",
        "https://user:secret@a.test:port/", "https://user:secret@a.test:99999/", "https://user:sec/ret@a.test/",
        "https://user:secret@[::1/", "https://user:secret@[a.test]/", "https://user:secret@a\u2100b.test/",
        "https://user:secret@127.1/", "https://user:secret@ex%61mple.com/", "https://user:secret@a..test/",
        "https://user:secret@b.test\\@a.test/", "https://a.test\\.secret/", " https://a.test/secret",
        "https://a.test/secret ", "ht\ntps://user:secret@a.test/", "https://a.te\tst/secret", "https://a.test/\x00secret",
        "https://a.test/\u202esecret", "https://user:sec ret@a.test/",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_without_being_quoted(url: str) -> None:
    """`PolicyError` for anything that two parsers could read differently, and a password in it reaches no message."""
    with pytest.raises(PolicyError) as caught:
        policy("a.test", unpinned="allow").check_url(url)
    assert "sec" not in str(caught.value)
    assert "user" not in str(caught.value)


@pytest.mark.parametrize("url", [None, 7, b"https://a.test/", object()])
def test_a_url_is_text(url: Any) -> None:
    """The URL objects of HTTP libraries are turned into text by whoever knows them."""
    with pytest.raises(PolicyError, match="a URL to check is text"):
        policy("a.test").check_url(url)


def test_next_expiry() -> None:
    """The earliest end of any pin set, past or future; None if none ends."""
    early, late = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    assert policy("a.test").next_expiry() is None
    tested = Policy(
        {
            "a.test": PINS.replace(expires=late),
            "b.test": PINS.replace(expires=early),
            "c.test": PINS,
        }
    )
    assert tested.next_expiry() == early


def test_the_next_expiry_of_an_endpoint_is_in_the_future() -> None:
    """The earliest end of the pin sets of its host and of its URL's host; one that is past ends nothing."""
    tested = Policy(
        {
            "a.test": PINS.replace(expires=dt.datetime.fromtimestamp(2000, dt.UTC)),
            "b.test": PINS.replace(expires=dt.datetime.fromtimestamp(1000, dt.UTC)),
            "c.test": PINS,
        },
        exempt={"d.test": "why"},
    )
    both = tested.endpoint("a.test", url_host="b.test")
    assert [both.next_expiry(now) for now in (999, 1000, 1999, 2000)] == [1000, 2000, 2000, None]
    assert tested.endpoint("a.test").next_expiry(0) == 2000
    assert tested.endpoint("a.test", url_host="c.test").next_expiry(0) == 2000
    assert tested.endpoint("c.test").next_expiry(0) is None
    assert tested.endpoint("d.test").next_expiry(0) is None


@pytest.mark.filterwarnings("ignore:.*top-level:pinio.errors.PinWarning")
def test_explain() -> None:
    """Which pattern applies and which it hides, in words."""
    tested = Policy(
        {
            "*.example.com": PinSet(
                A, backup=[B, C], expires=dt.datetime(2027, 6, 30, tzinfo=dt.UTC)
            ),
            "**.com": PINS.replace(mode="report-only"),
            "device.test": PINS.replace(trust="leaf-pin"),
        },
        exempt={"old.example.com": "retired"},
    )
    assert tested.explain("API.example.com.").splitlines() == [
        "api.example.com: pattern *.example.com: 1 pin, 2 backup, enforce, trust pkix, until 2027-06-30T00:00:00Z",
        "  hides the less specific **.com",
    ]
    assert tested.explain("old.example.com").splitlines() == [
        "old.example.com: pattern old.example.com: exempt (retired)",
        "  hides the less specific *.example.com",
        "  hides the less specific **.com",
    ]
    assert tested.explain("device.test") == (
        "device.test: pattern device.test: 2 pins, 0 backup, enforce, trust leaf-pin"
    )
    assert tested.explain("x.test") == "x.test: no pattern applies; hosts without pins are refused"
    assert (
        tested.replace(unpinned="allow").explain("x.test")
        == "x.test: no pattern applies; hosts without pins are allowed"
    )


@pytest.mark.parametrize(
    "wrong", [{"hosts": {"": A}}, {"hosts": {"a.test": "x"}}, {"hosts": {}, "deny": [f"ca:{A}"]}]
)
def test_errors_are_pin_errors(wrong: dict[str, Any]) -> None:
    """One `except PinError` catches everything that pinio raises on its own account."""
    with pytest.raises(PinError):
        Policy(**wrong)


def test_a_million_patterns_are_a_policy() -> None:
    """A policy of a million hosts is accepted, and every kind of pattern in it is found."""
    hosts = {f"h{number}.example{number % 97}.com": PINS for number in range(999_998)}
    tested = Policy(
        hosts | {"*.example7.org": PINS, "**.example8.org": PINS}, exempt={"x.example8.org": "why"}
    )
    assert len(tested.hosts) == 1_000_000
    assert applied(tested, "H424242.example61.com.") == "h424242.example61.com"
    assert applied(tested, "a.example7.org") == "*.example7.org"
    assert applied(tested, "b.a.example8.org") == "**.example8.org"
    assert applied(tested, "x.example8.org") == "x.example8.org"
    assert applied(tested, "h424242.example62.com") is None


def test_what_is_remembered_of_one_host_answers_for_no_other() -> None:
    """A subclass of `str` says itself what it equals; it must not become the key under which others are looked up."""

    class Liar(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash("pinned.test")

    tested = policy("pinned.test", "other.test")
    lies = Liar("other.test")
    for question in ((lies, 443, None), ("other.test", 443, lies), (lies, None, None)):
        tested.endpoint(question[0], question[1], url_host=question[2])
    assert tested.endpoint("pinned.test", 443).host == "pinned.test"
    assert tested.endpoint("pinned.test").rule.pattern == "pinned.test"
    assert tested.endpoint("pinned.test") is tested.endpoint("pinned.test"), (
        "what is asked plainly is remembered"
    )


def test_what_is_remembered_is_bounded() -> None:
    tested = policy("**.pinned.test")
    for number in range(3 * MAX_ANSWERS):
        tested.endpoint(f"h{number}.pinned.test")
    assert 0 < len(tested._answers) <= MAX_ANSWERS


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (None, None, None),
        (100, None, 100),
        (None, 100, 100),
        (200, 100, 100),
        (100, 200, 100),
        (10, 100, 100),
        (100, 10, 100),
        (50, 50, None),
    ],
)
def test_the_next_expiry_of_an_endpoint_is_that_of_both_names(
    first: int | None, second: int | None, expected: int | None
) -> None:
    """At second 50: what has expired by then is over."""
    dates = [
        None if at is None else dt.datetime.fromtimestamp(at, dt.UTC) for at in (first, second)
    ]
    policy = Policy(
        {
            name: PinSet([A, B], expires=date)
            for name, date in zip(("a.test", "b.test"), dates, strict=True)
        }
    )
    assert policy.endpoint("a.test", url_host="b.test").next_expiry(50.0) == expected
    assert policy.endpoint("a.test").next_expiry(50.0) == (
        first if first is not None and first > 50 else None
    )
