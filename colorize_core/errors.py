"""Exceptions whose message is one line for the person at the terminal."""


class UserError(Exception):
    """A mistake in what the user gave; the message says what is wrong, where, and what to do. Exit code 2."""
