"""Arguments that an entry point does not have, as programs write them that come from `ssl` and other libraries.

Python's own error names the argument and no more. Here it also says which argument is meant.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from functools import wraps
from typing import Any, Final, TypeVar, cast

from pinio.errors import PolicyError

_Function = TypeVar("_Function", bound=Callable[..., Any])

# For each kind of argument what to write instead: the first line whose parameter the function has.
_FILE: Final = "pinio.Anchors.from_file(path)"
_CAS: Final = (
    (
        "anchors",
        f"CAs of your own are anchors=, beside pins= or in the PinSet of a policy: {_FILE}",
    ),
    ("", f"CAs of your own are anchors= of a PinSet in the policy: {_FILE}"),
)
_VERIFICATION: Final = (
    (
        "",
        (
            "certificates are always verified; CAs of your own are anchors=, and the key of a device that "
            'signs its own certificate is pinned with trust="leaf-pin"'
        ),
    ),
)
_IDENTITY: Final = (
    ("client_cert", "a client certificate is client_cert="),
    (
        "ssl",
        "a client certificate is client_cert= of pinio.create_ssl_context, whose context is passed as ssl=",
    ),
)
_CONTEXT: Final = (("ssl", "a context is passed as ssl=, and made by pinio.create_ssl_context"),)
_SETTINGS: Final = (
    (
        "ssl",
        "TLS settings are those of a context: make one with pinio.create_ssl_context, and pass it as ssl=",
    ),
    ("alpn", "ALPN is alpn=; other TLS settings are set on the context that this returns"),
)
_NAME: Final = (("server_hostname", "the name that the certificate must have is server_hostname="),)
_PINS: Final = (
    ("pins", 'keys are pins=, such as pins="sha256/…"'),
    ("policy", "keys are pins of a host in the policy: policy=pinio.Policy({host: pins})"),
)
_PIN_SET: Final = (
    ("pins", "it belongs to a PinSet: pins=pinio.PinSet(…), or the one of a host in the policy"),
    ("policy", "it belongs to the PinSet of a host in the policy"),
)
_POLICY: Final = (("policy", "what is expected of peers is policy=, and this belongs to it"),)
_TIME: Final = (
    ("timeout", "seconds are timeout="),
    (
        "ssl_handshake_timeout",
        "seconds for TLS are ssl_handshake_timeout=; for all of it use asyncio.timeout()",
    ),
)
_OBSERVER: Final = (("observer", "who hears decisions is observer="),)

_NAMES: Final = (
    (
        (
            "anchors ca ca_cert ca_cert_data ca_cert_dir ca_certs ca_file cacert cacerts cadata cafile capath "
            "root_certificates ssl_ca trust_store"
        ),
        _CAS,
    ),
    (
        "cert_reqs check_hostname insecure ssl_verify verify verify_hostname verify_mode verify_ssl",
        _VERIFICATION,
    ),
    (
        (
            "cert cert_file certfile client_cert client_certificate identity key key_file key_password "
            "keyfile password"
        ),
        _IDENTITY,
    ),
    ("context ctx ssl ssl_context sslcontext tls tls_context", _CONTEXT),
    (
        (
            "alpn alpn_protocols ciphers keylog_filename maximum_version minimum_version options protocol "
            "protocols purpose ssl_maximum_version ssl_minimum_version ssl_version tls_version verify_flags"
        ),
        _SETTINGS,
    ),
    ("assert_hostname hostname name server_name servername sni", _NAME),
    ("assert_fingerprint fingerprint fingerprints pin pin_set pinned pins pinset spki", _PINS),
    ("backup expires mode on_expiry single trust", _PIN_SET),
    ("deny exempt policies policy_file source unpinned unpinned_anchors", _POLICY),
    ("connect_timeout timeout", _TIME),
    ("callback observers on_refusal", _OBSERVER),
)
_MEANT: Final = {name: meant for names, meant in _NAMES for name in names.split()}


def advised(function: _Function) -> _Function:
    """Make a function's `TypeError` for an argument that it does not have say which one is meant."""
    accepted = tuple(inspect.signature(function).parameters)

    def check(arguments: Iterable[str]) -> None:
        for name in arguments:
            if name not in accepted:
                raise unexpected(function.__name__, name, accepted)

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def later(*arguments: Any, **options: Any) -> Any:
            check(options)
            return await function(*arguments, **options)

        return cast(_Function, later)

    @wraps(function)
    def now(*arguments: Any, **options: Any) -> Any:
        check(options)
        return function(*arguments, **options)

    return cast(_Function, now)


def check_options(
    where: type, options: Iterable[str], base: Callable[..., Any], refused: Collection[str]
) -> None:
    """Check the `**options` of a class that hands them on to its `base`.

    Raises `PolicyError` for those that would decide whom to trust, and `TypeError` for those that
    the base does not have.
    """
    own, handed_on = (tuple(inspect.signature(thing).parameters) for thing in (where, base))
    for name in options:
        if name in refused:
            hint = (
                advice(name, own)
                or "the policy decides whom to trust; see pinio.create_ssl_context"
            )
            raise PolicyError(f"{where.__name__}() takes no {name}=: {hint}")
        if name not in handed_on:
            raise unexpected(where.__name__, name, (*own, *handed_on))


def unexpected(where: str, name: str, accepted: Collection[str]) -> TypeError:
    """The error for an argument that `where` does not have."""
    hint = advice(name, accepted)
    if hint is None:
        close = get_close_matches(name, accepted, 1)
        hint = f"did you mean {close[0]}=?" if close else None
    text = f"{where}() got an unexpected keyword argument {name!r}"
    return TypeError(text if hint is None else f"{text}: {hint}")


def advice(name: str, accepted: Collection[str]) -> str | None:
    """What to write instead, for names that are known from elsewhere."""
    for parameter, text in _MEANT.get(name.lower(), ()):
        if not parameter or parameter in accepted:
            return text
    return None
