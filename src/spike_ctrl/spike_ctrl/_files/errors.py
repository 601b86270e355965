"""What is wrong with a command line."""


class UsageError(ValueError):
    """A wrong command line; one line says what to do."""
