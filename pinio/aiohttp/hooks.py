"""Where aiohttp makes its connections.

The only user of private names of aiohttp; a tripwire test watches each.

(Of its connections, that is: `errors` fills the private attributes of aiohttp's errors.)

- `TCPConnector._get_ssl_context`, `_get_fingerprint`: which TLS a request is given. Ours for
  whatever the policy decides about.
- `TCPConnector._wrap_create_connection`: dials, and shakes hands through the loop or another
  engine. We let it dial in plaintext and do TLS ourselves, on our own transport.
- `TCPConnector._start_tls_connection`: TLS through a CONNECT tunnel, plain or itself in TLS.
- `TCPConnector._create_direct_connection`: tries address after address, gives up one of each family
  after a failure, whichever it was that failed, and keeps the last error. So we try what is left
  after a refusal; and a refusal outweighs other errors.
- `TCPConnector._create_connection`: makes the connection of one request, by two legs if there is a
  proxy; tells which is which.
- `BaseConnector._factory`, `_loop`: make the HTTP protocol, and name the loop.

What aiohttp would do by itself with the contexts that it gets here is pinned too: they are
`PinnedSSLContext`s.
"""

from __future__ import annotations

import asyncio
import ssl
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any, Generic, TypeVar, cast

import aiohappyeyeballs
import aiohttp
from aiohttp.client_exceptions import ClientConnectorError
from aiohttp.client_reqrep import ClientRequest, Fingerprint

from pinio.aiohttp.alpn import OfferingHTTP
from pinio.aiohttp.errors import ClientPinError, ClientTLSFailedError, client_error
from pinio.errors import PinVerificationError, TLSFailedError
from pinio.tls.config.engine import EngineChoice
from pinio.tls.connection.engine import Engine
from pinio.tls.connection.establish import (
    Timeouts,
    connect_over,
    make_connection,
)
from pinio.tls.connection.factory import engine_factory
from pinio.tls.connection.protocol import PinnedProtocol
from pinio.tls.connection.transport import PinnedTransport
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.request import ConnectionRequest

_served: ContextVar[ClientRequest | None] = ContextVar("pinio_served", default=None)
"""The request for whose sake this task is connecting: to its origin, or to a proxy by a request that aiohttp makes up."""
_refusals: ContextVar[list[ClientPinError] | None] = ContextVar("pinio_refusals", default=None)
"""The refusals of the addresses that this task has tried for one host."""

_T = TypeVar("_T")

Made = tuple[asyncio.Transport, asyncio.BaseProtocol]


