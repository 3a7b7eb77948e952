"""A proxy between the jobs and the S3 server that injects faults."""

from collections.abc import Iterator

import pytest

from tests.faults.proxy import FaultProxy


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[FaultProxy]:
    """Proxy of the S3 server, without faults until a test sets `rate`."""
    with FaultProxy(s3_endpoint) as proxy:
        yield proxy
