"""The configuration section `storage`."""

from typing import Literal

from pydantic import BaseModel, Field


class StorageOptions(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Access to object storage. Credentials come from the environment or the machine's identity, never from the
    configuration. Options that name S3 have no effect on gs:// and az://.
    """

    endpoint: str | None = None
    """URL of an S3-compatible server; AWS when empty. AWS_ENDPOINT_URL is honored too."""
    region: str | None = None
    """Region of the S3 bucket; AWS_REGION or AWS_DEFAULT_REGION when empty."""
    max_attempts: int = Field(10, ge=1)
    """Attempts per request, with growing random pauses in between, before it fails; ten attempts bridge an outage of
    half a minute."""
    anonymous: bool = False
    """Send no credentials, for public buckets."""
    path_style: bool = False
    """Put the S3 bucket into the path of the URL instead of the host name, as some servers require."""
    requester_pays: bool = False
    """Pay for the requests to a requester-pays bucket of S3, or of Google from the environment's project."""
    encryption: Literal["AES256", "aws:kms"] | None = None
    """Server-side encryption of objects written to S3; the bucket's default when empty."""
    kms_key: str | None = None
    """Id of the KMS key, for encryption=aws:kms."""
