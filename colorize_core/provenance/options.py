"""Options of content credentials, also used by job configurations."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator


class ContentCredentialsOptions(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Signed content credentials (C2PA) in color images: what was done, with which model, to which photograph."""

    certificate: str
    """PEM file with the certificate chain, that of the signer first: a path on every node, or an s3:// URI."""
    key: str | None = None
    """PEM file with the private key of the certificate: a path on every node, or an s3:// URI."""
    command: list[str] = Field(default_factory=list)
    """Program and arguments that sign instead of `key`, for keys that do not leave a device or a service. It reads the
    bytes to sign from stdin and writes the signature to stdout."""
    algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = "es256"
    """Signature algorithm of the key."""
    timestamp: str | None = None
    """URL of a time stamping authority (RFC 3161), which is asked for every image: credentials then stay valid when the
    certificate has expired."""

    @model_validator(mode="after")
    def _require_one_signer(self) -> "ContentCredentialsOptions":
        if (self.key is None) == (not self.command):
            raise ValueError("give either key or command")
        return self
