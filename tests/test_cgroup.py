"""The control group with the memory limit is made in either version of the interface, or not at all."""

from pathlib import Path

import pytest

from build.score.sandbox import cgroup
from build.score.sandbox.cgroup import MemoryGroup
from build.score.sandbox.supervise import oom_killed


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """Pretend that these file systems are mounted below tmp_path, with this process in the groups that are named."""

    def pretend(mounts: dict[str, tuple[str, str]], own: str) -> None:
        lines = [f"{kind} {tmp_path}/{name} {kind} {options} 0 0" for name, (kind, options) in mounts.items()]
        (tmp_path / "mounts").write_text("\n".join(["proc /proc proc rw 0 0", *lines]))
        (tmp_path / "own").write_text(own)
        monkeypatch.setattr(cgroup, "MOUNTS", tmp_path / "mounts")
        monkeypatch.setattr(cgroup, "OWN_GROUPS", tmp_path / "own")

    return pretend


def folder(path: Path, controllers: str | None = None) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    if controllers is not None:
        (path / "cgroup.subtree_control").write_text(controllers)
    return path


def test_version_2_limits_memory_and_forbids_swap_in_the_nearest_group_that_may(mounted, tmp_path):
    mounted({"v2": ("cgroup2", "rw")}, "0::/user/session\n")
    folder(tmp_path / "v2", "cpu memory")
    folder(tmp_path / "v2" / "user", "cpu memory")
    folder(tmp_path / "v2" / "user" / "session", "cpu")  # holds processes, so it passes no memory on
    group = MemoryGroup.create(100)
    assert (group.version, group.folder.parent) == (2, tmp_path / "v2" / "user")
    assert (group.folder / "memory.max").read_text() == str(100 << 20)
    assert (group.folder / "memory.swap.max").read_text() == "0"
    assert group.entrance() == group.folder / "cgroup.procs"
    assert not oom_killed(str(group.events()))
    group.events().write_text("low 0\noom 3\noom_kill 1\n")
    assert group.events().name == "memory.events"
    assert oom_killed(str(group.events()))


def test_version_1_is_taken_where_version_2_has_no_memory(mounted, tmp_path):
    mounted({"v2": ("cgroup2", "rw"), "v1": ("cgroup", "rw,memory")}, "4:cpu,memory:/box\n0::/\n")
    folder(tmp_path / "v2", "pids")
    folder(tmp_path / "v1" / "box")
    group = MemoryGroup.create(1.5)
    assert (group.version, group.folder.parent) == (1, tmp_path / "v1" / "box")
    assert (group.folder / "memory.limit_in_bytes").read_text() == str(3 << 19)
    assert (group.folder / "memory.memsw.limit_in_bytes").read_text() == str(3 << 19)
    group.events().write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    assert group.events().name == "memory.oom_control"
    assert not oom_killed(str(group.events()))


def test_there_is_no_group_without_a_controller_or_without_its_file_systems(mounted, tmp_path):
    mounted({"v1": ("cgroup", "rw,cpu")}, "3:cpu:/\n")
    assert MemoryGroup.create(100) is None
    mounted({"v2": ("cgroup2", "rw")}, "0::/\n")
    folder(tmp_path / "v2", "")
    assert MemoryGroup.create(100) is None
    assert [path.name for path in (tmp_path / "v2").iterdir()] == ["cgroup.subtree_control"]
    (tmp_path / "mounts").unlink()
    assert MemoryGroup.create(100) is None


def test_a_real_group_is_gone_afterwards():
    group = MemoryGroup.create(100)
    if group is None:
        pytest.skip("no control group can be made here")
    assert group.folder.is_dir()
    group.remove()
    assert not group.folder.exists()
    group.remove()
