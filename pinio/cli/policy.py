"""`pinio policy`: makes and maintains a signed repository of policies, in a folder that any host serves."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

import pinio
from pinio.cli import ui
from pinio.extras import how_to_install

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, Key

    from pinio.tuf.repository import Repository

PASSPHRASE: Final = "PINIO_POLICY_PASSPHRASE"  # noqa: S105  the variable's name

_FOLDER = click.argument("folder", type=click.Path(path_type=Path))
_KEYS = click.option(
    "--key",
    "keys",
    metavar="FILE",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="A private key to sign with; may be given several times.",
)


@click.group()
def policy() -> None:
    """Make, sign and publish policies that a fleet follows by pinio.TUFSource.

    Keys are files, encrypted by a passphrase that is asked for, or taken from the environment
    variable PINIO_POLICY_PASSPHRASE. Keep those of root and targets off the machine that publishes.
    """
    if find_spec("tuf") is None:
        raise ui.Failure(f"this command needs tuf; {how_to_install('tuf')}")


@policy.command()
@_FOLDER
@click.option(
    "--keys",
    "folder_of_keys",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the new keys go.",
)
@click.option("--signers", default=2, show_default=True, help="Keys for each of root and targets.")
@click.option("--threshold", default=2, show_default=True, help="How many of them must sign.")
def init(folder: Path, folder_of_keys: Path, signers: int, threshold: int) -> None:
    """Make keys and the first root in FOLDER.

    Programs ship FOLDER/metadata/1.root.json.
    """
    from pinio.tuf.keys import make_key
    from pinio.tuf.repository import Repository

    if not 1 <= threshold <= signers <= 20:
        raise ui.Failure("threshold is at least 1 and at most the signers, of which 20 are enough")
    passphrase = _passphrase("for the new keys", new=True)
    with _told():
        if list((folder / "metadata").glob("*")):
            raise pinio.PolicyError(f"{folder}: there is a repository already")
        made = {
            role: [
                make_key(folder_of_keys / f"{role}-{number}.pem", passphrase)
                for number in range(1, signers + 1)
            ]
            for role in ("root", "targets")
        }
        online = make_key(folder_of_keys / "online.pem", passphrase)
        Repository.create(folder, made["root"], made["targets"], online, threshold)
    ui.show_new_repository(folder, folder_of_keys, signers, threshold)


@policy.command()
@_FOLDER
@click.argument("file", type=click.Path(path_type=Path))
@_KEYS
@click.option("--yes", is_flag=True, help="Sign without asking.")
def sign(folder: Path, file: Path, keys: tuple[Path, ...], yes: bool) -> None:
    """Check the policy in FILE, say what it changes, and sign it.

    It waits in FOLDER/staged until enough keys have signed. Exits 1 if it would not be taken by
    clients, or is not signed after all.
    """
    from pinio.sources import loosened
    from pinio.tuf.material import gather, published

    with _told():
        repository = _open(folder)
        new, files, warnings = gather(file)
        old = published(repository)
        looser = loosened(old, new) if old is not None else []
        ui.show_signing(str(file), old, new, looser, warnings)
        if why_not := _not_taken(old, new):
            ui.show_refused_signing(why_not)
            raise SystemExit(ui.Exit.NO)
        if not yes and not click.confirm(ui.SIGN_IT, err=True):
            raise SystemExit(ui.Exit.NO)
        missing = repository.stage(files, _signers(keys))
    ui.show_staged(missing)


@policy.command()
@_FOLDER
@click.option(
    "--key",
    "key",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="The online key.",
)
@click.option("--days", default=7, show_default=True, help="For how long clients take it as fresh.")
def publish(folder: Path, key: Path, days: int) -> None:
    """Put the staged policy before clients; without one, renew what is there.

    Run it again before the days are over: a client that sees no renewal takes newer policies for
    withheld.
    """
    if not 1 <= days <= 365:
        raise ui.Failure("days is a number from 1 to 365")
    with _told():
        repository = _open(folder)
        (online,) = _signers([key])
        repository.publish(online, {"timestamp": days, "snapshot": max(days, 14)})
    ui.show_published(repository)


@policy.command("rotate-keys")
@_FOLDER
@click.option("--role", type=click.Choice(["root", "targets", "online"]), required=True)
@click.option(
    "--old",
    metavar="KEY",
    required=True,
    help="The key to retire: its file, or the beginning of its ID as `status` shows it.",
)
@click.option(
    "--new",
    "new_file",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the new key goes; it is made if it is missing.",
)
@_KEYS
def rotate_keys(folder: Path, role: str, old: str, new_file: Path, keys: tuple[Path, ...]) -> None:
    """Put a new key in the place of an old one.

    Needs the root keys, up to the threshold; the online key; and for the role targets its keys, up
    to the threshold, of which the new one is one.
    """
    from pinio.tuf.keys import make_key
    from pinio.tuf.rotation import rotate

    with _told():
        repository = _open(folder)
        retired = _find(repository, role, old)
        signers = _signers(keys)
        if new_file.exists():
            (new,) = _signers([new_file])
        else:
            new = make_key(new_file, _passphrase(f"for {new_file}", new=True))
        rotate(repository, role, retired, new, signers)
    ui.show_rotated(role, old, repository)


@policy.command()
@_FOLDER
@click.option("--days", default=2, show_default=True, help="Warn of what expires within DAYS.")
def status(folder: Path, days: int) -> None:
    """Say what clients of FOLDER see, and until when.

    Exits 1 if they see no policy, or if something has expired or will within the days.
    """
    from pinio.tuf.material import published

    with _told():
        repository = _open(folder)
        current = published(repository)
        good = ui.show_status(repository, current, days)
    if not good:
        raise SystemExit(ui.Exit.NO)


class _told:  # noqa: N801  reads as the word that it is
    """Turns what pinio refuses into an answer of the command."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, pinio.PinError | OSError):
            raise ui.Failure(str(error)) from None


def _open(folder: Path) -> Repository:
    from pinio.tuf.repository import Repository

    return Repository.open(folder)


def _signers(files: Iterable[Path]) -> list[CryptoSigner]:
    from pinio.tuf.keys import read_key

    return [read_key(file, _passphrase(f"of {file}")) for file in files]


def _passphrase(whose: str, *, new: bool = False) -> str:
    if (known := os.environ.get(PASSPHRASE)) is not None:
        return known
    answer: str = click.prompt(
        f"Passphrase {whose}", hide_input=True, confirmation_prompt=new, err=True
    )
    return answer


def _not_taken(old: pinio.Policy | None, new: pinio.Policy) -> str | None:
    """Why clients would not take the policy."""
    if not new.hosts and new.no_hosts is None and (old is None or old.hosts):
        return 'it pins no host; if that is meant, say why: no_hosts = "…"'
    if new.revision is None:
        return "it has no revision, by which clients and reports tell policies apart"
    if old is not None and old != new and new.revision == old.revision:
        return f"it has the revision of the published one ({old.revision})"
    return None


def _find(repository: Repository, role: str, text: str) -> Key:
    """The key of a role, by its file or the beginning of its ID."""
    if Path(text).is_file():
        return _signers([Path(text)])[0].public_key
    root = repository.root.signed
    where = root.roles["timestamp" if role == "online" else role]
    found = [
        root.keys[keyid] for keyid in where.keyids if len(text) >= 4 and keyid.startswith(text)
    ]
    if len(found) != 1:
        raise pinio.PolicyError(f"{role} has {len(found)} keys whose ID begins with {text!r}")
    return found[0]
