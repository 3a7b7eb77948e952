"""Watch for AWS's interruption notice on a spot instance: `python -m cluster.spot` drains the Ray node when it comes.

Ray then assigns no new work to the node, and training saves a checkpoint at once. On Kubernetes the pod gets a signal
instead.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime

from cluster.log import LogOptions, logging_to

_log = logging.getLogger(__name__)

METADATA = "http://169.254.169.254"
"""URL of AWS's Instance Metadata Service on every EC2 instance."""

_POLL_SECONDS = 5.0  # recommended by AWS
_TOKEN_SECONDS = 60
_TIMEOUT = 5.0


def interruption_time(metadata: str) -> datetime | None:
    """Return the time in UTC at which AWS reclaims this instance; None while there is no notice.

    Source: "Spot Instance interruption notices" of the EC2 user guide; session tokens as in IMDSv2.

    Raises:
        OSError: the metadata service does not answer.
    """
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
    token = _ask(urllib.request.Request(f"{metadata}/latest/api/token", method="PUT", headers=lifetime))
    url = f"{metadata}/latest/meta-data/spot/instance-action"
    try:
        notice = json.loads(_ask(urllib.request.Request(url, headers={"X-aws-ec2-metadata-token": token})))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    return datetime.strptime(notice["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def drain(address: str, seconds: int) -> None:
    """Drain this machine's node of the cluster at HOST:PORT within some seconds; raises CalledProcessError."""
    # Without --node-id Ray drains the node of this machine, which it finds by RAY_ADDRESS, not by --address.
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", address]
    command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "AWS reclaims the spot instance"]
    subprocess.run(
        [*command, "--deadline-remaining-seconds", str(seconds)], check=True, env=os.environ | {"RAY_ADDRESS": address}
    )


def _ask(request: urllib.request.Request) -> str:
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        return answer.read().decode()


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait for the notice, drain the node, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster.spot",
        description="Drain this Ray node when AWS announces the end of the spot instance.",
    )
    parser.add_argument("--address", required=True, help="HOST:PORT of the cluster's head")
    parser.add_argument("--metadata", default=METADATA, help="URL of the metadata service")
    options = parser.parse_args(arguments)
    with logging_to(LogOptions(), verbose=False):
        return _watch(options.address, options.metadata)


def _watch(address: str, metadata: str) -> int:
    moment = None
    while moment is None:
        try:
            moment = interruption_time(metadata)
        except OSError as error:
            # The error may be transient. Continue, because otherwise the notice would be missed.
            _log.warning("%s does not answer (%s)", metadata, error)
        if moment is None:
            time.sleep(_POLL_SECONDS)
    left = max(int((moment - datetime.now(UTC)).total_seconds()), 1)
    _log.info("AWS reclaims this instance at %s UTC, in %d s; draining the node", f"{moment:%H:%M:%S}", left)
    drain(address, left)
    return 0


if __name__ == "__main__":
    sys.exit(main())
