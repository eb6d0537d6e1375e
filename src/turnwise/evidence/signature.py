"""Ed25519 signatures of statements, in DSSE envelopes, and the keys for them as PEM files."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from turnwise.errors import UsageError
from turnwise.evidence.canonical_json import canonical_json, parse

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
KEY_BYTES_MAX: Final = 64 * 1024
SIGNATURES_MAX: Final = 16
_OPENSSL: Final = "openssl genpkey -algorithm ed25519 -out NAME.key; openssl pkey -in NAME.key -pubout -out NAME.pub"


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A DSSE envelope: what was signed, and each signature with the id of its key."""

    payload: bytes
    """The statement."""
    signatures: tuple[tuple[str, bytes], ...]
    """Ids of keys (SHA-256, hex, of the public key) and signatures."""


class PublicKey:
    """A public key that somebody trusts."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.id = key_id(key)

    @classmethod
    def read(cls, path: Path) -> PublicKey:
        """Read a PEM file. Raises UsageError for what is no Ed25519 public key."""
        serialization = _serialization()
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        content = _read(path, "--trust")
        try:
            key = serialization.load_pem_public_key(content)
        except Exception as error:  # the library raises several of its own
            raise _no_key(path, "--trust", "public", error) from error
        if not isinstance(key, Ed25519PublicKey):
            raise _no_key(path, "--trust", "public", f"it is a {type(key).__name__}")
        return cls(key)

    def signed(self, envelope: SignedStatement) -> bool:
        """Return whether one of an envelope's signatures is this key's, whatever id it names."""
        from cryptography.exceptions import InvalidSignature

        message = pre_authentication(PAYLOAD_TYPE, envelope.payload)
        for _, signature in envelope.signatures:
            try:
                self._key.verify(signature, message)
            except InvalidSignature:
                continue
            return True
        return False


def make_keys(path: Path) -> tuple[Path, Path, str]:
    """Make a key pair, `NAME.key` (mode 0600, not encrypted) and `NAME.pub`; return both and the key's id."""
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    files = path.with_name(f"{path.name}.key"), path.with_name(f"{path.name}.pub")
    for file, content, mode in zip(files, (private, public), (0o600, 0o644), strict=True):
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError as error:
            raise UsageError(
                f"the key cannot be written: {error.strerror}",
                where=str(file),
                hint="Give a name that is free, in a folder that can be written: a key is never overwritten.",
            ) from error
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
    return (*files, key_id(key.public_key()))


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a PEM file. Raises UsageError for what is no Ed25519 private key, or an encrypted one."""
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    content = _read(path, "--sign")
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except Exception as error:  # the library raises several of its own
        raise _no_key(path, "--sign", "private", error) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "--sign", "private", f"it is a {type(key).__name__}")
    return key


def sign(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """A DSSE envelope around a payload, as canonical JSON."""
    signature = key.sign(pre_authentication(PAYLOAD_TYPE, payload))
    return canonical_json(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}],
        }
    )


def read_envelope(content: bytes) -> SignedStatement:
    """The envelope that some bytes are. Raises ValueError for what is none."""
    value = parse(content)
    if not isinstance(value, dict) or value.keys() != {"payload", "payloadType", "signatures"}:
        raise ValueError("it is not a DSSE envelope")
    if value["payloadType"] != PAYLOAD_TYPE:
        raise ValueError(f"its payload is not {PAYLOAD_TYPE}")
    signatures = value["signatures"]
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= SIGNATURES_MAX:
        raise ValueError(f"it does not have 1 to {SIGNATURES_MAX} signatures")
    return SignedStatement(_base64(value["payload"]), tuple([_signature(signature) for signature in signatures]))


def _signature(value: object) -> tuple[str, bytes]:
    if not isinstance(value, dict) or value.keys() != {"keyid", "sig"} or not isinstance(value["keyid"], str):
        raise ValueError("a signature is not a key's id and bytes")
    return value["keyid"], _base64(value["sig"])


def _base64(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("a member is not base64")
    try:
        content = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a member is not base64: {error}") from error
    if base64.b64encode(content).decode() != value:
        raise ValueError("a member is not the one base64 text of its bytes")
    return content


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """The bytes that DSSE signs: the type and the payload, each with its length."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 (hex) of a public key in DER, which names it."""
    serialization = _serialization()
    return hashlib.sha256(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()


def _serialization() -> Any:
    """The module for keys. Raises UsageError where the library for keys is not installed."""
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise UsageError(
            "the library for keys is not installed", hint='Install it: pip install "turnwise[evidence]"'
        ) from error
    return serialization


def _read(path: Path, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(KEY_BYTES_MAX)
    except OSError as error:
        raise UsageError(
            f"the key cannot be read: {error.strerror}", where=f"{option} {path}", hint="Check the path."
        ) from error


def _no_key(path: Path, option: str, kind: str, error: object) -> UsageError:
    return UsageError(
        f"this is not an Ed25519 {kind} key in a PEM file without a password: {error}",
        where=f"{option} {path}",
        hint=f"Make a pair with: turnwise keygen NAME (or {_OPENSSL})",
    )
