"""The judgement by itself: verdicts, lookups, the cache of digests. No sockets, no handshakes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import pinio
from benchmarks.scenarios.scenario import Figures, Scenario, Stage, expect, timed
from benchmarks.target import NAME, Target
from pinio.core.certificate import Certificate, VerifiedChain
from pinio.core.intern import ENTRIES, InternCache
from pinio.core.verify import judge

_NOW: Final = datetime(2030, 1, 1, tzinfo=UTC).timestamp()


def _ders(stage: Stage) -> list[bytes]:
    target = stage.target
    expect(target is not None, "there are no certificates")
    assert isinstance(target, Target)
    return [bytes.fromhex(text) for text in target.identity.certificates]


def _copies(ders: list[bytes], count: int) -> list[list[bytes]]:
    """Chains as OpenSSL hands them out: equal bytes, but new objects each time."""
    return [[bytes(bytearray(der)) for der in ders] for _ in range(count)]


def _strange(der: bytes, count: int) -> list[bytes]:
    """As many different certificates: the same one with other signatures, which nobody here verifies."""
    return [der[:-8] + number.to_bytes(8, "big") for number in range(count)]


def verdict(stage: Stage, *, new_leaf: bool) -> Iterator[Figures]:
    """From the DER of a verified chain of three to the decision."""
    ders = _ders(stage)
    count = stage.size(10_000 if not new_leaf else 1000, 10)
    decide = _JUDGES[stage.subject](stage)
    first = 0
    while True:
        chains = _copies(ders, count)
        if new_leaf:
            for chain, leaf in zip(chains, _strange(ders[0], first + count)[first:], strict=True):
                chain[0] = leaf
            first += count
        _, cpu = timed(lambda: [decide(chain) for chain in chains])  # noqa: B023  # called at once
        expect(decide(chains[-1]), "the pin did not match")
        yield {"cpu": cpu / count}


def _by_pinio(stage: Stage) -> Callable[[list[bytes]], bool]:
    assert stage.target is not None
    used, backup = stage.target.identity.pins
    # The key is the leaf's also under another signature.
    endpoint = pinio.Policy({NAME: pinio.PinSet([used], backup=[backup])}).endpoint(NAME, 443)

    def decide(chain: list[bytes]) -> bool:
        return type(judge(endpoint, VerifiedChain(chain), _NOW)) is pinio.Permit

    return decide


def _by_cryptography(stage: Stage) -> Callable[[list[bytes]], bool]:
    import base64

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_der_x509_certificate

    assert stage.target is not None
    pins = stage.target.identity.pins

    def decide(chain: list[bytes]) -> bool:
        for der in chain:
            key = load_der_x509_certificate(der).public_key()
            digest = hashlib.sha256(
                key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            ).digest()
            if f"sha256/{base64.b64encode(digest).decode()}" in pins:
                return True
        return False

    return decide


_JUDGES: Final = {"judge": _by_pinio, "cryptography": _by_cryptography}


def lookup(stage: Stage) -> Iterator[Figures]:
    """The rule of a host: the same host again and again, hosts at random, names under a wildcard; and making the policy."""
    kind, _, number = stage.subject.partition("-")
    size = stage.size(int(number), 10)
    names = [f"host-{number}.example.com" for number in range(size)]
    look, build = timed(lambda: _table(kind, names))
    count = stage.size(50_000, 10)
    choose = random.Random(7).choice  # the same hosts in every run
    hosts = [f"host-{choose(range(size))}.example.com" for _ in range(count)]
    hot = [f"host-{size // 2}.example.com"] * count
    deep = [f"a{number}.wild.example.net" for number in range(min(count, 500))] * (
        count // min(count, 500)
    )
    while True:
        found, cpu_hot = timed(lambda: [look(host) for host in hot])
        expect(all(found), "a host was not found")
        found, cpu_random = timed(lambda: [look(host) for host in hosts])
        expect(all(found), "a host was not found")
        figures = {"hot": cpu_hot / count, "random": cpu_random / count}
        if kind == "policy":
            found, cpu_deep = timed(lambda: [look(host) for host in deep])
            expect(
                all(rule.pattern == "**.example.net" for rule in found), "a wildcard did not match"
            )
            figures |= {"wildcard": cpu_deep / len(deep), "build": build / size}
        yield figures


def _table(kind: str, names: list[str]) -> Callable[[str], Any]:
    """What answers: a policy, a bare dictionary, or one that is asked by a function of Python's and does nothing else."""
    table = dict.fromkeys(names, True)
    if kind == "dict":
        return table.get
    if kind == "function":
        return lambda host: table.get(host)  # noqa: PLW0108  # the call is what is measured
    pins = pinio.PinSet([f"sha256/{'A' * 42}E=", f"sha256/{'B' * 42}E="])
    return pinio.Policy({**dict.fromkeys(names, pins), "**.example.net": pins}).lookup