class HookedConnector(aiohttp.TCPConnector):
    """A `TCPConnector` that makes TLS on pinio's transport wherever `context_of` names a context."""

    timeouts: Timeouts
    engine: EngineChoice

    @abstractmethod
    def context_of(self, req: ClientRequest, *, proxy: bool) -> PinnedSSLContext | None:
        """The pinned context for one leg, to the origin or to its proxy; None leaves it to aiohttp, as the request says."""

    @abstractmethod
    def _admit_proxy_of(self, req: ClientRequest) -> None:
        """Raise `ClientPinError` if the proxy of a request may not be spoken to as the request says."""

    @abstractmethod
    def opened(self, transport: PinnedTransport) -> None:
        """Called with every connection that was made here."""

    def _context_of(self, req: ClientRequest) -> PinnedSSLContext | None:
        return self.context_of(req, proxy=_is_for_proxy(req))

    def _get_ssl_context(self, req: ClientRequest) -> ssl.SSLContext | None:
        if not req.is_ssl():
            return None
        context = self._context_of(req)
        return super()._get_ssl_context(req) if context is None else context

    def _get_fingerprint(self, req: ClientRequest) -> Fingerprint | None:
        if req.is_ssl() and self._context_of(req) is not None:
            return None
        return super()._get_fingerprint(req)

    async def _create_connection(self, req: ClientRequest, *arguments: Any, **options: Any) -> Any:
        # Set for every request: a resolver that asks over HTTPS makes one in the middle of another.
        with _Set(_served, req):
            return await super()._create_connection(req, *arguments, **options)

    async def _create_direct_connection(
        self, req: ClientRequest, *arguments: Any, **options: Any
    ) -> Any:
        """Try every address.

        A good one may win over a refused one; if none is good, the refusal is what surfaces.
        """
        refusals: list[ClientPinError] = []
        try:
            with _Set(_refusals, refusals):
                made = await super()._create_direct_connection(req, *arguments, **options)
            self._admit_proxy_leg(req, made[0])
            return made
        except (
            PinVerificationError
        ) as error:  # before any address: a proxy that the policy does not list
            raise (
                error
                if isinstance(error, ClientPinError)
                else client_error(req.connection_key, error)
            ) from error
        except (ClientConnectorError, TimeoutError):
            if refusals:
                raise refusals[0] from refusals[0].certificate_error
            raise

    def _admit_proxy_leg(self, req: ClientRequest, transport: asyncio.Transport) -> None:
        """Close a connection to a proxy that may not be used any more, before the proxy hears CONNECT."""
        origin = _served.get()
        if origin is None or req is origin:
            return
        try:
            self._admit_proxy_of(origin)
        except BaseException:
            transport.abort()
            raise

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: Any,
        req: ClientRequest,
        timeout: aiohttp.ClientTimeout,
        client_error: type[Exception] = ClientConnectorError,
        **kwargs: Any,
    ) -> Any:
        context = kwargs.pop("ssl", None)
        name = kwargs.pop("server_hostname", None)

        async def dial(factory: Callable[[], asyncio.BaseProtocol], **tls: Any) -> Made:
            parent = cast(Callable[..., Any], super(HookedConnector, self)._wrap_create_connection)
            made = parent(
                factory,
                *args[1:],
                addr_infos=addr_infos,
                req=req,
                timeout=timeout,
                client_error=client_error,
                **kwargs,
                **tls,
            )
            return cast(Made, await made)

        if not isinstance(context, PinnedSSLContext):
            return await dial(args[0], ssl=context, server_hostname=name)
        with _Mapping(req, client_error):
            if self._carries_other_tls(req):
                return await dial(args[0], ssl=context, server_hostname=name)
            request = ConnectionRequest.by_context(
                context, name, req.url.port, url_host=req.url.raw_host, engine=self.engine
            )
            while True:
                left = len(addr_infos)
                tls: list[Engine] = []
                try:
                    async with asyncio.timeout(timeout.sock_connect):
                        made = await self._dial_pinned(dial, args[0], request, addr_infos, tls)
                    tls[0].judge.for_proxy = _is_for_proxy(req)
                    return made
                except Exception as error:
                    if tls and isinstance(error, TimeoutError):
                        tls[0].ended(error)
                    if (
                        tls and tls[0].again
                    ):  # where resuming a session fails, a full handshake may not
                        request = request._replace(resumption=False)
                    elif isinstance(error, PinVerificationError) and 0 < len(addr_infos) < left:
                        _refused(req, error)
                    else:
                        raise

    def _carries_other_tls(self, req: ClientRequest) -> bool:
        """Whether this is an HTTPS proxy that leads to an origin whose request brings its own TLS.

        No loop puts its TLS over our transport. So the loop makes the proxy's as well, with our
        context, which pins it.
        """
        origin = _served.get()
        if origin is None or req is origin or not origin.is_ssl():
            return False
        return self.context_of(origin, proxy=False) is None

    async def _dial_pinned(
        self,
        dial: Callable[..., Any],
        factory: Callable[[], asyncio.BaseProtocol],
        request: ConnectionRequest,
        addr_infos: Any,
        tls: list[Engine],
    ) -> Made:
        """Connect to one of several addresses; one that is refused is taken from among them. `tls` is given the engine."""
        make_engine = await engine_factory(self._loop, request)
        app = factory()
        made: list[tuple[PinnedProtocol, PinnedTransport]] = []

        def connected() -> PinnedProtocol:
            tls.append(make_engine(request, dials_again=True))
            made.append(
                make_connection(self._loop, tls[0], app, self.timeouts, context=_shown(request))
            )
            return made[0][0]

        try:
            lower, _ = await dial(connected, ssl=None, server_hostname=None)
        except BaseException:
            for protocol, _ in made:
                protocol.abandon()
            raise
        protocol, transport = made[0]
        peer = lower.get_extra_info("peername")
        try:
            await protocol.opened()
        except PinVerificationError as error:
            if not error.refusal.resumed:
                # A socket that somebody else connected may lead to none of them.
                with suppress(ValueError, TypeError):
                    aiohappyeyeballs.remove_addr_infos(addr_infos, peer)  # pyright: ignore[reportUnknownMemberType]
            raise
        self.opened(transport)
        return transport, app

    async def _start_tls_connection(
        self,
        underlying_transport: asyncio.Transport,
        req: ClientRequest,
        timeout: aiohttp.ClientTimeout,
        client_error: type[Exception] = ClientConnectorError,
    ) -> Any:
        with _Mapping(req, client_error):
            try:
                context = self._get_ssl_context(req)
                if not isinstance(context, PinnedSSLContext):
                    return await super()._start_tls_connection(
                        underlying_transport, req, timeout, client_error
                    )
                app = self._factory()
                request = ConnectionRequest.by_context(
                    context,
                    req.server_hostname or req.url.raw_host or "",
                    req.url.port,
                    url_host=req.url.raw_host,
                    engine=self.engine,
                )
                make_engine = await engine_factory(self._loop, request)
                async with asyncio.timeout(timeout.sock_connect):
                    transport = await connect_over(
                        underlying_transport,
                        make_engine(request),
                        app,
                        self.timeouts,
                        notify_connected=True,
                        context=_shown(request),
                    )
            except BaseException:
                if (
                    not self._loop.is_closed()
                ):  # or the collector ends a request that its loop forgot
                    underlying_transport.abort()
                raise
        self.opened(transport)
        return transport, app


