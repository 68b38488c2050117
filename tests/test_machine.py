"""What computer this is: cores, and the variable that lowers them."""

import shlex
import sys
from types import SimpleNamespace

import pytest
from cell_files import sentence

from build import machine
from build.errors import UserError
from build.machine import cores, pip_install


@pytest.mark.parametrize("nothing", [None, "", "0"])
def test_the_variable_lowers_the_cores_and_never_raises_them(monkeypatch, nothing):
    if nothing is None:
        monkeypatch.delenv("PODIUM_CORES", raising=False)
    else:
        monkeypatch.setenv("PODIUM_CORES", nothing)
    found = cores()
    assert found >= 1
    for given, expected in (("1", 1), ("100000", found)):
        monkeypatch.setenv("PODIUM_CORES", given)
        assert cores() == expected


@pytest.mark.parametrize("given", ["abc", "-1", "1.5"])
def test_a_variable_that_holds_no_number_of_cores_is_a_sentence(monkeypatch, given):
    monkeypatch.setenv("PODIUM_CORES", given)
    with pytest.raises(UserError) as caught:
        cores()
    assert f"PODIUM_CORES, got '{given}'" in sentence(caught)


def test_packages_are_installed_where_this_process_finds_them(monkeypatch):
    assert shlex.split(pip_install("jax[cuda12]")) == [sys.executable, "-m", "pip", "install", "jax[cuda12]"]
    monkeypatch.setattr(sys, "executable", "/a folder/python")
    assert pip_install("jax[cuda12]") == "'/a folder/python' -m pip install 'jax[cuda12]'"


def test_cusolver_is_loaded_from_where_pip_puts_it_after_what_it_needs(monkeypatch, tmp_path):
    for library in reversed(machine.CUDA_LIBRARIES):
        path = tmp_path / f"{library}.so.11"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    loaded = []
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(machine, "find_spec", lambda name: package)
    monkeypatch.setattr(machine.ctypes, "CDLL", loaded.append)
    monkeypatch.setattr(machine, "nvidia_smi", lambda: None)
    machine.check_backend("tensorflow")
    assert loaded == []
    monkeypatch.setattr(machine, "nvidia_smi", lambda: "/usr/bin/nvidia-smi")
    machine.check_backend("jax")
    assert loaded == []
    machine.check_backend("tensorflow")
    assert loaded == [str(tmp_path / f"{library}.so.11") for library in machine.CUDA_LIBRARIES]
    monkeypatch.undo()
    monkeypatch.setattr(machine, "nvidia_smi", lambda: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(machine, "find_spec", lambda name: package)
    machine.load_cuda()  # files that are no libraries are passed over
