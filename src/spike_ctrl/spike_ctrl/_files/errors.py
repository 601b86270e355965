"""The error for a wrong command line."""


class UsageError(ValueError):
    """A command line is wrong. The message is one line that says what to do."""
