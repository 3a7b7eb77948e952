"""Base class of exceptions that are reported to the user in one line."""


class UserError(Exception):
    """An invalid input of the user; the message says what is wrong, where, and what to do. Exit code 2."""
