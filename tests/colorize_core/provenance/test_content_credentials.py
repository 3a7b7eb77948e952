"""Content credentials, read back with the reader of the C2PA library, which trusts the root of the test."""

import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import c2pa
import pytest
from PIL import Image

from colorize_core.errors import UserError
from colorize_core.photo.encode import encode
from colorize_core.photo.formats import WRITE_FORMATS
from colorize_core.provenance.content_credentials import ContentCredentials, SigningError
from colorize_core.provenance.options import ContentCredentialsOptions
from colorize_core.provenance.record import ENHANCED, Provenance
from tests.certificates import Certificates, make_certificates
from tests.colorize_core.photo.images import GRAY, RGB, file

MADE = Provenance("colorize 9.9", "resnet_unet", "ab" * 32)
SOURCE = file(GRAY, "JPEG")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def credentials(certificates: Certificates) -> ContentCredentials:
    options = ContentCredentialsOptions(certificate="chain.pem", key="key.pem")
    return ContentCredentials(options, certificates.chain.read_bytes(), certificates.key.read_bytes())


def read(image: bytes, format: str, certificates: Certificates) -> dict[str, Any]:
    settings = {"trust": {"user_anchors": certificates.root.read_text()}, "verify": {"verify_trust": True}}
    with c2pa.Reader(f"image/{format}", io.BytesIO(image), context=c2pa.Context.from_dict(settings)) as reader:
        return json.loads(reader.json())


@pytest.mark.parametrize("format", sorted(WRITE_FORMATS))
def test_credentials_name_parent_action_model_and_source(
    credentials: ContentCredentials, certificates: Certificates, format: str
) -> None:
    plain = encode(RGB, format)[0]
    signed = credentials.sign(plain, format, SOURCE, "JPEG", "box/a.jpg", MADE)
    found = read(signed, format, certificates)
    assert found["validation_state"] == "Trusted"
    manifest = found["manifests"][found["active_manifest"]]
    (parent,) = manifest["ingredients"]
    assert (parent["title"], parent["relationship"], parent["format"]) == ("box/a.jpg", "parentOf", "image/jpeg")
    opened, colored = manifest["assertions"][0]["data"]["actions"]
    assert opened["action"] == "c2pa.opened"
    assert colored["digitalSourceType"] == ENHANCED
    assert colored["parameters"]["colorize.source_sha256"] == hashlib.sha256(SOURCE).hexdigest()
    assert colored["parameters"]["colorize.model"] == "resnet_unet"
    assert colored["parameters"]["colorize.checkpoint_sha256"] == "ab" * 32
    assert Image.open(io.BytesIO(signed)).tobytes() == Image.open(io.BytesIO(plain)).tobytes()


@pytest.mark.parametrize("format", sorted(WRITE_FORMATS))
def test_a_changed_byte_is_found(credentials: ContentCredentials, certificates: Certificates, format: str) -> None:
    plain = encode(RGB, format)[0]
    signed = bytearray(credentials.sign(plain, format, SOURCE, "JPEG", "a.jpg", MADE))
    place = signed.rindex(plain[len(plain) // 2 : len(plain) // 2 + 16])  # of the pixels
    signed[place] ^= 1
    found = read(bytes(signed), format, certificates)
    assert found["validation_state"] == "Invalid"
    assert "assertion.dataHash.mismatch" in {each["code"] for each in found["validation_status"]}


def test_credentials_of_the_photograph_are_kept_with_its_parent(
    credentials: ContentCredentials, certificates: Certificates
) -> None:
    scan = credentials.sign(SOURCE, "jpeg", SOURCE, "JPEG", "plate 17", None)
    found = read(credentials.sign(encode(RGB, "png")[0], "png", scan, "JPEG", "a.jpg", MADE), "png", certificates)
    assert found["validation_state"] == "Trusted"
    assert {each["title"] for each in found["manifests"].values()} == {"plate 17", "a.jpg"}


@pytest.mark.parametrize("format", [None, "PPM", "BMP", "JPEG2000"])
def test_a_parent_of_any_format_is_named(
    credentials: ContentCredentials, certificates: Certificates, format: str | None
) -> None:
    signed = credentials.sign(encode(RGB, "jpeg")[0], "jpeg", b"any bytes", format, "a", MADE)
    found = read(signed, "jpeg", certificates)
    assert found["manifests"][found["active_manifest"]]["ingredients"][0]["relationship"] == "parentOf"


def test_a_command_signs_without_the_key_in_this_process(certificates: Certificates, tmp_path: Path) -> None:
    script = tmp_path / "sign.py"
    script.write_text(
        "import sys\n"
        "from cryptography.hazmat.primitives import hashes, serialization\n"
        "from cryptography.hazmat.primitives.asymmetric import ec\n"
        f"key = serialization.load_pem_private_key(open({str(certificates.key)!r}, 'rb').read(), None)\n"
        "sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256())))\n"
    )
    options = ContentCredentialsOptions(certificate="chain.pem", command=[sys.executable, str(script)])
    by_command = ContentCredentials(options, certificates.chain.read_bytes(), None)
    signed = by_command.sign(encode(RGB, "jpeg")[0], "jpeg", SOURCE, "JPEG", "a.jpg", MADE)
    assert read(signed, "jpeg", certificates)["validation_state"] == "Trusted"


def test_what_cannot_sign_is_refused_at_once(certificates: Certificates) -> None:
    chain, key = certificates.chain.read_bytes(), certificates.key.read_bytes()
    with_key = ContentCredentialsOptions(certificate="chain.pem", key="key.pem")
    for options, pem, secret in (
        (with_key, b"no certificate", key),
        (with_key, chain, b"no key"),
        (with_key.model_copy(update={"algorithm": "ed25519"}), chain, key),
        (ContentCredentialsOptions(certificate="chain.pem", command=["false"]), chain, None),
    ):
        with pytest.raises(UserError, match="content_credentials") as caught:
            ContentCredentials(options, pem, secret)
        assert "\n" not in str(caught.value)


def test_an_image_that_cannot_be_read_is_not_signed(credentials: ContentCredentials) -> None:
    with pytest.raises(SigningError, match="cannot be signed"):
        credentials.sign(b"no image", "jpeg", SOURCE, "JPEG", "a.jpg", MADE)


@pytest.mark.parametrize("signers", [{}, {"key": "a.pem", "command": ["sign"]}])
def test_a_key_or_a_command_is_required(signers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either key or command"):
        ContentCredentialsOptions(certificate="chain.pem", **signers)
