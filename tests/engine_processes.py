"""Stand-ins for an engine's process, in a module that a fresh process imports at once."""


def ended(line, name, folder):
    """Ends before it answers."""


def doubling(line, name, folder):
    """Answers once."""
    line.send(1.0)
    line.send((2 * line.recv(), 1.5))