def _is_for_proxy(req: ClientRequest) -> bool:
    """Whether aiohttp made this request up, to connect to a proxy for the sake of another."""
    origin = _served.get()
    return origin is not None and req is not origin


def _shown(request: ConnectionRequest) -> PinnedSSLContext | None:
    """The context that the program passed, which its connections answer; those made here are shown to nobody."""
    return request.context.viewed if isinstance(request.context, OfferingHTTP) else None


def _refused(req: ClientRequest, error: PinVerificationError) -> ClientPinError:
    """The refusal of one address, remembered until every one was tried."""
    refusal = client_error(req.connection_key, error)
    if (refusals := _refusals.get()) is not None:
        refusals.append(refusal)
    return refusal


class _Set(Generic[_T]):
    """Gives a context variable a value for the length of a block.

    The block may end in another context: the garbage collector ends a request whose loop was
    closed, in the context of the code that runs at that moment. There the value was never set, and
    stays as it is.
    """

    def __init__(self, variable: ContextVar[_T], value: _T) -> None:
        self._variable = variable
        self._value = value
        self._token: Token[_T] | None = None

    def __enter__(self) -> None:
        self._token = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            with suppress(ValueError):  # of another context
                self._variable.reset(self._token)


class _Mapping:
    """Turns what a handshake raises into aiohttp's errors, as aiohttp itself does, and remembers refusals."""

    def __init__(self, req: ClientRequest, otherwise: type[Exception]) -> None:
        self._req = req
        self._key = req.connection_key
        self._otherwise = otherwise

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            error = error.certificate_error
        elif isinstance(error, aiohttp.ClientConnectorSSLError) and isinstance(
            error.os_error, TLSFailedError
        ):
            error = error.os_error
        if error is None or isinstance(error, aiohttp.ClientError):
            return
        if isinstance(error, PinVerificationError):
            raise _refused(self._req, error) from error
        if isinstance(error, TLSFailedError):
            raise ClientTLSFailedError(self._key, error) from error
        if isinstance(error, ssl.CertificateError):
            raise aiohttp.ClientConnectorCertificateError(self._key, error) from error
        if isinstance(error, ssl.SSLError):
            raise aiohttp.ClientConnectorSSLError(self._key, error) from error
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            raise self._otherwise(self._key, error) from error
