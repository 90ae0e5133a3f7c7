"""Whatever happens to a request, the event loop has nothing to complain about."""

from tests.tls.conftest import no_complaints

__all__ = ["no_complaints"]
