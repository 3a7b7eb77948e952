"""Content credentials of jobs: their configuration, and the files of certificate and key."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from cluster.config.keys import CHANGEABLE
from cluster.storage.stores import StorageOptions, read_location
from colorize_core.provenance.options import ContentCredentialsOptions

if TYPE_CHECKING:
    from colorize_core.provenance.content_credentials import ContentCredentials


class SignedOutput(BaseModel, use_attribute_docstrings=True):
    """Configuration of verbs that write color images."""

    content_credentials: ContentCredentialsOptions | None = Field(None, json_schema_extra=CHANGEABLE)
    """Signed content credentials (C2PA) in every color image; none when empty. They need the extra `credentials`."""


def open_content_credentials(
    options: ContentCredentialsOptions | None, storage: StorageOptions
) -> "ContentCredentials | None":
    """Read certificate and key, and try them; None without options.

    Raises:
        UserError: they cannot be read or used.
    """
    if options is None:
        return None
    from colorize_core.provenance.content_credentials import ContentCredentials

    key = read_location(options.key, storage) if options.key else None
    return ContentCredentials(options, read_location(options.certificate, storage), key)
