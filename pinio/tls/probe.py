"""Look at a server's keys. For people who write policies; what it returns is never a reason to trust anybody."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from dataclasses import dataclass

from pinio.core.anchors import Anchors
from pinio.core.certificate import Certificate, ServedChain, VerifiedChain
from pinio.core.host import canonical_host
from pinio.core.wording import chain_lines
from pinio.tls import peer
from pinio.tls.connect import HANDSHAKE_TIMEOUT, dialled
from pinio.tls.dial import Dialling, dial
from pinio.tls.profile import Profile, inner_context

_LONGEST_FLIGHT = 1 << 20  # bytes of handshake that a server may send before it is given up
