"""What is told of a process of its own that ended."""

from build.processes import last_line


def test_the_last_line_of_a_log_skips_a_frameworks_chatter():
    log = "Traceback\nValueError: no\n2024-11-08 10:00:00.1: I tensorflow/core: hello\nI0000 00:00 cuda\n\n"
    assert last_line(log) == "ValueError: no"
    assert last_line(" \n") == ""
    assert last_line("ValueError: " + "no " * 999) == ("ValueError: " + "no " * 999)[:300]
