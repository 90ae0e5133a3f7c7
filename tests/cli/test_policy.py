"""`pinio policy`: what signers see, and what is not done."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tuf")

from pinio import Policy
from pinio.formats import FORMATS
from pinio.tuf.repository import Repository
from tests.cli.conftest import Command
from tests.formats.policies import OTHER, PIN, THIRD, authority

PASSPHRASE = {"PINIO_POLICY_PASSPHRASE": "correct horse"}


class Signers:
    """A folder with a repository, and whoever signs for it."""

    def __init__(self, command: Command, folder: Path) -> None:
        self.command, self.folder = command, folder
        self.file = folder / "policy.toml"

    def __call__(self, *words: str, code: int = 0) -> str:
        result = self.command("policy", *words, env=dict(PASSPHRASE))
        assert result.exit_code == code, result.output
        return result.output

    def key(self, name: str) -> str:
        return str(self.folder / "keys" / f"{name}.pem")

    @property
    def pins(self) -> str:
        return str(self.folder / "pins")

    def init(self) -> None:
        self("init", self.pins, "--keys", str(self.folder / "keys"))

    def write(self, policy: Policy) -> None:
        self.file.write_text(FORMATS["native"].dumps(policy), "utf-8")

    def sign(self, *keys: str, code: int = 0) -> str:
        options = [word for key in keys for word in ("--key", self.key(key))]
        return self("sign", self.pins, str(self.file), *options, "--yes", code=code)

    def publish(self, code: int = 0) -> str:
        return self("publish", self.pins, "--key", self.key("online"), code=code)


FIRST = Policy({"a.example": [PIN, OTHER]}, revision="1")


@pytest.fixture
def signers(command: Command, tmp_path: Path) -> Signers:
    signers = Signers(command, tmp_path)
    signers.init()
    signers.write(FIRST)
    return signers


def test_keys_are_private_and_encrypted(signers: Signers) -> None:
    files = sorted((signers.folder / "keys").iterdir())
    assert [file.stem for file in files] == ["online", "root-1", "root-2", "targets-1", "targets-2"]
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in file.read_bytes()


def test_a_repository_and_its_keys_are_never_overwritten(signers: Signers) -> None:
    assert "already" in signers("init", signers.pins, "--keys", signers.key("new"), code=2)
    other = str(signers.folder / "other")
    assert "already" in signers("init", other, "--keys", str(signers.folder / "keys"), code=2)


def test_a_signer_sees_what_changes_and_what_that_loosens(signers: Signers) -> None:
    assert "the first" in signers.sign("targets-1", "targets-2")
    signers.publish()
    signers.write(FIRST.replace(hosts={"a.example": [PIN, THIRD]}, revision="2"))
    said = signers.sign("targets-1")
    assert f"loosens  a.example: accepts {THIRD}" in said
    assert f"-    {OTHER}" in said and f"+    {THIRD}" in said
    assert "1 more signature" in said
    signers.write(Policy({"a.example": [PIN, OTHER], "b.example": [PIN, OTHER]}, revision="2"))
    said = signers.sign("targets-2")
    assert "it loosens nothing" in said and "1 more" in said  # another policy begins anew


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (FIRST.replace(hosts={"b.example": [PIN, OTHER]}), "has the revision"),
        (FIRST.replace(revision=None), "no revision"),
        (Policy({}, revision="2"), "pins no host"),
    ],
)
def test_what_clients_would_not_take_is_not_signed(
    signers: Signers, policy: Policy, words: str
) -> None:
    signers.sign("targets-1", "targets-2")
    signers.publish()
    signers.write(policy)
    assert words in signers.sign("targets-1", code=1)
    assert not list((Path(signers.pins) / "staged").glob("*.json"))


def test_a_policy_is_not_signed_without_a_yes(signers: Signers) -> None:
    said = signers(
        "sign", signers.pins, str(signers.file), "--key", signers.key("targets-1"), code=1
    )
    assert "Sign it?" in said
    assert Repository.open(Path(signers.pins)).staged is None


def test_nothing_is_published_below_the_threshold(signers: Signers) -> None:
    signers.sign("targets-1")
    assert "1 more signature" in signers.publish(code=2)
    signers("status", signers.pins, code=1)
    assert not (Path(signers.pins) / "metadata" / "timestamp.json").exists()


def test_a_staged_policy_that_was_changed_is_not_published(signers: Signers) -> None:
    signers.sign("targets-1", "targets-2")
    staged = Path(signers.pins) / "staged" / "policy.toml"
    staged.write_text(staged.read_text().replace("a.example", "b.example"))
    assert "not what was signed" in signers.publish(code=2)


def test_a_policy_that_was_signed_before_another_was_published_is_signed_again(
    signers: Signers,
) -> None:
    signers.sign("targets-1", "targets-2")
    staged = Path(signers.pins) / "staged"
    kept = {path.name: path.read_bytes() for path in staged.iterdir()}
    signers.publish()
    for name, content in kept.items():
        (staged / name).write_bytes(content)
    assert "sign the staged one again" in signers.publish(code=2)
    assert "ready" in signers.sign("targets-1", "targets-2")
    signers.publish()


@pytest.mark.parametrize("key", ["root-1", "online"])
def test_a_key_signs_for_its_role_alone(signers: Signers, key: str) -> None:
    assert "does not sign for targets" in signers.sign(key, code=2)


def test_a_wrong_passphrase_is_told(signers: Signers) -> None:
    result = signers.command(
        "policy", "sign", signers.pins, str(signers.file), "--key", signers.key("targets-1"), "--yes",
        env={"PINIO_POLICY_PASSPHRASE": "wrong"},
    )  # fmt: skip
    assert result.exit_code == 2 and "wrong passphrase" in result.output


def test_a_short_passphrase_is_refused(command: Command, tmp_path: Path) -> None:
    env: dict[str, str | None] = {"PINIO_POLICY_PASSPHRASE": "short"}
    result = command("policy", "init", str(tmp_path / "p"), "--keys", str(tmp_path / "k"), env=env)
    assert result.exit_code == 2 and "at least 8" in result.output
    assert not (tmp_path / "k").exists() and not (tmp_path / "p").exists()


def test_a_rotation_with_too_few_keys_writes_nothing(signers: Signers) -> None:
    signers.sign("targets-1", "targets-2")
    signers.publish()
    before = sorted(path.name for path in (Path(signers.pins) / "metadata").iterdir())
    keys = ["root-1", "root-2", "targets-2", "online"]
    for missing, words in (
        ("root-2", "old root"),
        ("targets-2", "the policy"),
        ("online", "online key"),
    ):
        options = [word for key in keys if key != missing for word in ("--key", signers.key(key))]
        said = signers(
            "rotate-keys", signers.pins, "--role", "targets", "--old", signers.key("targets-1"),
            "--new", signers.key("targets-3"), *options, code=2,
        )  # fmt: skip
        assert words in said
    assert sorted(path.name for path in (Path(signers.pins) / "metadata").iterdir()) == before


@pytest.mark.parametrize("old", ["", "00", "zzzz"])
def test_a_key_that_is_not_there_cannot_be_retired(signers: Signers, old: str) -> None:
    said = signers(
        "rotate-keys", signers.pins, "--role", "root", "--old", old, "--new", signers.key("n"),
        "--key", signers.key("root-1"), code=2,
    )  # fmt: skip
    assert "has 0 keys" in said and not Path(signers.key("n")).exists()


def test_a_key_is_named_by_the_beginning_of_its_id(signers: Signers) -> None:
    root = Repository.open(Path(signers.pins)).root.signed
    old = root.roles["root"].keyids[0]
    keys = [word for key in ("root-1", "root-2") for word in ("--key", signers.key(key))]
    signers(
        "rotate-keys", signers.pins, "--role", "root", "--old", old[:12], "--new", signers.key("n"),
        *keys,
    )  # fmt: skip
    assert old not in Repository.open(Path(signers.pins)).root.signed.roles["root"].keyids


def test_the_root_and_the_policy_are_renewed_with_the_same_keys(signers: Signers) -> None:
    signers.sign("targets-1", "targets-2")
    signers.publish()
    keys = [word for key in ("root-1", "root-2", "online") for word in ("--key", signers.key(key))]
    signers(
        "rotate-keys", signers.pins, "--role", "root", "--old", signers.key("root-1"),
        "--new", signers.key("root-1"), *keys,
    )  # fmt: skip
    signers.sign("targets-1", "targets-2")
    signers.publish()
    repository = Repository.open(Path(signers.pins))
    assert repository.root.signed.version == 2 and len(repository.root.signatures) == 2
    assert repository.targets is not None and repository.targets.signed.version == 2


def test_status_warns_of_what_expires_soon(signers: Signers) -> None:
    signers.sign("targets-1", "targets-2")
    signers.publish()
    assert "RENEW" not in signers("status", signers.pins)
    assert "RENEW IT" in signers("status", signers.pins, "--days", "8", code=1)


def test_files_of_anchors_are_signed_with_the_policy(signers: Signers) -> None:
    (signers.folder / "ca.pem").write_text(authority(1))
    text = signers.file.read_text()
    signers.file.write_text(text.replace("pins =", 'anchors = "ca.pem"\npins =', 1))
    signers.sign("targets-1", "targets-2")
    signers.publish()
    assert [
        path.name.split(".", 1)[1] for path in sorted((Path(signers.pins) / "targets").iterdir())
    ]
    assert set(Repository.open(Path(signers.pins)).files()) == {"policy.toml", "ca.pem"}
    signers.file.write_text(text.replace("pins =", 'anchors = "../ca.pem"\npins =', 1))
    assert signers.sign("targets-1", code=2)


@pytest.mark.parametrize("verb", ["sign", "publish", "status", "rotate-keys"])
def test_what_is_no_repository_is_told(command: Command, tmp_path: Path, verb: str) -> None:
    words = {
        "sign": [str(tmp_path / "p.toml"), "--key", "k"],
        "publish": ["--key", "k"],
        "status": [],
        "rotate-keys": ["--role", "root", "--old", "x", "--new", "y", "--key", "k"],
    }[verb]
    result = command("policy", verb, str(tmp_path), *words)
    assert result.exit_code == 2 and "no repository" in result.output
