"""The engine that carries tasks to a Ray cluster; `python -m build sweep --ray auto`.

    with Cluster("auto", root=Path("runs"), cache=Path("data"), cpus=2, gpus=None, memory_gib=2) as cluster:
        for position, result in cluster.execute(tasks, begin=begin, heard=heard): ...

Every machine has the same checkout at the same path and the same packages (docs/many-machines.md). Ray places tasks by cores, GPUs and
memory, and starts one again whose worker or machine died; it goes on from its run's last epoch. Ray is imported where a cluster is joined.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from build.console import console
from build.data.prepare import prepare
from build.errors import UserError
from build.machine import pip_install
from build.processes import NO_GPU, ROOT
from build.runs import provenance
from build.study.execute import Result, Task
from build.sweep.depot import Depot, Parcel
from build.sweep.worker import perform_here

RETRIES = 5
"""Times that a task is started again after its worker or its machine died."""
PAUSE = 0.5
"""Seconds between two looks at what the workers report."""
LOCAL = "local"
TOKEN = Path.home() / ".ray" / "auth_token"
END = object()


class Cluster:
    """A Ray cluster as an engine for `Sweep.run`."""

    def __init__(
        self, address: str, *, root: Path, cache: Path, cpus: float, gpus: float | None, memory_gib: float
    ) -> None:
        """address: "auto", HOST:PORT, or "local" for a cluster of this machine that ends with the sweep; needs are a run's."""
        if address != LOCAL and TOKEN.is_file():
            # Ray 2.60 takes the token by itself where it finds a cluster by itself, and not for an address. It looks when it is imported.
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        try:
            import ray
        except ImportError as error:
            raise UserError(
                f"A cluster needs the package ray: nox -s install -- sweep, or {pip_install('ray~=2.60.0')}."
            ) from error
        if gpus and gpus > 1 and gpus % 1:
            raise UserError(
                f"Ray gives a run a share of one GPU or whole ones, got --gpus {gpus:g}; give a whole number."
            )
        self.ray, self.address = ray, address
        self.root, self.cache = Path(root).resolve(), Path(cache).resolve()
        self.cpus, self.gpus, self.memory = cpus, gpus, int(memory_gib * 2**30)
        self._parcels: dict[tuple[str, int], Parcel] = {}

    def __enter__(self) -> "Cluster":
        threads = str(max(1, int(self.cpus)))
        variables = {
            "PYTHONPATH": str(ROOT),
            # Ray limits OpenMP only; a run must not take all cores of a machine that it shares.
            "PODIUM_CORES": threads,
            "TF_NUM_INTRAOP_THREADS": threads,
            "TF_NUM_INTEROP_THREADS": threads,
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        variables |= {name: os.environ[name] for name in ("KERAS_BACKEND", "KERAS_HOME") if name in os.environ}
        if self.gpus == 0:  # asked for: Ray hides nothing from a run that takes no GPU
            variables |= NO_GPU
        elif self.gpus and self.gpus < 1:  # or the first run would take all of the card's memory
            variables |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        # Ray 2.60 announces that a task without a GPU will see all of them; ours ask for the GPUs that they need.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ours = signal.getsignal(signal.SIGTERM)
        try:
            self.ray.init(
                # "local" too is said: without an address Ray would join the cluster that RAY_ADDRESS names, or one of this machine.
                address=self.address,
                include_dashboard=False if self.address == LOCAL else None,
                runtime_env={"env_vars": variables},
                log_to_driver=False,
                logging_level="ERROR",
            )
        except Exception as error:
            # Ray has no class of its own for this: ConnectionError, ValueError, RuntimeError, a bare Exception where it starts too slowly.
            told = str(error).splitlines()[0] if str(error) else type(error).__name__
            if self.address == LOCAL:
                raise UserError(
                    f"Ray did not start on this machine ({told}); leave --ray out to do without."
                ) from error
            raise UserError(
                f"Found no Ray cluster at {self.address} ({told}); start one with `ray start --head`, or use --ray local."
            ) from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, ours)  # Ray's own ends the driver without a word
        try:
            self._begin()
        except BaseException:
            self.ray.shutdown()
            raise
        return self

    def _begin(self) -> None:
        if self.gpus is None:
            self.gpus = 1.0 if self.ray.cluster_resources().get("GPU", 0) >= 1 else 0.0
        if not self.slots():
            nodes = "; ".join(
                f"{node['NodeManagerHostname']}: {_told(node['Resources'])}"
                for node in self.ray.nodes()
                if node["Alive"]
            )
            raise UserError(
                f"No machine of the cluster has the {self.cpus:g} cores, {self.gpus:g} GPUs and {self.memory / 2**30:.1f} GiB "
                f"that a run asks for ({nodes}); lower --cpus, --gpus or --memory."
            )
        here = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self.ray.get_runtime_context().get_node_id(), soft=False
        )
        actor = self.ray.remote(Depot).options(num_cpus=0, max_concurrency=8, scheduling_strategy=here)
        self._depot = actor.remote(str(self.root), str(self.cache))
        self._facts = self.ray.get(self._depot.facts.remote())
        self._commit = provenance()["commit"]
        machines = sum(node["Alive"] for node in self.ray.nodes())
        console.print(
            f"Ray {self.ray.__version__}: {machines} machine{'s' if machines > 1 else ''}, {self.slots()} runs at once, each with "
            f"{self.cpus:g} cores, {self.gpus:g} GPUs, {self.memory / 2**30:.1f} GiB."
        )

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self.ray.get(self._depot.close.remote(), timeout=10)
        self.ray.shutdown()

    def slots(self) -> int:
        """How many runs the machines that are alive have room for, if nobody else used them."""
        asked = {"CPU": self.cpus, "GPU": self.gpus or 0, "memory": self.memory}
        return sum(
            min(int(node["Resources"].get(name, 0) // need) for name, need in asked.items() if need)
            for node in self.ray.nodes()
            if node["Alive"]
        )

    def execute(
        self,
        tasks: Iterable[Task | None],
        begin: Callable[[int], None] = lambda _: None,
        heard: Callable[[int, str, list[dict]], bool] = lambda *_: False,
    ) -> Iterator[tuple[int, Result]]:
        """Perform tasks as `build.study.execute.execute` does, as many at once as there is room for, in the order in which they end.

        None among the tasks: the next one depends on a result to come. Ending the iteration early cancels what is under way.
        """
        remote = self.ray.remote(_carried).options(
            num_cpus=self.cpus, num_gpus=self.gpus, memory=self.memory, max_retries=RETRIES
        )
        tasks, count, ended = iter(tasks), 0, False
        flying: dict = {}
        try:
            while flying or not ended:
                while not ended and len(flying) < max(1, self.slots()):
                    task = next(tasks, END)
                    ended = task is END
                    if task is None or ended:
                        break
                    position, count = count, count + 1
                    begin(position)
                    try:
                        parcel = self._parcel(task)
                    except UserError as error:
                        yield position, Result(task, failure=str(error))
                        continue
                    reference = remote.remote(position, task, parcel, self._facts, self._commit, self._depot)
                    flying[reference] = position, task
                done = self.ray.wait(list(flying), num_returns=1, timeout=PAUSE)[0] if flying else []
                for position, run, history in self.ray.get(self._depot.drain.remote()):
                    if heard(position, run, history):
                        self._depot.stop.remote(position)
                for reference in done:
                    position, task = flying.pop(reference)
                    yield position, self._result(reference, task)
        finally:
            for reference in flying:
                self.ray.cancel(reference)

    def _parcel(self, task: Task) -> Parcel:
        """The data of a task, prepared here once: workers would all begin by curating the same cells."""
        key = task.data, task.seed
        if key not in self._parcels:
            prepared = prepare(task.data, task.recipe, seed=task.seed, cache=self.cache)
            self._parcels[key] = Parcel.of(prepared.cells, self.cache)
        return self._parcels[key]

    def _result(self, reference, task: Task) -> Result:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            told = " ".join(str(error.__cause__ or error).split())
            return Result(task, failure=f"Ray gave the task up ({type(error).__name__}): {told[:300]}")


def _carried(position: int, task: Task, parcel: Parcel, facts, commit: str | None, depot) -> Result:
    """What a Ray worker runs."""
    import ray

    def call(name: str, *arguments: object) -> object:
        return ray.get(getattr(depot, name).remote(*arguments))

    return perform_here(position, task, parcel, facts, commit, call)


def _told(resources: dict) -> str:
    memory = resources.get("memory", 0) / 2**30
    return f"{resources.get('CPU', 0):g} cores, {resources.get('GPU', 0):g} GPUs, {memory:.1f} GiB"
