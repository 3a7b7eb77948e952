"""What cannot be reached from here."""


class ClusterError(Exception):
    """A cluster or a store does not answer; the message is one line that says which, why and what to check."""


class ConfigError(Exception):
    """A mistake in a configuration or on the command line; the message is one line that says what, where and what to
    do.
    """
