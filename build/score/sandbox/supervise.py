"""Starts one command, enforces its limits, leaves no process behind. Stand-alone: `python -I -S supervise.py SPEC.json`.

The judge runs this as its own process, because only an ancestor can adopt the orphans of a program that daemonises itself
(PR_SET_CHILD_SUBREAPER), and because it must outlive a judge that is killed: standard input is the life line, its end means stop.
Prints one JSON line: exit_code, cause, seconds, peak_mib, survivors, detail.

SPEC: argv, env, cwd, stdout, stderr, seconds, memory_mib (or null), output_mib, processes, watched (folders whose growth counts),
cgroup (file that takes the pid of the new process, or ""), memory_events (file that counts the kernel's kills, or ""), on_kill (commands
that end what is no descendant, a container).
"""

import ctypes
import errno
import json
import math
import os
import resource
import select
import signal
import sys
import time

MEMORY_TICK = 0.025
"""Seconds between two looks at the memory of known processes; at 4 GB/s a process overshoots its limit by 100 MB at most."""
TREE_TICK = 0.1
"""Seconds between two searches for new processes (a scan of /proc costs milliseconds)."""
OUTPUT_TICK = 0.25
MOST_FILES = 200_000
"""Files a program may leave; counting them costs time too."""
LONG_PATH = 2048
"""Bytes of a path; the system takes 4096, and a name may have 255."""
PAGE = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CALL_PATIENCE = 20.0
"""Seconds to wait for a container engine to end a container."""
GRACE = 0.25
"""Seconds that a program's other processes have to end after it; bubblewrap's own need a few milliseconds."""
ORPHAN_PATIENCE = 10.0
"""Seconds to wait for killed processes to disappear."""


def parents() -> dict[int, int]:
    """Process id -> parent's id, of every process that can be seen."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue  # it ended meanwhile
    return found


def descendants() -> list[int]:
    """All processes below this one, zombies included."""
    children: dict[int, list[int]] = {}
    for process, parent in parents().items():
        children.setdefault(parent, []).append(process)
    found, queue = [], [os.getpid()]
    while queue:
        for process in children.get(queue.pop(), ()):
            found.append(process)
            queue.append(process)
    return found


def resident(process: int) -> int:
    """Bytes of memory that a process holds, shared pages included; 0 where it is gone."""
    try:
        with open(f"/proc/{process}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError, ValueError):
        return 0


def proportional(process: int) -> int:
    """Bytes of memory with shared pages divided among their holders (slower than `resident`)."""
    try:
        with open(f"/proc/{process}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        pass
    return resident(process)


def oom_killed(events: str) -> bool:
    """Whether the kernel killed a process of the control group whose file of events this is ("" for no group).

    It kills one process, not the group, and the others may wait for that one until their time is up.
    """
    try:
        with open(events) as file:
            return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in file)
    except OSError:
        return False


def written(folders: list[str], most_bytes: float, most_files: float) -> tuple[float, int]:
    """(bytes, files) below the folders, however deep; stops counting beyond the limits. Links are not followed."""
    size = files = 0
    queue, held = list(folders), []
    try:
        while queue:
            folder = queue.pop()
            try:
                if len(os.fsencode(folder)) > LONG_PATH:
                    # Named anew by its handle: a program may dig deeper than a path may be long, and write there.
                    held.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
                    folder = f"/proc/self/fd/{held[-1]}"
                with os.scandir(folder) as entries:
                    for entry in entries:
                        files += 1
                        try:
                            if entry.is_dir(follow_symlinks=False):
                                queue.append(entry.path)
                            else:
                                size += entry.stat(follow_symlinks=False).st_size
                        except OSError:
                            continue
                        if size > most_bytes or files > most_files:
                            return size, files
            except OSError as error:
                if error.errno == errno.EMFILE:  # no honest output has hundreds of such folders
                    return math.inf, files
    finally:
        for handle in held:
            os.close(handle)
    return size, files


def start(spec: dict) -> tuple[int, int]:
    """Fork and exec; returns (process id, read end of a pipe that holds the error of a failed start)."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, False)
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        os.setsid()
        # A plain process can kill this supervisor, its parent; it is not to outlive that.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if spec["cgroup"]:
            with open(spec["cgroup"], "w") as file:
                file.write(str(os.getpid()))
        most = int(spec["output_mib"] * 2**20)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(spec["stdout"], flags, 0o644), 1)
        os.dup2(os.open(spec["stderr"], flags, 0o644), 2)
        os.closerange(3, writing)
        os.closerange(writing + 1, 4096)
        os.chdir(spec["cwd"])
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])
    except BaseException as error:  # the child must never return into the supervisor
        os.write(writing, str(error).encode())
    os._exit(127)


