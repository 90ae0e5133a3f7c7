"""A genuine server whose certificates change between connections."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Sequence

from pinio.testing.authority import CA
from pinio.testing.connection import Connection
from pinio.testing.handlers import Handler
from pinio.testing.leaf import Leaf
from pinio.testing.responder import http
from pinio.testing.routing import Route
from pinio.testing.server import Server


class Site(Server):
    """A genuine server that rotates its key, its intermediate and its CA, and makes mistakes.

    Each change holds from the next full handshake on, and returns what is presented then. Sessions
    from before can still be resumed, as with server software.

    Args:
        ca: the root that clients trust. The certificate comes from an intermediate of it.
        identities: names and addresses in the certificate.
        handler: what to do with each connection; answers HTTP unless told.
        port: the port, or 0 for any free one.
        client_ca: ask for a client certificate and insist on one issued by this CA.
        tls_version: exactly this version.
        alpn: application protocols offered, best first.
    """

    def __init__(
        self,
        ca: CA,
        *identities: str,
        handler: Handler | None = None,
        port: int = 0,
        client_ca: CA | None = None,
        tls_version: ssl.TLSVersion | None = None,
        alpn: Sequence[str] = (),
    ) -> None:
        self.ca = ca
        self.issuer = ca.intermediate()
        self._identities = identities or ("localhost", "127.0.0.1")
        self._leaf = self.issuer.issue(*self._identities)
        self._routes: list[Route] = []
        self._answers = http() if handler is None else handler
        super().__init__(
            self._leaf,
            handler=self._answer,
            port=port,
            client_ca=client_ca,
            tls_version=tls_version,
            alpn=alpn,
        )

    @property
    def leaf(self) -> Leaf:
        """The certificate that is presented now."""
        return self._leaf

    @property
    def pin(self) -> str:
        """`sha256/BASE64` of the key that is presented now."""
        return self._leaf.pin

    def present(self, leaf: Leaf) -> None:
        """Present `leaf` from the next full handshake on; see `Server.present`."""
        super().present(leaf)
        self._leaf = leaf

    def route(self, host: str, port: int = 443) -> Route:
        """Lead this process's connections to `host` here, and certify that name too.

        Returns:
            The route, which ends with the site, or with its own block.
        """
        if host not in self._identities:
            self._identities = (*self._identities, host)
            self.renew()
        route = Route(host, port, self.address)
        self._routes.append(route)
        return route

    # Changes that pins should survive, if there are pins for it

    def renew(self) -> Leaf:
        """The same key in a new certificate, of the same issuer."""
        return self._show(self.issuer.renew(self._leaf, *self._identities))

    def rotate_key(self) -> Leaf:
        """A new key, certified by the same issuer."""
        return self._show(self.issuer.issue(*self._identities))

    def rotate_intermediate(self) -> Leaf:
        """The same key, certified by a new intermediate of the same root."""
        self.issuer = self.ca.intermediate("another intermediate")
        return self.renew()

    def rotate_ca(self, *, cross_signed: bool = False) -> Leaf:
        """The same key, certified under a new root, which is `ca` from then on.

        Args:
            cross_signed: serve the old root's certificate for the new root too, so that clients
                which trust the old root alone still verify the chain.
        """
        old, self.ca = self.ca, CA("another root")
        self.issuer = self.ca.intermediate()
        leaf = self.issuer.renew(self._leaf, *self._identities)
        if cross_signed:
            leaf = leaf.serving(self.issuer.der, old.cross_sign(self.ca))
        return self._show(leaf)

    # Mistakes, each with the genuine key

    def expire(self) -> Leaf:
        """The same key, in a certificate that expired yesterday."""
        yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        return self._show(self.issuer.renew(self._leaf, *self._identities, not_after=yesterday))

    def misname(self, *identities: str) -> Leaf:
        """The same key, in a certificate for other names: `other.invalid` unless told."""
        return self._show(self.issuer.renew(self._leaf, *(identities or ("other.invalid",))))

    def distrust(self) -> Leaf:
        """The same key, certified by a CA that no client trusts."""
        return self._show(CA("an unknown CA").renew(self._leaf, *self._identities))

    def answer(self, handler: Handler) -> None:
        """Do `handler` with each connection from now on."""
        self._answers = handler

    def close(self) -> None:
        """End the routes, then as `Server.close`."""
        for route in self._routes:
            route.close()
        self._routes.clear()
        super().close()

    def _answer(self, connection: Connection) -> None:
        self._answers(connection)

    def _show(self, leaf: Leaf) -> Leaf:
        self.present(leaf)
        return leaf
