"""What to do about an error of a storage."""

import re

from cluster.errors import ClusterError

_ADVICE = (
    (
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "nable to locate credentials"),
        "give the machine credentials: the role of the instance, or AWS_* in the environment that Ray was started in; "
        "for a public bucket, storage.anonymous=true",
    ),
    (
        ("DefaultCredentialsError", "RefreshError", r"\b401\b"),
        "give the machine Google's application default credentials: its service account, or "
        "GOOGLE_APPLICATION_CREDENTIALS in the environment that Ray was started in; for a public bucket, "
        "storage.anonymous=true",
    ),
    (
        ("NoCredentials", "AuthenticationFailed", "AuthorizationFailure", "NoAuthenticationInformation"),
        "give the machine an identity of Azure, or AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN in the environment "
        "that Ray was started in; for a public container, storage.anonymous=true",
    ),
    (("ExpiredToken",), "renew the credentials; the same command continues"),
    (("PermanentRedirect", "redirected", "AuthorizationHeaderMalformed"), "set storage.region to the bucket's region"),
    (
        ("AccessDenied", "AuthorizationPermissionMismatch", r"\b403\b", "Forbidden"),
        "grant the permissions listed in docs/guides/archives.md",
    ),
    (("NoSuchBucket", "no such bucket"), "create the bucket, or fix its name"),
    (("ContainerNotFound",), "create the container, or fix its name"),
    (("RequestTimeTooSkewed",), "set the machine's clock by NTP"),
    (("onnect", "imeout"), "check storage.endpoint, and that the network lets the machine reach it"),
    (("Permission denied", "Read-only"), "let the user that runs the job write there, or use another output"),
    (("Not a directory", "File exists"), "a file is in the place of a folder: move it, or use another output"),
    (("No space left",), "free space on that disk, or use another output; the same command continues"),
    (("not shared",), "use object storage, or a folder that every node mounts at the same path"),
)
"""Patterns of error messages with the advice for them; the first match counts."""


def advice_for(fault: str) -> str:
    """Return what to do about an error message; empty if nothing is known."""
    return next((advice for patterns, advice in _ADVICE if any(re.search(each, fault) for each in patterns)), "")


def with_advice(message: str) -> str:
    """Append what to do about an error message to it."""
    advice = advice_for(message)
    return f"{message}; {advice}" if advice else message


class StorageError(ClusterError):
    """A storage refuses or does not answer; the message ends with what to do about it."""

    def __str__(self) -> str:
        """Return the fault and what to do about it."""
        return with_advice(self.fault)

    @property
    def fault(self) -> str:
        """The fault alone."""
        return super().__str__()
