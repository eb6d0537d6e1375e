"""Signatures are read by foreign verifiers, and those of foreign programs by ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope as ForeignEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from turnwise.errors import UsageError
from turnwise.evidence.canonical_json import canonical_json
from turnwise.evidence.signature import PublicKey, make_keys, read_envelope, read_private_key, sign


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    private, public, _ = make_keys(tmp_path / "me")
    return private, public


def test_what_is_signed_is_verified_by_its_key_alone(keys: tuple[Path, Path], tmp_path: Path) -> None:
    envelope = read_envelope(sign(b'{"a":1}', read_private_key(keys[0])))
    assert envelope.payload == b'{"a":1}'
    assert PublicKey.read(keys[1]).signed(envelope)
    assert PublicKey.read(keys[1]).id == envelope.signatures[0][0]
    _, other, _ = make_keys(tmp_path / "other")
    assert not PublicKey.read(other).signed(envelope)


def test_a_foreign_verifier_reads_it(keys: tuple[Path, Path], tmp_path: Path) -> None:
    content = sign(b'{"a":1}', read_private_key(keys[0]))
    foreign = ForeignEnvelope.from_dict(json.loads(content))
    public = SSlibKey.from_crypto(load_pem_public_key(keys[1].read_bytes()), PublicKey.read(keys[1]).id)
    assert list(foreign.verify([public], 1)) == [public.keyid]
    _, other, _ = make_keys(tmp_path / "other")
    stranger = SSlibKey.from_crypto(load_pem_public_key(other.read_bytes()), public.keyid)
    with pytest.raises(VerificationError):
        foreign.verify([stranger], 1)


def test_the_private_key_is_its_owner_s_alone_and_is_never_overwritten(keys: tuple[Path, Path]) -> None:
    assert keys[0].stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="cannot be written"):
        make_keys(keys[0].with_suffix(""))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_keys_of_openssl_do(tmp_path: Path) -> None:
    private, public = tmp_path / "a.key", tmp_path / "a.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    assert PublicKey.read(public).signed(read_envelope(sign(b"{}", read_private_key(private))))


def test_what_is_no_key_is_named(keys: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("hello")
    for read in (PublicKey.read, read_private_key):
        for path in (other, tmp_path / "absent"):
            with pytest.raises(UsageError, match="key"):
                read(path)
    with pytest.raises(UsageError, match="private key"):
        read_private_key(keys[1])
    with pytest.raises(UsageError, match="public key"):
        PublicKey.read(keys[0])


GOOD = {"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [{"keyid": "k", "sig": "AA=="}]}


@pytest.mark.parametrize(
    "change",
    [
        {"payload": 1},
        {"payload": "e30"},
        {"payload": "e31="},
        {"payloadType": "text/plain"},
        {"signatures": []},
        {"signatures": [{"keyid": "k"}]},
        {"signatures": [{"keyid": "k", "sig": "AA=="}] * 17},
        {"more": 1},
    ],
)
def test_what_is_no_envelope_is_refused(change: dict[str, object]) -> None:
    assert read_envelope(canonical_json(GOOD)).payload == b"{}"
    with pytest.raises(ValueError, match=r"^it|^its|^a "):
        read_envelope(canonical_json(GOOD | change))