def call(command: list[str]) -> None:
    """Run a command to its end, without a word, with some patience: an engine that hangs must not hang the judge."""
    child = os.fork()
    if child == 0:
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):  # standard output is the verdict's
                os.dup2(null, stream)
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    deadline = time.monotonic() + CALL_PATIENCE
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        time.sleep(0.01)


def reap() -> bool:
    """Bury children that have ended; False where there is no child at all."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def end_everything(spec: dict, known: int) -> int:
    """Kill all descendants until none is left; returns how many there were beside the process `known`."""
    for command in spec["on_kill"]:
        call(command)
    killed: set[int] = set()
    deadline = time.monotonic() + ORPHAN_PATIENCE
    while time.monotonic() < deadline:
        for process in descendants():
            try:
                os.kill(process, signal.SIGKILL)
                killed.add(process)
            except ProcessLookupError:
                continue
        if not reap():
            break
        time.sleep(0.005)
    return len(killed - {known})


def supervise(spec: dict) -> dict:
    """Run the command of `spec` to its end or to a limit."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.monotonic()
    size_before, files_before = written(spec["watched"], math.inf, math.inf)
    main, errors = start(spec)
    with os.fdopen(errors, "rb") as pipe:
        detail = pipe.read().decode(errors="replace")  # ends when exec closes the other end
    memory_limit = None if spec["memory_mib"] is None else spec["memory_mib"] * 2**20
    output_limit, most_files = size_before + spec["output_mib"] * 2**20, files_before + MOST_FILES
    peak, cause, status, usage = 0, "exit", None, None
    processes: list[int] = [main]
    look_for_processes = look_at_output = 0.0
    while True:
        if select.select([0], [], [], MEMORY_TICK)[0] and not os.read(0, 1):
            cause = "stopped"
            break
        now = time.monotonic()
        try:
            while True:
                process, ended, used = os.wait4(-1, os.WNOHANG)
                if process == main:
                    status, usage = ended, used
                if process in (0, main):
                    break
        except ChildProcessError:
            break
        if status is not None:
            break
        if now - began > spec["seconds"]:
            cause = "time"
            break
        if now >= look_for_processes:
            processes, look_for_processes = descendants(), now + TREE_TICK
            if oom_killed(spec["memory_events"]):
                cause = "memory"
                break
            if len(processes) > spec["processes"]:
                cause = "processes"
                break
        held = sum(map(resident, processes))
        if memory_limit is not None and held > memory_limit and len(processes) > 1:
            held = sum(map(proportional, processes))
        peak = max(peak, held)
        if memory_limit is not None and held > memory_limit:
            cause = "memory"
            break
        if now >= look_at_output:
            size, files = written(spec["watched"], output_limit, most_files)
            look_at_output = now + OUTPUT_TICK
            if size > output_limit or files > most_files:
                cause = "output"
                break
    seconds = time.monotonic() - began
    while cause == "exit" and time.monotonic() < began + seconds + GRACE and reap():
        time.sleep(0.002)
    survivors = end_everything({"on_kill": [] if cause == "exit" else spec["on_kill"]}, main)
    if usage is not None:
        peak = max(peak, usage.ru_maxrss * 1024)
    size, files = written(spec["watched"], output_limit, most_files)
    if cause == "exit" and (size > output_limit or files > most_files):
        cause = "output"
    elif cause == "exit" and oom_killed(spec["memory_events"]):
        cause = "memory"
    code = None if detail else 137 if status is None else os.waitstatus_to_exitcode(status)
    return {
        "exit_code": 128 - code if code is not None and code < 0 else code,
        "cause": "start" if detail else cause,
        "seconds": seconds,
        "peak_mib": peak / 2**20,
        "survivors": survivors if cause == "exit" else 0,
        "detail": detail,
    }


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as specification:
        print(json.dumps(supervise(json.load(specification))))
