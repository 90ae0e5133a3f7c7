"""`pinio check`: whether a policy file can be read, and what it says."""

from __future__ import annotations

import time
import warnings

import click

import pinio
from pinio.cli import ui


@click.command()
@click.argument("file")
@click.option(
    "--host",
    "hosts",
    metavar="HOST",
    multiple=True,
    help="Say which pattern applies to HOST, and why.",
)
@click.option(
    "--url",
    "urls",
    metavar="URL",
    multiple=True,
    help="Say whether the policy lets URL be fetched.",
)
def check(file: str, hosts: tuple[str, ...], urls: tuple[str, ...]) -> None:
    """Read the policy in FILE and say what it pins.

    Exits 0 if the file is a policy, 1 if that policy refuses a HOST or URL asked about, 2 if the
    file is no policy.
    """
    try:
        policy = _load(file)
        allowed = [_explain(policy, host) for host in hosts] + [
            _check_url(policy, url) for url in urls
        ]
    except (pinio.PinError, OSError) as error:
        raise ui.Failure(str(error)) from None
    if not all(allowed):
        raise SystemExit(ui.Exit.NO)


def _load(file: str) -> pinio.Policy:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", pinio.PinWarning)
        policy = pinio.load_policy(file)
    ui.show_policy(file, policy, [str(warning.message) for warning in caught], time.time())
    return policy


def _explain(policy: pinio.Policy, host: str) -> bool:
    ui.show_explanation(policy.explain(host))
    try:
        policy.endpoint(host)
    except pinio.UnpinnedHostError:
        return False
    return True


def _check_url(policy: pinio.Policy, url: str) -> bool:
    try:
        rule = policy.check_url(url)
    except pinio.PinVerificationError as error:
        ui.show_refused_url(url, error)
        return False
    ui.show_allowed_url(url, rule.pattern)
    return True
