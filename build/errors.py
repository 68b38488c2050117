"""The one exception that reaches the user as a sentence instead of a traceback."""


class UserError(Exception):
    """One clear sentence: what was expected, what came, what to do. The command line prints it and exits with code 2."""
