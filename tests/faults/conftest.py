"""A damaging proxy before the S3 server, and jobs as processes of their own."""

from collections.abc import Iterator

import pytest

from tests.faults.proxy import FaultProxy


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[FaultProxy]:
    """Stands before the S3 server; no faults until a test sets `rate`."""
    with FaultProxy(s3_endpoint) as proxy:
        yield proxy
