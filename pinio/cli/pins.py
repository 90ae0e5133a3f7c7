"""`pinio pins`: what a server shows, in the spelling that a policy takes."""

from __future__ import annotations

import asyncio
from typing import Final

import click

import pinio
from pinio.cli import ui
from pinio.core.host import ip_address
from pinio.core.url import split_target

HTTPS: Final = 443


def _target(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, int]:
    """Host and port of `HOST`, `HOST:PORT`, `[IPV6]:PORT` or `IPV6`."""
    if ip_address(text) is not None:
        return text, HTTPS
    try:
        host, port = split_target(text)
    except pinio.PolicyError:
        raise click.BadParameter(ui.NOT_A_TARGET) from None
    return host, port or HTTPS


@click.command()
@click.argument("target", metavar="HOST[:PORT]", callback=_target)
@click.option(
    "--cafile",
    metavar="FILE",
    help="PEM file of the CAs to verify with, instead of the public ones.",
)
@click.option(
    "--unverified", is_flag=True, help="Exit 0 although the certificate cannot be verified."
)
def pins(target: tuple[str, int], cafile: str | None, unverified: bool) -> None:
    """Show the certificate chain of HOST as pins, leaf first. The port is 443 unless told.

    Do this from a network that you trust, and compare: whoever sits on the path can show you keys
    of his own.

    Exits 0 if the chain was verified, 1 if it was not, 2 if there was none to look at.
    """
    host, port = target
    try:
        seen = asyncio.run(
            pinio.probe(host, port, anchors=pinio.Anchors.from_file(cafile) if cafile else None)
        )
    except pinio.PolicyError as error:
        raise ui.Failure(str(error)) from None
    except OSError as error:
        raise ui.Failure(ui.no_answer(host, port, error)) from None
    if not seen.served.certificates:
        raise ui.Failure(ui.no_answer(host, port, OSError(ui.NO_CERTIFICATE)))
    ui.show_chain(seen)
    if seen.verified is None and not unverified:
        raise SystemExit(ui.Exit.NO)
