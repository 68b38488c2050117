"""What is held back of a library's chatter, and when it is let out."""

import os

import pytest

from build import console


@pytest.fixture(autouse=True)
def no_driver(monkeypatch):
    monkeypatch.setattr(console, "nvidia_smi", lambda: None)


def test_muffled_hides_what_is_written_to_standard_error_and_gives_it_back(capfd):
    with console.muffled():
        os.write(2, b"noise\n")
    os.write(2, b"news\n")
    assert capfd.readouterr().err == "news\n"
    with pytest.raises(ZeroDivisionError), console.muffled():
        _ = 1 / 0


def test_where_nothing_temporary_can_be_written_nothing_is_held_back(capfd, monkeypatch):
    def full():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(console.tempfile, "TemporaryFile", full)
    with console.muffled():
        os.write(2, b"noise\n")
    assert capfd.readouterr().err == "noise\n"


def fail(words: bytes) -> None:
    os.write(2, words)
    raise ZeroDivisionError


def test_an_exception_lets_all_of_it_out(capfd):
    with pytest.raises(ZeroDivisionError), console.muffled():
        fail(b"the reason\n")
    os.write(2, b"news\n")
    assert capfd.readouterr().err == "the reason\nnews\n"


def test_beside_an_nvidia_driver_nothing_is_held_back(capfd, monkeypatch):
    monkeypatch.setattr(console, "nvidia_smi", lambda: "/usr/bin/nvidia-smi")
    with console.muffled():
        os.write(2, b"no GPU was found, since ...\n")
    assert capfd.readouterr().err == "no GPU was found, since ...\n"
