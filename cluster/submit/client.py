"""Ray's job server, spoken to over a network that may fail."""

import logging
import os

import ray
import requests
from ray.dashboard.modules.job.pydantic_models import JobDetails
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

from cluster.errors import ClusterError
from cluster.ray_compat import RequestTimeouts

__all__ = ["JobClient", "JobDetails", "JobStatus", "connect"]

_NOISY = ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env")


class JobClient(RequestTimeouts, JobSubmissionClient):
    """Ray's client, whose requests end: without a limit they would wait for a lost connection for ever."""

    @property
    def server_version(self) -> str:
        """The Ray that the cluster runs."""
        return str(self._do_request("GET", "/api/version").json()["ray_version"])

    def ask(self, job: str) -> JobDetails | None:
        """How a job stands; None while the cluster does not answer. Raises ClusterError where it knows no such job."""
        try:
            return self.get_job_info(job)
        except (requests.RequestException, ConnectionError):
            return None
        except RuntimeError as error:
            if "status code 404" not in str(error):  # a proxy's 502, a head that is starting
                return None
            raise ClusterError(
                f"{self.get_address()} knows no job {job}; a head that was started again forgets its jobs: "
                "submit again to continue"
            ) from None

    def has(self, job: str) -> bool:
        """Whether the cluster answers that it knows a job."""
        try:
            return self.ask(job) is not None
        except ClusterError:
            return False

    def stop(self, job: str) -> bool:
        """Ask a job to stop; whether the cluster has heard it."""
        try:
            self.stop_job(job)
        except (requests.RequestException, ConnectionError, RuntimeError):
            return False
        return True


def connect(url: str) -> JobClient:
    """A client of the job server at a dashboard's URL; raises ClusterError, one line for each way to fail."""
    for name in _NOISY:
        logging.getLogger(f"ray.{name}").setLevel(logging.ERROR)
    os.environ["RAY_API_SERVER_ADDRESS"] = url  # Ray would take another one from here before the argument
    try:
        client = JobClient(url)
        theirs = client.server_version
    except AuthenticationError as error:
        wrong = "the token given here is not the cluster's" if "failed" in str(error) else "it asks for a token"
        raise ClusterError(
            f"{url}: refused, {wrong}; set RAY_AUTH_TOKEN to the head's, or RAY_AUTH_TOKEN_PATH to a file with it"
        ) from None
    except (requests.RequestException, RuntimeError, ValueError, KeyError, ConnectionError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ClusterError(
            f"{url}: answers, but not as Ray's dashboard does ({type(error).__name__}: {reason}); "
            "give the address that `ray start --head` prints last"
        ) from None
    if theirs.split(".")[:2] != ray.__version__.split(".")[:2]:
        raise ClusterError(f"{url}: runs Ray {theirs}, and colorize works with {ray.__version__}; start it with that")
    return client
