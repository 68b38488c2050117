"""`sweep` on the command line: its exit code, and what it asks of Ray."""

import dataclasses
import signal
import sys
from types import SimpleNamespace

import pytest
from cell_files import sentence

from build import cli
from build.errors import UserError
from build.recipes import find
from build.sweep.drive import Sweep
from build.sweep.pack import pack
from build.sweep.plan import Asked


@pytest.mark.parametrize(("failed", "packed", "code"), [(0, 0, 0), (2, 0, 1), (0, 1, 1)])
def test_a_run_that_failed_is_an_exit_code_also_where_others_were_packed(tmp_path, monkeypatch, failed, packed, code):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Sweep, "run", lambda *_, **__: failed)
    monkeypatch.setattr(Sweep, "best", lambda *_: [])
    monkeypatch.setattr("build.sweep.pack.pack", lambda *_, **__: packed)
    assert cli.main(["sweep", "--data", "synthetic:160", "--recipes", "smoke", "--pack", "1"]) == code


@pytest.mark.parametrize(
    ("runs", "soup", "cooked", "packed"),
    [(("a", "b"), False, [], ("a", "b")), (("a", "b"), True, [(["a", "b"], True)], ("s",)), (("a",), True, [], ("a",))],
)
def test_the_best_runs_are_packed_as_an_ensemble_or_as_a_greedy_soup(monkeypatch, runs, soup, cooked, packed):
    averaged, asked = [], []

    def average(names, *, greedy):
        averaged.append((names, greedy))
        return SimpleNamespace(id="s")

    monkeypatch.setattr("build.train.soup.soup", average)
    monkeypatch.setattr("build.sweep.pack.package", lambda *names, **options: asked.append((names, options)) or 0)
    entries = [SimpleNamespace(run=run, arm="smoke", score=0.9) for run in runs]
    assert pack(entries, soup=soup, rows=9, team="reds", engine="plain") == 0
    assert averaged == cooked
    assert asked == [(packed, {"rows": 9, "team": "reds", "engine": "plain"})]


SMOKE = (dataclasses.replace(find("smoke"), epochs=4, minutes=0.0),)
SEARCH = ["--search", "dropout=uniform(0,1)", "--trials", "2"]
SEARCHED = {"search": "dropout=uniform(0,1)", "trials": 2, "search_seed": 0}


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (
            ["--seeds", "3", "--folds", "5", "--members", "2", "--rows", "9", "--engine", "plain"],
            {"seeds": 3, "folds": 5, "members": 2, "rows": 9, "engine": "plain", "judge": True},
        ),
        (["--no-judge"], {"judge": False}),
        (SEARCH, SEARCHED | {"judge": False}),
        ([*SEARCH, "--search-seed", "3", "--judge"], SEARCHED | {"search_seed": 3, "judge": True}),
    ],
)
def test_a_sweep_is_of_what_its_options_say(tmp_path, monkeypatch, options, asked):
    monkeypatch.chdir(tmp_path)
    given = []
    monkeypatch.setattr("build.sweep.drive.Sweep", lambda one: given.append(one) or SimpleNamespace(run=lambda: 0))
    recipes = ["--recipes", "smoke", "--epochs", "4", "--minutes", "0"]
    assert cli.main(["sweep", "--data", "synthetic:160", *recipes, *options]) == 0
    assert given == [Asked(SMOKE, "synthetic:160", **asked)]


def test_recipes_without_a_name_are_not_taken_for_the_default(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sweep", "--data", "synthetic:160", "--recipes", " ,"]) == 2
    assert "Expected names after --recipes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["sweep", "--cpus", "8", "--memory", "4"], "--cpus, --memory: of a Ray cluster; give --ray too"),
        (["reproduce", "--gpus", "1"], "--gpus: of a Ray cluster; give --ray too"),
        (["sweep", "--team", "reds"], "--team says whose entry the zip of --pack K is; give both"),
        (["sweep", "--ray", ""], "--ray wants the address of a cluster"),
        (["sweep", "--recipes", ""], "Expected names after --recipes"),
        (["sweep", "--search", "teacher_weight=uniform(0,1)", "--trials", "2"], "teacher_weight"),
        (
            ["sweep", "--recipes", "podium", "--search", "filters=int(16,64)", "--trials", "2"],
            "The network convnext has no setting filters",
        ),
        (
            ["sweep", "--epochs", "9", "--search", "epochs=int(3,9)", "--trials", "2"],
            "--search varies epochs, and --epochs sets it; leave one of them out",
        ),
        (["sweep", "--search-seed", "3"], "--search-seed is of a search: give --search and --trials"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*options, "--data", "synthetic:160"]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert not any(tmp_path.iterdir())


@pytest.fixture
def ray(monkeypatch) -> list[dict]:
    """Stands in for the package; returns what its `init` was given."""
    asked = []

    def init(**given):
        asked.append(given)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Ray takes it for itself
        raise RuntimeError("no cluster here")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    return asked


@pytest.mark.parametrize("address", ["local", "auto", "10.0.0.1:6379"])
def test_ray_is_told_the_address_so_that_local_joins_no_cluster_that_is_there(tmp_path, monkeypatch, ray, address):
    from build.sweep.ray_engine import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "")
    cluster = Cluster(address, root=tmp_path, cache=tmp_path, cpus=1, gpus=None, memory_gib=1)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(UserError) as caught, cluster:
        pass
    assert "no cluster here" in sentence(caught)
    assert signal.getsignal(signal.SIGTERM) == before
    assert ray[0]["address"] == address


@pytest.mark.parametrize(
    ("gpus", "told"),
    [
        (None, {}),
        (1, {}),
        (0, {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}),
        (0.5, {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}),
    ],
)
def test_runs_that_share_a_gpu_share_its_memory_and_those_without_see_none(tmp_path, ray, gpus, told):
    from build.sweep.ray_engine import Cluster

    with pytest.raises(UserError), Cluster("local", root=tmp_path, cache=tmp_path, cpus=1, gpus=gpus, memory_gib=1):
        pass
    names = ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE")
    assert {name: value for name, value in ray[0]["runtime_env"]["env_vars"].items() if name in names} == told


@pytest.mark.usefixtures("ray")
def test_a_share_of_several_gpus_is_one_sentence(tmp_path):
    from build.sweep.ray_engine import Cluster

    with pytest.raises(UserError) as caught:
        Cluster("local", root=tmp_path, cache=tmp_path, cpus=1, gpus=1.5, memory_gib=1)
    assert "got --gpus 1.5; give a whole number" in sentence(caught)
