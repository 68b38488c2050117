"""What a training says while it runs: the bar's rate and ETA, the line of an epoch, the wish to stop."""

import io
import os
import signal
import threading
from types import SimpleNamespace

import pytest
from rich.console import Console

from build.console import clock
from build.train import progress
from build.train.progress import StopSignal, Watch, summary


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "1:00:00"), (3725, "1:02:05"), (-3, "0:00")]
)
def test_seconds_are_written_as_people_do(seconds, text):
    assert clock(seconds) == text


@pytest.fixture
def watched(monkeypatch):
    """An epoch of 100 images in batches of 10: the first step takes 5 s, every other one 2 s."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    bar = SimpleNamespace(values="", add_task=lambda *_, **__: 0)
    bar.update = lambda _, completed, values: setattr(bar, "values", f"{completed}: {values}")
    stop = StopSignal()
    watch = Watch(bar, title="epoch", images=100, batch=10, after=lambda rate: 1000 * rate, stop=stop)
    watch.set_model(SimpleNamespace(stop_training=False))

    def step(number):
        now[0] += 2 if number else 5
        watch.on_train_batch_end(number, {"loss": 1.25, "accuracy": 0.5})

    return watch, bar, stop, step


def test_rate_and_eta_leave_out_the_first_step_which_traces_the_graph(watched):
    watch, bar, _, step = watched
    for number in range(5):
        step(number)
    assert watch.seconds_an_image == pytest.approx(0.2)
    assert watch.start_seconds == 3  # beyond the two seconds that a step takes
    # 50 images to go at .2 s, then 1000 of the epochs that follow.
    assert bar.values == "50: loss 1.250  accuracy 0.500  5 img/s  ETA 0:10, in all 3:30"
    assert watch.cut
    for number in range(5, 10):
        step(number)
    assert not watch.cut


def test_a_single_step_still_gives_a_rate(watched):
    watch, _, _, step = watched
    step(0)
    assert watch.seconds_an_image == pytest.approx(0.5)
    assert watch.start_seconds == 0


def test_steps_reported_late_by_another_thread_do_not_turn_the_epoch_back(watched):
    watch, _, _, step = watched
    for number in (0, 4, 3):
        step(number)
    assert watch.last[0] == 50


def test_a_wish_to_stop_reaches_keras_after_the_step(watched):
    watch, _, stop, step = watched
    step(0)
    assert not watch.model.stop_training
    stop.wished = True
    step(1)
    assert watch.model.stop_training
    assert watch.cut


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish_and_the_second_stops_at_once(number):
    before = signal.getsignal(number)
    with StopSignal() as stop:
        os.kill(os.getpid(), number)
        assert stop.wished
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


@pytest.fixture
def without_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield signal.SIG_DFL
    signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_is_a_wish_however_often_it_is_told(without_nohup, monkeypatch):
    monkeypatch.setattr("build.signals.os.dup2", lambda *_: None)
    before = without_nohup
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.wished
    assert signal.getsignal(signal.SIGHUP) is before
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("build.signals.signal.getsignal", lambda _: signal.SIG_IGN)  # by nohup
        with StopSignal():
            assert signal.signal(signal.SIGHUP, before) is before


def test_outside_the_main_thread_signals_are_left_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def inside():
        with StopSignal():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_log_file_gets_no_bar_but_a_line_an_epoch(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=out))
    with progress.bar() as bar:
        bar.add_task("epoch 1", total=10, values="")
    assert out.getvalue().strip() == ""
    row = {
        "epoch": 3,
        "phase": "all",
        "side": 64,
        "loss": 0.5,
        "accuracy": 0.8,
        "validation_accuracy": 0.91,
        "perturbed_accuracy": 0.7,
        "learning_rate": 1e-3,
        "images_per_second": 250.4,
        "seconds": 12.0,
    }
    line = summary(row, 10, True, 95.0)
    for part in ("3/10", "64 px", "validation 0.910", "perturbed 0.700 best", "250 img/s", "ETA 1:35"):
        assert part in line
    assert "best" not in summary(row, 10, False, 95.0)
