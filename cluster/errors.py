"""Exceptions of the cluster package."""

from colorize_core.errors import UserError


class ClusterError(Exception):
    """A cluster or a storage does not answer; the message names it, the reason, and what to check. Exit code 1."""


class ConfigError(UserError):
    """An error in a configuration or on the command line."""
