"""The two exceptions that reach the user as a sentence instead of a traceback."""


class UserError(Exception):
    """One clear sentence: what was expected, what came, what to do. The command line prints it and exits with code 2."""


class Interrupted(KeyboardInterrupt):
    """Long work that Ctrl-C stopped, with what it had done kept; says how to go on. The command line prints it and exits with code 130."""
