"""A new key in the place of an old one, with all that has to be signed again."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Targets

from pinio.errors import PolicyError
from pinio.tuf.repository import DAYS, PRETTY, Repository, expiry, sign_with


def rotate(
    repository: Repository, role: str, old: Key, new: CryptoSigner, signers: Iterable[CryptoSigner]
) -> None:
    """Put a new key in the place of an old one, for "root", "targets" or "online".

    The same key as both renews the dates of the root. Raises `PolicyError` and writes nothing if
    the signers are too few: the old root's threshold, the new one's, and for the other roles those
    who sign their metadata.
    """
    signers = [*signers, new]
    root = _next_root(repository, role, old, new, signers)
    targets, online = repository.targets, None
    if targets is not None:
        online = _online(root.signed, signers)
        if role == "targets":
            targets = _signed_again(root.signed, targets.signed, signers)
    repository.write(f"metadata/{root.signed.version}.root.json", root.to_bytes(PRETTY))
    repository.root = root
    if targets is not None and online is not None:
        data = targets.to_bytes(PRETTY)
        repository.write(f"metadata/{targets.signed.version}.targets.json", data)
        repository.targets = targets
        repository.renew(online, targets.signed.version, data, DAYS)


def _next_root(
    repository: Repository, role: str, old: Key, new: CryptoSigner, signers: list[CryptoSigner]
) -> Metadata[Root]:
    before = repository.root.signed
    root = deepcopy(before)
    root.version += 1
    root.expires = expiry(DAYS["root"])
    for name in ("snapshot", "timestamp") if role == "online" else (role,):
        if old.keyid not in root.roles[name].keyids:
            raise PolicyError(f"key {old.keyid[:12]} does not sign for {role}")
        root.revoke_key(old.keyid, name)
        root.add_key(new.public_key, name)
    signed = Metadata(root)
    known = {*before.roles["root"].keyids, *root.roles["root"].keyids}
    sign_with(signed, [each for each in signers if each.public_key.keyid in known])
    for vouching, which in ((before, "the old root"), (root, "the new root")):
        _enough(vouching, Root.type, signed, which)
    return signed


def _signed_again(root: Root, old: Targets, signers: Iterable[CryptoSigner]) -> Metadata[Targets]:
    targets = Targets(old.version + 1, expires=old.expires, targets=dict(old.targets))
    signed = Metadata(targets)
    allowed = root.roles["targets"].keyids
    sign_with(signed, [each for each in signers if each.public_key.keyid in allowed])
    _enough(root, Targets.type, signed, "the policy")
    return signed


def _online(root: Root, signers: Iterable[CryptoSigner]) -> CryptoSigner:
    keys = root.roles["timestamp"].keyids
    found = [each for each in signers if each.public_key.keyid in keys]
    if not found:
        raise PolicyError("the online key is needed too: it signs snapshot and timestamp again")
    return found[0]


def _enough(root: Root, role: str, metadata: Metadata[Any], what: str) -> None:
    try:
        root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError as error:
        raise PolicyError(f"{what} asks for more signatures; name more keys ({error})") from None