def digest_cache(stage: Stage) -> Iterator[Figures]:
    """A certificate's digests: seen before, never seen, and seen before while a flood of others comes in."""
    leaf = _ders(stage)[0]
    count = stage.size(ENTRIES, 50)
    cache = _CACHES[stage.subject]()
    first = 0
    while True:
        strangers = _strange(leaf, first + 2 * count)[first:]
        first += 2 * count
        known = [bytes(bytearray(leaf)) for _ in range(count)]
        cache(leaf)
        found, hit = timed(lambda: [cache(der) for der in known])  # noqa: B023  # called at once
        expect(all(item is found[0] for item in found), "equal certificates became different ones")
        found, miss = timed(lambda: [cache(der) for der in strangers[:count]])  # noqa: B023
        expect(len({id(item) for item in found}) == count, "different certificates became one")
        cache(leaf)
        mixed = [der for pair in zip(strangers[count:], known, strict=True) for der in pair]
        found, flood = timed(lambda: [cache(der) for der in mixed])  # noqa: B023
        expect(len({id(item) for item in found}) > count, "the flood was not judged")
        if isinstance(cache, InternCache):
            expect(len(cache) <= 2 * ENTRIES, "the cache has no bound")
        yield {"hit": hit / count, "miss": miss / count, "flood": flood / (2 * count)}


_CACHES: Final[dict[str, Callable[[], Callable[[bytes], Certificate]]]] = {
    "pinio": lambda: InternCache(Certificate),
    "lru_cache": lambda: lru_cache(maxsize=2 * ENTRIES)(Certificate),
}

_PATTERNS: Final = (10, 1000, 100_000, 1_000_000)

SCENARIOS: Final = [
    Scenario(
        "verdict_hit",
        "the judgement of a chain of three whose certificates were seen before",
        lambda stage: verdict(stage, new_leaf=False),
        {"judge": ("cryptography",), "cryptography": ()},
        {"cpu": "s"},
        "builtin",
    ),
    Scenario(
        "verdict_miss",
        "the same with a leaf that was never seen",
        lambda stage: verdict(stage, new_leaf=True),
        {"judge": ("cryptography",), "cryptography": ()},
        {"cpu": "s"},
        "builtin",
    ),
    Scenario(
        "lookup",
        "the rule of a host, by number of patterns",
        lookup,
        {
            **{f"dict-{size}": () for size in (_PATTERNS[0], _PATTERNS[-1])},
            "function-1000000": ("dict-1000000",),
            **{
                f"policy-{size}": ("policy-10",) if size != 10 else ("dict-10",)
                for size in _PATTERNS
            },
            "policy-1000000": ("policy-10", "dict-1000000", "function-1000000"),
        },
        {"hot": "s", "random": "s", "wildcard": "s", "build": "s"},
    ),
    Scenario(
        "digest_cache",
        "a certificate's digests: seen before, new, and in a flood",
        digest_cache,
        {"lru_cache": (), "pinio": ("lru_cache",)},
        {"hit": "s", "miss": "s", "flood": "s"},
        "builtin",
    ),
]
