"""What computer this is: cores, and the variable that lowers them."""

import pytest
from cell_files import sentence

from build.errors import UserError
from build.machine import cores


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
