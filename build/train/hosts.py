"""One training on several hosts: which process this is, what it makes of a batch, and what all must know alike.

    KERAS_BACKEND=jax KERAS_DISTRIBUTION_JOB_ADDRESSES=10.0.0.1:4711,10.0.0.2:4711 KERAS_DISTRIBUTION_NUM_PROCESSES=2 \\
        KERAS_DISTRIBUTION_PROCESS_ID=0 python -m build train --data D

    with joined() as hosts:      # before the framework looks at its devices
        run = train(recipe, prepared, seed=0, hosts=hosts)

The variables are keras' own (keras.distribution.initialize). JAX joins the processes, keras.distribution.DataParallel splits each
batch among their devices, and XLA's all-reduce (NCCL on GPUs, gloo on CPUs) sums gradients and the statistics of batch norms: the
step is the one of a single process, so a run may go on with another number of hosts. See docs/many-machines.md.
"""

import contextlib
import ctypes
import hashlib
import os
import re
import signal
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import keras
import numpy as np

from build.console import console
from build.errors import UserError
from build.runs import RunInterrupted

ADDRESSES, COUNT, INDEX = (f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))
JOIN_SECONDS = 300
"""Until all hosts must have come: one may still be reading its data."""
HEARTBEAT_SECONDS = 30
"""A host that is silent for so long is gone. One whose process ends is missed at once: its connections close."""
LOST = 3
"""Exit code where another host is gone; the run can be gone on with."""
_NAME_BYTES = 256
_LEAVING_SECONDS = 60
_SIGNS_OF_LOSS = ("gloo", "nccl", "coordination service", "connection reset", "connection closed", "socket closed")


@dataclass
class Hosts:
    """The processes of one training; alone by default."""

    addresses: tuple[str, ...] = ("localhost:0",)
    """host:port of each process; the first one is the chief, who keeps the run folder."""
    index: int = 0
    run_id: str | None = None
    """What --resume takes, as soon as there is an epoch to go on from."""
    met: bool = False
    """Whether all of them have come."""

    @property
    def count(self) -> int:
        """Number of processes."""
        return len(self.addresses)

    @property
    def chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.index == 0

    def sum(self, values: Sequence[float]) -> np.ndarray:
        """Sums over the hosts, float64 and the same on each. Every host must call it, as all that follow."""
        values = np.asarray(values, np.float64)
        # As words: JAX would make single precision of them.
        return values if self.count == 1 else self._gather(values.view(np.uint32)).view(np.float64).sum(axis=0)

    def chiefs(self, number: int) -> int:
        """The chief's number."""
        return int(self.sum([number if self.chief else 0])[0])

    def chiefs_text(self, text: str) -> str:
        """The chief's text, of at most 256 bytes."""
        return text if self.count == 1 else self._texts(text)[0]

    def check_same(self, what: str, text: str) -> None:
        """Raise UserError on every host where one of them has another text."""
        if self.count > 1 and len(set(self._texts(hashlib.sha256(text.encode()).hexdigest()))) > 1:
            raise UserError(f"The {self.count} hosts have different {what}; start all of them with the same command.")

    def _texts(self, text: str) -> list[str]:
        padded = np.frombuffer(text.encode().ljust(_NAME_BYTES, b"\0"), np.uint8)
        return [row.tobytes().rstrip(b"\0").decode() for row in self._gather(padded)]

    def _gather(self, values: np.ndarray) -> np.ndarray:
        from jax.experimental import multihost_utils

        return np.ascontiguousarray(multihost_utils.process_allgather(values))

    def sentence(self, reason: str = "") -> str:
        """What the user reads when another host is gone, or never came; `reason`, the framework's words, may say which."""
        if not self.met:
            return (
                f"Not all of the {self.count} processes met at {self.addresses[0]} within {JOIN_SECONDS} seconds; start the same "
                "command on every host, and let each reach that address."
            )
        others = [number for number in range(self.count) if number != self.index]
        named = re.findall(r"\[?(\d+(?:\.\d+){3})\]?:\d+", reason)
        gone = [number for number in others if self.addresses[number].rsplit(":", 1)[0] in named]
        gone = gone if len(gone) == 1 else others
        who = (
            f"Worker {gone[0]} at {self.addresses[gone[0]]} is gone"
            if len(gone) == 1
            else f"One of the workers {', '.join(f'{number} at {self.addresses[number]}' for number in gone)} is gone"
        )
        how = f"with --resume {self.run_id}" if self.run_id else "from the start (no epoch was finished)"
        return f"{who}; go on {how} on the hosts that remain."


