"""A signed manifest lets people check a published folder without the database."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oresight.tasks.config import Curate
from oresight.tasks.publish import Published
from oresight.tasks.publishing.integrity import verify
from oresight.tasks.publishing.signature import private_key, public_key
from tests.support.processes import oresight
from tests.test_publish import release, some
from tests.test_split import settings
from tests.test_verify import rewrite_manifest, swap_bytes


def run(*arguments: str | Path) -> None:
    subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True)


def pem(folder: Path, name: str = "key", kind: str = "ed25519") -> Path:
    """A key pair as PEM: name.pem and name.pub."""
    run("openssl", "genpkey", "-algorithm", kind, "-out", folder / f"{name}.pem")
    (folder / f"{name}.pem").chmod(0o600)
    run("openssl", "pkey", "-in", folder / f"{name}.pem", "-pubout", "-out", folder / f"{name}.pub")
    return folder / f"{name}.pem"


def signed(folder: Path) -> tuple[Curate, Path]:
    """A configuration, and the folder of a version that was signed."""
    config = settings(folder)
    config.publishing.sign = str(pem(folder))
    return config, release(config, some()).folder


def test_a_signed_folder_is_checked_without_the_database_and_without_this_program(tmp_path: Path) -> None:
    config, folder = signed(tmp_path)
    assert verify(config.database)[0].problems == [] and release(config) == Published(folder, False)
    Path(config.database).unlink()
    done = oresight("verify", str(folder), "--key", str(tmp_path / "key.pub"))
    assert (done.returncode, done.stdout) == (0, f"{folder}: as published\n"), done.stderr
    files = "-in", folder / "manifest.json", "-sigfile", folder / "manifest.json.sig"
    run("openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", tmp_path / "key.pub", *files)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["signed_by"] == public_key(tmp_path / "key.pub").public_bytes_raw().hex()


def sign_again(folder: Path) -> None:
    """Somebody else signs a manifest that agrees with the changed files."""
    swap_bytes(folder)
    other = private_key(str(pem(folder.parent.parent.parent, "other")))
    rewrite_manifest(folder, signed_by=other.public_key().public_bytes_raw().hex())
    (folder / "manifest.json.sig").write_bytes(other.sign((folder / "manifest.json").read_bytes()))


CHANGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a file": (swap_bytes, "train.jsonl has another content"),
    "the manifest": (rewrite_manifest, "manifest.json is not signed with this key"),
    "both, signed by another": (sign_again, "manifest.json is not signed with this key"),
    "the signature": (lambda f: (f / "manifest.json.sig").write_bytes(b"x" * 64), "manifest.json is not signed with"),
    "a short signature": (lambda f: (f / "manifest.json.sig").write_bytes(b""), "manifest.json is not signed with"),
    "no signature": (lambda f: (f / "manifest.json.sig").unlink(), "manifest.json.sig cannot be read"),
    "one more": (lambda f: (f / "more").touch(), "more is not in the manifest"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_shows_with_the_key_and_with_the_database(tmp_path: Path, change: str) -> None:
    config, folder = signed(tmp_path)
    alter, problem = CHANGES[change]
    alter(folder)
    done = oresight("verify", str(folder), "--key", str(tmp_path / "key.pub"))
    assert done.returncode == 1 and problem in done.stdout, done
    assert verify(config.database)[0].problems, "the database shows it too"
    with pytest.raises(ValueError, match="is not as it was published"):
        release(config)


def test_a_signature_beside_a_manifest_that_has_none_is_one_file_more(tmp_path: Path) -> None:
    config = settings(tmp_path)
    folder = release(config, some()).folder
    (folder / "manifest.json.sig").write_bytes(private_key(str(pem(tmp_path))).sign(b"x"))
    assert verify(config.database)[0].problems == ["manifest.json.sig is not in the manifest"]


def ssh(folder: Path, *password: str) -> Path:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", *(password or [""]), "-f", folder / "ssh")
    return folder / "ssh"


def test_a_key_of_openssh_signs_too(tmp_path: Path) -> None:
    key, message = private_key(str(ssh(tmp_path))), b"rows"
    public_key(tmp_path / "ssh.pub").verify(key.sign(message), message)


def readable(file: Path) -> Path:
    file.chmod(0o640)
    return file


def holding(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    file.chmod(0o600)
    return file


KEYS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "readable": (lambda folder: readable(pem(folder)), "can be read by other users, who could sign with it; chmod 600"),
    "another kind": (lambda folder: pem(folder, kind="ed448"), "the key is not of the kind ed25519"),
    "a password": (lambda folder: ssh(folder, "secret"), "it has a password"),
    "the public one": (
        lambda folder: holding(folder / "key", pem(folder).with_suffix(".pub").read_bytes()),
        "holds no",
    ),
    "no key": (lambda folder: holding(folder / "key", b"-----BEGIN OPENSSH"), "it holds no private key"),
    "empty": (lambda folder: holding(folder / "key", b""), "it holds no private key"),
    "no file": (lambda folder: folder / "none", "cannot be read (No such file or directory)"),
    "a folder": (lambda folder: folder, "is no file; "),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_cannot_sign_is_a_sentence_before_anything_is_written(tmp_path: Path, name: str) -> None:
    make, words = KEYS[name]
    config = settings(tmp_path)
    config.publishing.sign = str(make(tmp_path))
    with pytest.raises(ValueError, match=r"^publishing\.sign: ") as refused:
        release(config, some())
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert not list((tmp_path / "out").glob("*/v*"))


@pytest.mark.parametrize("content", [b"", b"ssh-ed25519 AAAA", b"-----BEGIN PUBLIC KEY-----\n"])
def test_a_file_without_a_public_key_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key.pub").write_bytes(content)
    done = oresight("verify", str(tmp_path), "--key", str(tmp_path / "key.pub"))
    assert done.returncode == 2 and "holds no public key that can be read" in done.stderr
    other = oresight("verify", "nothing", "--key", str(tmp_path / "key.pub"))
    assert other.returncode == 2 and "'nothing' is none" in other.stderr
