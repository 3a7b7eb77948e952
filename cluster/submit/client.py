"""Client of Ray's job server, for a network that may fail."""

import logging
import os

import ray
import requests
from ray.dashboard.modules.job.pydantic_models import JobDetails
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from cluster.errors import ClusterError
from cluster.ray_compat import RequestTimeouts
from colorize_core.formatting import first_line

__all__ = ["JobClient", "JobDetails", "JobStatus", "connect"]

_NOISY = ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env")


class JobClient(RequestTimeouts, JobSubmissionClient):
    """Ray's client with timeouts."""

    @property
    def server_version(self) -> str:
        """Version of Ray on the cluster."""
        return str(self._do_request("GET", "/api/version").json()["ray_version"])

    def details(self, job: str) -> JobDetails | None:
        """Return the state of a job; None while the cluster does not answer. Raises ClusterError for an unknown job."""
        try:
            return self.get_job_info(job)
        except (requests.RequestException, ConnectionError):
            return None
        except RuntimeError as error:
            if "status code 404" not in str(error):  # a proxy's 502, a head that is starting
                return None
            raise ClusterError(
                f"{self.get_address()}: no job {job}; a head that was restarted forgets its jobs: submit again to "
                "continue"
            ) from None

    def has(self, job: str) -> bool:
        """Return True if the cluster answers and knows the job."""
        try:
            return self.details(job) is not None
        except ClusterError:
            return False

    def stop(self, job: str) -> bool:
        """Ask the cluster to stop a job; returns False if the request failed."""
        try:
            self.stop_job(job)
        except (requests.RequestException, ConnectionError, RuntimeError):
            return False
        return True


def connect(url: str) -> JobClient:
    """Return a client of the job server at a dashboard's URL; raises ClusterError."""
    for name in _NOISY:
        logging.getLogger(f"ray.{name}").setLevel(logging.ERROR)
    os.environ["RAY_API_SERVER_ADDRESS"] = url  # Ray prefers this variable over the argument
    try:
        client = JobClient(url)
        version = client.server_version
    except AuthenticationError as error:
        reason = "the token is not the cluster's" if "failed" in str(error) else "the cluster requires a token"
        raise ClusterError(
            f"{url}: refused, {reason}; set RAY_AUTH_TOKEN to the head's token, or RAY_AUTH_TOKEN_PATH to its file"
        ) from None
    except (requests.RequestException, RuntimeError, ValueError, KeyError, ConnectionError) as error:
        raise ClusterError(
            f"{url}: the server is not Ray's dashboard ({type(error).__name__}: {first_line(error)}); give the address "
            "that `ray start --head` prints last"
        ) from None
    if version.split(".")[:2] != ray.__version__.split(".")[:2]:
        raise ClusterError(
            f"{url}: runs Ray {version}, but colorize requires {ray.__version__}; start the cluster with that version"
        )
    return client
