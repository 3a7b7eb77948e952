"""Exceptions of the cluster package."""

from colorize_core.errors import UserError


class ClusterError(Exception):
    """A cluster or a store does not answer; the message is one line: which, why and what to check. Exit code 1."""


class ConfigError(UserError):
    """A mistake in a configuration or on the command line."""
