"""The raw doors `create_connection` and `open_connection`: whom they reach, under which name, and what they hand out."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import pinio
from pinio.core.policy import Policy
from pinio.errors import PinMismatchError, PolicyError, UnpinnedHostError
from pinio.testing import Interceptor, Server, echo, self_signed, silent
from pinio.tls.connection.transport import PinnedTransport
from tests.tls.cast import (
    ABSENT,
    GENUINE,
    ISSUER,
    MISPINNED,
    ROOT,
    SPARE,
    App,
    Told,
    end_of,
    pinned,
)

WEEK = dt.timedelta(days=7)


# What a program gets


async def test_streams_carry_bytes_both_ways(tls_version: ssl.TLSVersion) -> None:
    payload = bytes(range(256)) * 8192
    with Server(GENUINE, tls_version=tls_version) as server:
        reader, writer = await pinio.open_connection("localhost", server.port, policy=pinned())

        async def write() -> None:
            for at in range(0, len(payload), 100_000):
                writer.write(payload[at : at + 100_000])
                await writer.drain()

        received, _ = await asyncio.gather(reader.readexactly(len(payload)), write())
        assert received == payload
        writer.close()
        await writer.wait_closed()
        await end_of(server)
        assert server.application_bytes == payload
        assert server.connections[0].version == tls_version.name.replace("TLSv1_", "TLSv1.")


async def test_what_a_transport_knows(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        _, writer = await pinio.open_connection(
            "localhost", server.port, policy=pinned(policy={"revision": "r1"})
        )
        permit = writer.get_extra_info("pinio")
        assert isinstance(permit, pinio.Permit)
        assert (permit.host, permit.port, permit.revision) == ("localhost", server.port, "r1")
        assert str(permit.pin) == GENUINE.pin
        assert writer.get_extra_info("peername") == server.address
        assert isinstance(writer.get_extra_info("socket").fileno(), int)
        tls = writer.get_extra_info("ssl_object")
        assert isinstance(tls, ssl.SSLObject)
        assert tls.getpeercert(binary_form=True) == GENUINE.der
        assert tls.server_hostname == "localhost"
        assert isinstance(writer.get_extra_info("sslcontext"), ssl.SSLContext)
        assert ("DNS", "localhost") in writer.get_extra_info("peercert")["subjectAltName"]
        assert writer.get_extra_info("cipher")[1] == tls.version()
        assert writer.get_extra_info("compression") is None
        assert writer.get_extra_info("no such thing", "default") == "default"
        writer.close()
        await writer.wait_closed()


async def test_a_permit_is_told_once(tls_version: ssl.TLSVersion) -> None:
    told = Told()
    with Server(GENUINE, tls_version=tls_version) as server:
        transport, app = await pinio.create_connection(
            App, "localhost", server.port, policy=pinned(), observer=told
        )
        assert told == [transport.get_extra_info("pinio")]
        transport.close()
        await app.lost
    assert len(told) == 1


async def test_pins_alone_are_enough() -> None:
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(
            App, "localhost", server.port, pins=[GENUINE.pin, SPARE], anchors=ROOT.anchors
        )
        transport.abort()
        with pytest.raises(PinMismatchError):
            await pinio.create_connection(
                App,
                "localhost",
                server.port,
                pins=[ABSENT, SPARE],
                anchors=ROOT.anchors,
                observer=Told(),
            )


async def test_one_pin_without_a_reason_warns() -> None:
    leaf = ROOT.issue("localhost")
    with Server(leaf) as server:
        with pytest.warns(pinio.PinWarning, match="one pin and no backup"):
            transport, _ = await pinio.create_connection(
                App, "localhost", server.port, pins=leaf.pin, anchors=ROOT.anchors
            )
        transport.abort()


async def test_a_device_that_nobody_vouches_for(tls_version: ssl.TLSVersion) -> None:
    """Name, dates and issuer are not looked at; the key is the trust."""
    now = dt.datetime.now(dt.UTC)
    device = self_signed("printer.local", not_before=now - 2 * WEEK, not_after=now - WEEK)
    with Server(device, tls_version=tls_version) as server:
        transport, app = await pinio.create_connection(
            App, "127.0.0.1", server.port, pins=[device.pin, SPARE], trust="leaf-pin"
        )
        assert await app.has_received(len(app.opening)) == app.opening
        transport.abort()
        with pytest.raises(PinMismatchError):
            await pinio.create_connection(
                App,
                "127.0.0.1",
                server.port,
                pins=[ABSENT, SPARE],
                trust="leaf-pin",
                observer=Told(),
            )
        await end_of(server)
        assert server.handshakes_finished == 1


async def test_alpn_comes_from_a_context() -> None:
    context = pinio.create_ssl_context(pinned(), alpn=["h2", "http/1.1"])
    with Server(GENUINE, alpn=["http/1.1"]) as server:
        transport, _ = await pinio.create_connection(App, "localhost", server.port, ssl=context)
        assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        transport.abort()


async def test_the_policy_is_read_once() -> None:
    """A swap never changes a handshake in flight."""

    class Source:
        def __init__(self, *policies: Policy) -> None:
            self.policies = list(policies)

        @property
        def current(self) -> Policy:
            return self.policies.pop(0) if len(self.policies) > 1 else self.policies[0]

    with Server(GENUINE) as server:
        first = Source(
            pinned(), pinned(), MISPINNED
        )  # asked whether it is a source, and then for the policy
        transport, app = await pinio.create_connection(
            lambda: App(b""), "localhost", server.port, policy=first
        )
        assert transport.get_extra_info("pinio").pinned
        transport.abort()
        await app.lost


# Under which name


SPELLINGS = [
    "api.pinned.test",
    "API.Pinned.TEST",
    "api.pinned.test.",
    "".join(
        chr(ord(letter) + 0xFEE0) if letter.isalpha() else letter for letter in "api.pinned.test"
    ),  # fullwidth
    "api。pinned。test",
    "api.pin\u200bned.test",
    "api.pin\u00adned.test",
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=ascii)
async def test_every_spelling_of_a_name_is_the_same_name(spelling: str) -> None:
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(
            App, *server.address, server_hostname=spelling, policy=pinned(host="api.pinned.test")
        )
        transport.abort()
        with pytest.raises(PinMismatchError):
            await pinio.create_connection(
                App,
                *server.address,
                server_hostname=spelling,
                policy=pinned(ABSENT, host="api.pinned.test"),
                observer=Told(),
            )
        await end_of(server)
        assert server.connections[0].server_name == "api.pinned.test", "the name on the wire"


@pytest.mark.parametrize("host", ["LOCALHOST", "localhost."])
async def test_the_host_is_dialled_by_its_canonical_name(host: str) -> None:
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(App, host, server.port, policy=pinned())
        assert transport.get_extra_info("ssl_object").server_hostname == "localhost"
        transport.abort()


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.0.0.1", "straße.test", "a b", "http://localhost", ""]
)
async def test_a_host_that_could_be_another(host: str) -> None:
    with pytest.raises(PolicyError):
        await pinio.open_connection(host, 443, policy=pinned())


@pytest.mark.parametrize(
    "port", [0, -1, 65536, 65979, "443", "https", 443.0, True, [443]], ids=repr
)
async def test_what_is_no_port(port: Any) -> None:
    """Resolvers take 65979 for 443, so that somebody else would be connected to than was meant."""
    policy = pinned()
    with pytest.raises(PolicyError, match="port is a whole number from 1 to 65535"):
        await pinio.open_connection("localhost", port, policy=policy)
    assert not policy._answers  # where 443.0 would be found for 443, and told as it stands
    with pytest.raises(PolicyError, match="port is a whole number"):
        await pinio.probe("localhost", port)


async def test_an_address_is_verified_as_an_address() -> None:
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(
            App, "127.0.0.1", server.port, policy=pinned(host="127.0.0.1")
        )
        transport.abort()
        await end_of(server)
        assert server.connections[0].server_name is None
    with (
        Server(ROOT.issue("localhost")) as server,
        pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"),
    ):
        await pinio.create_connection(
            App, "127.0.0.1", server.port, policy=pinned(host="127.0.0.1")
        )


@pytest.mark.parametrize("host", ["::1", "[::1]"])
async def test_an_ipv6_address(host: str, ipv6: str) -> None:
    leaf = ROOT.issue(ipv6)
    with Server(leaf, host=ipv6) as server:
        transport, _ = await pinio.create_connection(
            App, host, server.port, policy=pinned(leaf.pin, host="0:0::1")
        )
        transport.abort()


async def test_connected_by_address_verified_by_name(tls_version: ssl.TLSVersion) -> None:
    """As one does who resolves names by other means."""
    with Server(GENUINE, tls_version=tls_version) as server:
        transport, _ = await pinio.create_connection(
            App, "127.0.0.1", server.port, server_hostname="localhost", policy=pinned()
        )
        assert transport.get_extra_info("pinio").host == "localhost"
        transport.abort()
        await end_of(server)
        assert server.connections[0].server_name == "localhost"


async def test_both_names_must_pass_if_both_have_pins() -> None:
    genuine, other = pinned().hosts["localhost"], pinned(ABSENT).hosts["localhost"]
    agrees = pinned(f"ca:{ISSUER.pin}").hosts["localhost"]
    with Server(GENUINE) as server:
        for policy in (
            Policy({"127.0.0.1": other, "localhost": genuine}),
            Policy({"127.0.0.1": genuine, "localhost": other}),
        ):
            with pytest.raises(PinMismatchError):
                await pinio.create_connection(
                    App,
                    *server.address,
                    server_hostname="localhost",
                    policy=policy,
                    observer=Told(),
                )
        transport, _ = await pinio.create_connection(
            App,
            *server.address,
            server_hostname="localhost",
            policy=Policy({"127.0.0.1": agrees, "localhost": genuine}),
        )
        transport.abort()
        await end_of(server)
        assert server.handshakes_finished == 1


async def test_names_that_are_verified_in_different_ways_cannot_meet() -> None:
    policy = Policy(
        {
            "127.0.0.1": pinned(trust="leaf-pin").hosts["localhost"],
            "localhost": pinned().hosts["localhost"],
        }
    )
    with Server(GENUINE) as server:
        with pytest.raises(PolicyError, match="different ways"):
            await pinio.create_connection(
                App, *server.address, server_hostname="localhost", policy=policy
            )
        assert server.connections == []


async def test_a_host_without_pins_where_that_is_allowed(tls_version: ssl.TLSVersion) -> None:
    policy = Policy(
        {"other.test": [GENUINE.pin, SPARE]}, unpinned="allow", unpinned_anchors=ROOT.anchors
    )
    told = Told()
    with Server(GENUINE, tls_version=tls_version) as server:
        transport, app = await pinio.create_connection(
            App, "localhost", server.port, policy=policy, observer=told
        )
        assert await app.has_received(len(app.opening)) == app.opening
        transport.abort()
    (permit,) = told
    assert isinstance(permit, pinio.Permit)
    assert not permit.pinned
    with Server(ROOT.issue("other.test")) as server, pytest.raises(ssl.SSLCertVerificationError):
        await pinio.create_connection(App, "localhost", server.port, policy=policy)


async def test_an_exempt_host() -> None:
    policy = Policy(
        {"other.test": [GENUINE.pin, SPARE]},
        exempt={"localhost": "a mirror"},
        unpinned_anchors=ROOT.anchors,
    )
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(App, "localhost", server.port, policy=policy)
        assert transport.get_extra_info("pinio").exempt == "a mirror"
        transport.abort()


# Where to


async def test_a_socket_of_ones_own(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        sock = socket.create_connection(server.address)
        reader, writer = await pinio.open_connection(
            sock=sock, server_hostname="localhost", policy=pinned()
        )
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()
        assert sock.fileno() == -1


@pytest.mark.parametrize(
    "arguments",
    [
        {"sock": True},
        {"sock": True, "host": "localhost", "port": 443, "server_hostname": "localhost"},
        {"sock": True, "port": 443, "server_hostname": "localhost"},
        {"host": "localhost"},
        {"port": 443},
        {"server_hostname": "localhost"},
        {"port": 443, "server_hostname": "localhost"},
    ],
    ids=" ".join,
)
async def test_a_target_must_be_named_once(arguments: dict[str, Any]) -> None:
    with socket.socket() as sock:
        if "sock" in arguments:
            arguments = {**arguments, "sock": sock}
        with pytest.raises(PolicyError):
            await pinio.open_connection(**arguments, policy=pinned())


async def test_nobody_listens(reserved_port: int) -> None:
    app = App()
    with pytest.raises(ConnectionRefusedError):
        await pinio.create_connection(
            lambda: app, "127.0.0.1", reserved_port, policy=pinned(host="127.0.0.1")
        )
    with pytest.raises(OSError, match=r"."):
        await pinio.create_connection(lambda: app, "localhost", reserved_port, policy=pinned())
    assert app.calls == []


async def test_a_name_that_does_not_resolve() -> None:
    """A flag has the resolver say so at once: what a network says of an unknown name, and when, is its own business."""
    host = "no-such-host.invalid"
    with pytest.raises(socket.gaierror):
        await pinio.open_connection(
            host, 443, policy=pinned(host=host), flags=socket.AI_NUMERICHOST
        )


async def test_a_local_address() -> None:
    """Of the whole loopback network, one that is used for nothing else."""
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(
            App, "localhost", server.port, policy=pinned(), local_addr=("127.0.0.77", 0)
        )
        assert transport.get_extra_info("sockname")[0] == "127.0.0.77"
        transport.abort()


Address = tuple[str, int]


def resolver_to(*addresses: Address) -> Callable[..., Awaitable[list[tuple[Any, ...]]]]:
    """Name resolution that knows one name with these addresses, in this order."""

    async def getaddrinfo(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        return [
            (
                socket.AF_INET6 if ":" in address[0] else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                address,
            )
            for address in addresses
            if host in ("localhost", address[0])
        ]

    return getaddrinfo


@pytest.fixture(params=[None, 3600.0], ids=["in turn", "happy eyeballs"])
def delay(request: pytest.FixtureRequest) -> float | None:
    value: float | None = request.param
    return value


def resolve_to(*addresses: Address, delay: float | None) -> None:
    loop = asyncio.get_running_loop()
    if delay is None and not isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("uvloop resolves names in C")
    loop.getaddrinfo = resolver_to(*addresses)  # type: ignore[method-assign,assignment]


async def test_after_a_refusal_no_other_address_is_tried(delay: float | None, ipv6: str) -> None:
    """A refusal is an answer, and not a failure to get one."""
    with Server(GENUINE) as genuine, Server(ROOT.issue("localhost"), host=ipv6) as impostor:
        resolve_to(impostor.address, genuine.address, delay=delay)
        with pytest.raises(PinMismatchError):
            await pinio.create_connection(
                App,
                "localhost",
                genuine.port,
                policy=pinned(),
                observer=Told(),
                happy_eyeballs_delay=delay,
            )
        await end_of(impostor)
        assert impostor.handshakes_finished == 0
        assert genuine.connections == []


async def test_an_address_that_does_not_answer_is_passed_over(
    delay: float | None, reserved_port: int
) -> None:
    with Server(GENUINE) as genuine:
        resolve_to(("::1", reserved_port), genuine.address, delay=delay)
        transport, _ = await pinio.create_connection(
            App, "localhost", genuine.port, policy=pinned(), happy_eyeballs_delay=delay
        )
        transport.abort()


async def test_every_error_if_asked_for(delay: float | None, reserved_port: int) -> None:
    asyncio.get_running_loop().getaddrinfo = resolver_to(  # type: ignore[method-assign,assignment]
        ("::1", reserved_port), ("127.0.0.1", reserved_port)
    )
    with pytest.raises(ExceptionGroup) as errors:
        await pinio.open_connection(
            "localhost", reserved_port, policy=pinned(), all_errors=True, happy_eyeballs_delay=delay
        )
    assert len(errors.value.exceptions) == 2
    assert all(isinstance(error, OSError) for error in errors.value.exceptions)


# Applications that fail


async def test_a_factory_that_raises_leaves_the_server_alone() -> None:
    def factory() -> asyncio.Protocol:
        raise ZeroDivisionError

    with Server(GENUINE) as server:
        with pytest.raises(ZeroDivisionError):
            await pinio.create_connection(factory, "localhost", server.port, policy=pinned())
        await end_of(server)
        assert server.connections == []


async def test_a_factory_is_called_once() -> None:
    apps: list[App] = []

    def factory() -> App:
        apps.append(App())
        return apps[-1]

    with Server(GENUINE) as server:
        transport, app = await pinio.create_connection(
            factory, "localhost", server.port, policy=pinned()
        )
        assert apps == [app]
        transport.abort()


async def test_an_application_that_fails_when_it_is_told() -> None:
    class Broken(App):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            raise ZeroDivisionError

    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: complaints.append(context)
    )
    with Server(GENUINE) as server:
        with pytest.raises(ZeroDivisionError):
            await pinio.create_connection(Broken, "localhost", server.port, policy=pinned())
        await end_of(server)
        assert server.application_bytes == b""
    assert [type(context["exception"]) for context in complaints] == [ZeroDivisionError]


async def test_many_at_once() -> None:
    async def exchange(port: int, number: int) -> None:
        reader, writer = await pinio.open_connection("localhost", port, policy=pinned())
        writer.write(b"%04d" % number)
        assert await reader.readexactly(4) == b"%04d" % number
        writer.close()
        await writer.wait_closed()

    with Server(GENUINE, handler=echo) as server:
        await asyncio.gather(*(exchange(server.port, number) for number in range(50)))
        await end_of(server)
        assert all(record.error is None for record in server.connections)


async def test_a_forgotten_connection_complains() -> None:
    """Like any transport of asyncio."""
    with Server(GENUINE, handler=silent) as server:
        transport, _ = await pinio.create_connection(App, "localhost", server.port, policy=pinned())
        assert isinstance(transport, PinnedTransport)
        with pytest.warns(ResourceWarning, match="unclosed transport"):
            transport.__del__()
        transport.abort()


async def test_an_interceptor_between_two_requests_is_noticed(reserved_port: int) -> None:
    """Each connection is judged anew."""
    with Server(GENUINE, port=reserved_port):
        transport, app = await pinio.create_connection(
            App, "localhost", reserved_port, policy=pinned()
        )
        transport.close()
        await app.lost
    with Interceptor(ROOT, "localhost", port=reserved_port) as between:
        with pytest.raises(PinMismatchError):
            await pinio.create_connection(
                App, "localhost", reserved_port, policy=pinned(), observer=Told()
            )
        await end_of(between)
        assert between.captured == b""


async def test_an_unlisted_name_beside_a_listed_one() -> None:
    with Server(GENUINE) as server, pytest.raises(UnpinnedHostError):
        await pinio.create_connection(
            App,
            "localhost",
            server.port,
            server_hostname="api.pinned.test",
            policy=pinned(),
            observer=Told(),
        )
