"""Signs the manifest of a published folder with an ed25519 key, for people who have the folder and not the database.

The signature is the 64 bytes that `openssl pkeyutl -verify -rawin` reads, so it can be checked without this program.
"""

from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "manifest.json.sig"
MAKE = "`(umask 077; openssl genpkey -algorithm ed25519 -out KEYFILE)` makes one"


def private_key(file: str) -> Ed25519PrivateKey:
    """The key in a file, as PEM or as OpenSSH writes it. Raises ValueError if there is none, or others can read it."""
    text, path = _read("publishing.sign", Path(file)), Path(file).absolute()
    if path.stat().st_mode & 0o077:
        raise ValueError(
            f"publishing.sign: {path} can be read by other users, who could sign with it; chmod 600 {path}"
        )
    read = serialization.load_ssh_private_key if b"OPENSSH" in text[:50] else serialization.load_pem_private_key
    try:
        key = read(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = "it has a password" if "assword" in str(error) else "it holds no private key that can be read"
        raise ValueError(f"publishing.sign: {path}: {reason}; {MAKE}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"publishing.sign: {path}: the key is not of the kind ed25519; {MAKE}")
    return key


def public_key(file: Path) -> Ed25519PublicKey:
    """The key in a file, as PEM or as OpenSSH writes it. Raises ValueError if there is none."""
    text = _read("--key", file)
    read = serialization.load_ssh_public_key if text.startswith(b"ssh-") else serialization.load_pem_public_key
    try:
        key = read(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        cure = "`openssl pkey -in KEYFILE -pubout` prints that of a private key"
        raise ValueError(f"--key: {file.absolute()}: holds no public key that can be read; {cure}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"--key: {file.absolute()}: the key is not of the kind ed25519; give that of publishing.sign")
    return key


def is_signed(manifest: bytes, signature: bytes, key: bytes) -> bool:
    """Whether the owner of the public key, given as its 32 bytes, has signed the manifest."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, manifest)
    except InvalidSignature:
        return False
    return True


def _read(field: str, path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{field}: {path.absolute()}: is no file; {MAKE}")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{field}: {path.absolute()}: cannot be read ({error.strerror}); {MAKE}") from error