def declared(environ: Mapping[str, str], backend: str) -> Hosts:
    """The hosts that the environment names; UserError where they are named in part, wrongly or for a backend that cannot."""
    example = f"{ADDRESSES}=10.0.0.1:4711,10.0.0.2:4711 {COUNT}=2 {INDEX}=0"
    if environ.get("TF_CONFIG"):
        raise UserError(
            "TF_CONFIG is set, but the fit of Keras 3 does not carry tf.distribute.MultiWorkerMirroredStrategy; unset it, and for one "
            f"run on several hosts set KERAS_BACKEND=jax and keras' own variables on each, such as {example}."
        )
    given = {name: environ[name] for name in (ADDRESSES, COUNT, INDEX) if environ.get(name)}
    if not given:
        return Hosts()
    if ADDRESSES not in given or INDEX not in given:
        raise UserError(
            f"Expected all hosts' addresses and this one's number, such as {example}; got only {', '.join(given)}."
        )
    addresses = tuple(address.strip() for address in given[ADDRESSES].split(","))
    count, number = given.get(COUNT, str(len(addresses))), given[INDEX]
    sound = all(re.fullmatch(r"\S+:\d+", address) for address in addresses) and len(set(addresses)) == len(addresses)
    if not sound or count != str(len(addresses)) or number not in map(str, range(len(addresses))):
        got = " ".join(f"{name}={value}" for name, value in given.items())
        raise UserError(
            f"Expected another host:port for each process and a number below their count, such as {example}; got {got}."
        )
    if len(addresses) > 1 and backend != "jax":
        raise UserError(
            f"One run on several hosts needs keras on JAX, here it is on {backend}; set KERAS_BACKEND=jax on each."
        )
    return Hosts(addresses, int(number))


@contextlib.contextmanager
def joined(environ: Mapping[str, str] = os.environ) -> Iterator[Hosts]:
    """Join the hosts that the environment names, until the block ends; all but the chief are silent meanwhile.

    UserError if the environment is wrong or not all hosts come. Where a host is lost, every other one prints one sentence and its
    process exits with code 3 at once: what JAX would do on the way out waits for the lost one.
    """
    hosts = declared(environ, keras.backend.backend())
    if hosts.count == 1:
        yield hosts
        return
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    _speak_on_abort(hosts)
    console.print(f"Process {hosts.index} of {hosts.count}: waiting for the others at {hosts.addresses[0]}.")
    try:
        jax.distributed.initialize(
            coordinator_address=hosts.addresses[0],
            num_processes=hosts.count,
            process_id=hosts.index,
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=_LEAVING_SECONDS,
        )
    except RuntimeError as error:
        console.print(str(error), markup=False)
        raise UserError(hosts.sentence()) from error
    hosts.met = True
    console.print(f"{hosts.count} processes train one run on {jax.device_count()} devices.")
    keras.utils.set_random_seed(
        0
    )  # what layers draw before the network's own start is given must be alike, JAX compares it
    quiet, console.quiet = console.quiet, not hosts.chief
    try:
        yield hosts
    except RunInterrupted:
        raise  # all of them stop after the same epoch
    except BaseException as error:  # noqa: BLE001 - whatever it was, the process ends here
        # JAX's way out would wait for the others, and they wait for this one.
        if is_loss(error):
            _leave(hosts.sentence(str(error)), LOST)
        if isinstance(error, UserError):
            _leave(str(error), 2)
        traceback.print_exc()
        _leave(f"Process {hosts.index} of {hosts.count} ended.", 130 if isinstance(error, KeyboardInterrupt) else 1)
    finally:
        console.quiet = quiet
    jax.distributed.shutdown()


def is_loss(error: BaseException) -> bool:
    """Whether an error says that another process of the training is gone."""
    text = str(error).lower()
    return isinstance(error, ValueError | RuntimeError) and any(sign in text for sign in _SIGNS_OF_LOSS)


def _leave(sentence: str, code: int) -> NoReturn:
    os.write(2, f"error: {sentence}\n".encode())
    os._exit(code)


def _speak_on_abort(hosts: Hosts) -> None:
    """Have the sentence said where JAX's own thread ends the process, after missed heartbeats: by abort(), past any `except`.

    Python's signal handlers run in the main thread, which then waits for the lost host; so this one is set below Python.
    """
    global _handler
    _handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: _leave(hosts.sentence(), LOST))
    ctypes.CDLL(None).signal(signal.SIGABRT, _handler)


_handler: object = None
"""Keeps the C function alive."""


def distribution(batch: int) -> "keras.distribution.DataParallel | None":
    """How a batch is split among the devices of all hosts: evenly, under JAX. None for one device, and under TensorFlow.

    Raises UserError if `batch`, the images of a step, cannot be split evenly.
    """
    if keras.backend.backend() != "jax":
        return None
    import jax

    devices = jax.device_count()
    if devices == 1:
        return None
    if batch % devices:
        raise UserError(
            f"A batch of {batch} images cannot be split evenly among {devices} devices; change the recipe's batch, or the hosts."
        )
    # Every host makes its own slice of a batch, so nothing is left to shard.
    return keras.distribution.DataParallel(auto_shard_dataset=False)
