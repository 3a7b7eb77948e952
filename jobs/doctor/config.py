"""Configuration of `colorize doctor`."""

from pydantic import Field

from jobs.command.config import JobConfig


class DoctorConfig(JobConfig):
    """Check this machine, or the cluster that ray.address names: versions on every node, GPUs and CUDA, disk, shared
    memory, limits, clocks, authentication.

    With a verb and its configuration (colorize doctor archive --config FILE key=value ...) also what that job needs:
    room for its processes, its locations tried from every node, its weights, and its inputs, as the job checks them.
    --json prints the findings for programs. The exit code is 1 when a check failed.
    """

    timeout: float = Field(60, gt=0)
    """Seconds after which a node counts as one that does not answer."""
