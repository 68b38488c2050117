"""The signals that end a command beside Ctrl-C's: a scheduler's SIGTERM, and SIGHUP of a terminal that was closed."""

import os
import signal
import stat
from types import FrameType
from typing import NoReturn


def ending() -> list[int]:
    """Those to handle; what nohup had ignored stays so."""
    return [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]


def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """A handler that ends a command as Ctrl-C does: what was half made is removed."""
    if number == signal.SIGHUP:
        leave_terminal()
    raise KeyboardInterrupt


def leave_terminal() -> None:
    """After SIGHUP: a terminal, or the end of a pipe that died with it, takes no more text, and a write would fail as if the work had."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it comes from the shell and from the system
    for stream in (1, 2):
        if not stat.S_ISREG(os.fstat(stream).st_mode):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream)
            os.close(null)
