"""What a training says while it runs: a bar in a terminal, one line an epoch everywhere."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

import keras
from rich.progress import BarColumn, Progress, TextColumn

from build.console import clock, console
from build.signals import ending, leave_terminal


def summary(row: dict, total: int, best: bool, remaining: float) -> str:
    """One line an epoch: what a log file needs."""
    return (
        f"epoch {row['epoch']:>3}/{total}  {row['phase']} {row['side']} px  loss {row['loss']:.3f}  accuracy {row['accuracy']:.3f}  "
        f"validation {row['validation_accuracy']:.3f}  perturbed {row['perturbed_accuracy']:.3f}{' best' if best else '     '} "
        f"lr {row['learning_rate']:.1e}  {row['images_per_second']:.0f} img/s  {row['seconds']:.0f} s  ETA {clock(remaining)}"
    )


class Watch(keras.callbacks.Callback):
    """Follows one epoch: draws the bar, times the steps, passes a wish to stop on to keras.

    `async_safe` lets keras call it from another thread under JAX, so that the training does not wait for a loss to be read back. Under
    TensorFlow it changes nothing: there the loss is waited for after every call, which on several GPUs is every step.
    """

    async_safe = True

    def __init__(
        self,
        progress: Progress,
        *,
        title: str,
        images: int,
        batch: int,
        after: Callable[[float], float],
        stop: "StopSignal",
    ):
        """Watch an epoch of `images`; `after` gives the seconds of the epochs that follow from this epoch's seconds an image."""
        super().__init__()
        self.progress, self.images, self.batch = progress, images, batch
        self.after, self.stop = after, stop
        self.task = progress.add_task(title, total=images, values="")
        self.began = time.perf_counter()
        self.first: tuple[int, float] | None = None
        self.last: tuple[int, float] = (0, self.began)

    def on_train_batch_end(self, batch, logs=None) -> None:
        """Note how far the epoch has come."""
        done, now = min((batch + 1) * self.batch, self.images), time.perf_counter()
        if self.first is None:
            self.first = (done, now)
        if done >= self.last[0]:
            self.last = (done, now)
        if self.stop.wished:
            self.model.stop_training = True
        logs, rest = logs or {}, self.images - done
        values = f"loss {logs.get('loss', 0):.3f}  accuracy {logs.get('accuracy', 0):.3f}"
        if done > self.first[0]:
            values += f"  {1 / self.seconds_an_image:.0f} img/s"
            epoch = rest * self.seconds_an_image
            values += f"  ETA {clock(epoch)}, in all {clock(epoch + self.after(self.seconds_an_image))}"
        self.progress.update(self.task, completed=done, values=values)

    @property
    def cut(self) -> bool:
        """Whether the epoch was stopped before its last step."""
        return self.last[0] < self.images

    @property
    def start_seconds(self) -> float:
        """What the first call took longer than its images do later: tracing the graph, filling the pipeline."""
        images, moment = self.first or self.last
        return max(0.0, moment - self.began - images * self.seconds_an_image)

    @property
    def seconds_an_image(self) -> float:
        """Over the steps after the first call, which makes one or several; with a single call, of that one."""
        first = self.first or self.last
        images, seconds = self.last[0] - first[0], self.last[1] - first[1]
        return seconds / images if images else (first[1] - self.began) / max(first[0], 1)


def bar() -> Progress:
    """The bar of an epoch, on standard error; nothing is drawn where that is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[values]}"),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class StopSignal:
    """Turns the first Ctrl-C (or SIGTERM, or SIGHUP) into a wish that the epoch's next step fulfils; the second one stops at once.

    Outside the main thread, where Python takes no signals, it does nothing.
    """

    def __init__(self, what: str = "step"):
        """what: after which it stops, for the message."""
        self.wished, self.what = False, what
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._wish) for number in (signal.SIGINT, *ending())}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _wish(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a signal handler
        if number == signal.SIGHUP:
            leave_terminal()
        if self.wished:
            raise KeyboardInterrupt
        self.wished = True
        console.print(f"Stopping after this {self.what} (again: at once) ...")
