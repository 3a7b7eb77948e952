"""What AWS says of a spot machine: `python -m cluster.spot` runs beside Ray and tells it when the machine is to go.

Ray then gives the node nothing new, and training saves a checkpoint at once. On Kubernetes the pod is told instead.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime

METADATA = "http://169.254.169.254"
"""AWS's Instance Metadata Service, as every EC2 machine sees it."""

_POLL_SECONDS = 5.0  # AWS recommends it
_TOKEN_SECONDS = 60
_TIMEOUT = 5.0


def taken_at(metadata: str) -> datetime | None:
    """When this machine will be taken away, in UTC; None while nothing is planned.

    Source: "Spot Instance interruption notices" of the EC2 user guide; session tokens as in IMDSv2.

    Raises:
        OSError: there is no metadata service at that URL.
    """
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
    token = _ask(urllib.request.Request(f"{metadata}/latest/api/token", method="PUT", headers=lifetime))
    url = f"{metadata}/latest/meta-data/spot/instance-action"
    try:
        said = json.loads(_ask(urllib.request.Request(url, headers={"X-aws-ec2-metadata-token": token})))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    return datetime.strptime(said["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def drain(address: str, seconds: int) -> None:
    """Tell the cluster at HOST:PORT that this machine's node goes in so many seconds; raises CalledProcessError."""
    # Without --node-id it is the node of this machine, which Ray finds by RAY_ADDRESS, not by --address.
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", address]
    command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "AWS takes the spot machine away"]
    subprocess.run(
        [*command, "--deadline-remaining-seconds", str(seconds)], check=True, env=os.environ | {"RAY_ADDRESS": address}
    )


def _ask(request: urllib.request.Request) -> str:
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        return answer.read().decode()


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch until the notice comes, pass it on, and end; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m cluster.spot", description=__doc__.partition("\n")[0])
    parser.add_argument("--address", required=True, help="HOST:PORT of the cluster's head")
    parser.add_argument("--metadata", default=METADATA, help="URL of the metadata service")
    options = parser.parse_args(arguments)
    moment = None
    while moment is None:
        try:
            moment = taken_at(options.metadata)
        except OSError as error:
            # Also a passing fault: the watch goes on, since without it the next notice would be missed.
            print(f"spot: {options.metadata} does not answer ({error})", file=sys.stderr, flush=True)
        if moment is None:
            time.sleep(_POLL_SECONDS)
    left = max(int((moment - datetime.now(UTC)).total_seconds()), 1)
    print(f"spot: this machine goes at {moment:%H:%M:%S} UTC, in {left} s", flush=True)
    drain(options.address, left)
    return 0


if __name__ == "__main__":
    sys.exit(main())
