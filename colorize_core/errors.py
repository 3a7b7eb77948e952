"""The one exception whose message is written for the person at the terminal."""


class UserError(Exception):
    """Something the user gave cannot be used; the message is one line that says what, where and what to do."""
