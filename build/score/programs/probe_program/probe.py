"""Probe program: calls the submission's Model in the ways in which a server might, and records what it does.

    python3 probe.py INPUT OUTPUT SUBMISSION

INPUT/images.npy holds a small sample, INPUT/probes.json the number of classes. OUTPUT/probes.json grows after every check, so that
one that hangs or crashes the process is known by name: {"running": NAME or "", "checks": {NAME: {...}}, "failure": {...} or null}.
It only records; which of it is a fault is decided by build/score/probe.py. Needs numpy only; runs on Python 3.9 or newer.
"""

import contextlib
import ctypes
import json
import os
import re
import sys
import sysconfig
import tempfile
import time

import numpy as np
from podium_labels import breach
from podium_loading import Stopped, attempt, load, write_json

GROWTH_SECONDS = 4.0
"""How long the larger call of the memory check may take at the speed seen before."""
GROWTH_STEP = 64
"""Images: the smaller call holds whole multiples of it, so that both fill the usual batches and only what grows with a call differs."""
GROWTH_STEPS = 4
GENERATED = "__autograph_generated_file"
"""Files that TensorFlow leaves in the temporary folder by itself."""


def differing(one, other):
    """How many labels differ; -1 where the shapes do."""
    one, other = np.asarray(one), np.asarray(other)
    return int((one != other).sum()) if one.shape == other.shape else -1


def foreign_modules(submission):
    """Loaded modules whose files belong neither to Python, nor to installed packages, nor to the submission, nor to this program."""
    paths = sysconfig.get_paths()
    homes = [paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], sys.base_prefix, sys.prefix]
    homes += [submission, os.path.dirname(os.path.abspath(__file__)), "/usr/lib/python3", "/opt/server"]
    homes += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    homes.append(tempfile.gettempdir())  # private and empty at the start: TensorFlow's autograph writes modules there
    homes = [os.path.realpath(home) + os.sep for home in homes]
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and not any(os.path.realpath(file).startswith(home) for home in homes):
            found[name] = file
    return found


def files_below(*folders):
    """Path -> (size, time of change) of every file below the folders, the interpreter's own left out."""
    # An environment below HOME or /tmp has tens of thousands of files, and the sandbox shows it read-only.
    interpreter = {os.path.realpath(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    found = {}
    for folder in folders:
        for parent, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if os.path.realpath(os.path.join(parent, name)) not in interpreter]
            for name in names:
                path = os.path.join(parent, name)
                try:
                    stat = os.lstat(path)
                except OSError:
                    continue
                found[path] = (stat.st_size, stat.st_mtime_ns)
    return found


def high_water_mark(reset=False):
    """Largest resident memory of this process in bytes since the last reset, which `reset` makes first; None where the system does not
    tell.
    """
    try:
        if reset:
            # What was freed and is still held would count besides what a larger call takes anew.
            with contextlib.suppress(AttributeError, OSError):  # a C library without it
                ctypes.CDLL(None).malloc_trim(0)
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


class Probes:
    """The checks, in order; each is a method that returns a JSON-able record."""

    def __init__(self, data, output, submission):
        self.submission, self.output = submission, output
        self.images = np.load(os.path.join(data, "images.npy"), allow_pickle=False)
        with open(os.path.join(data, "probes.json"), encoding="utf-8") as file:
            plan = json.load(file)
        self.classes = plan["classes"]
        if plan.get("working_directory") == "submission":
            os.chdir(submission)
        self.record = {"running": "", "checks": {}, "failure": None}
        self.watched = (submission, tempfile.gettempdir(), os.path.expanduser("~"))
        self.before = files_below(*self.watched)
        self.rate = 0.0  # images a second, where a second call gave an answer

    def predict(self, images, model=None):
        """Labels of `images` as an array, whatever their shape."""
        model = model or self.model
        return np.asarray(attempt("predict", self.submission, lambda: model.predict(images)))

    def returns(self):
        """Whether the returned value is one label an image."""
        module = load(self.submission)
        self.model = attempt("init", self.submission, module.Model)
        before = self.images.copy()
        returned = attempt("predict", self.submission, lambda: self.model.predict(self.images))
        found = breach(returned, len(self.images), self.classes)
        self.base = np.asarray(returned)
        changed = not np.array_equal(before, self.images)
        self.images = before
        return {"breach": found, "type": type(returned).__name__, "changed_input": changed}

    def repeat(self):
        """Two calls with the same images."""
        began = time.perf_counter()
        again = self.predict(self.images.copy())
        self.rate = len(self.images) / max(1e-6, time.perf_counter() - began)
        return {"differing": differing(self.base, again), "images": len(self.images)}

    def order(self):
        """The same images the other way round."""
        return {
            "differing": differing(self.base, self.predict(self.images[::-1].copy())[::-1]),
            "images": len(self.images),
        }

    def batch(self):
        """The same images alone and in two parts."""
        alone = np.concatenate(
            [self.predict(self.images[i : i + 1].copy()).reshape(-1) for i in range(min(4, len(self.images)))]
        )
        half = len(self.images) // 2
        parts = np.concatenate([self.predict(self.images[:half].copy()), self.predict(self.images[half:].copy())])
        return {
            "alone": differing(self.base[: len(alone)], alone),
            "parts": differing(self.base, parts),
            "images": len(self.images),
        }

    def dtype(self):
        """The same pixels as float32 and float64, 0..255."""
        return {
            name: differing(self.base, self.predict(self.images.astype(name))) for name in ("float32", "float64")
        } | {"images": len(self.images)}

    def layout(self):
        """The same pixels in another memory layout."""
        return {
            "differing": differing(self.base, self.predict(np.asfortranarray(self.images))),
            "images": len(self.images),
        }

    def empty(self):
        """No image at all."""
        return {"shape": list(self.predict(self.images[:0]).shape)}

    def folder(self):
        """A second Model made and used in another working directory."""
        home = os.getcwd()
        with tempfile.TemporaryDirectory() as elsewhere:
            os.chdir(elsewhere)
            try:
                model = attempt("init", self.submission, sys.modules["model"].Model)
                labels = self.predict(self.images.copy(), model)
            finally:
                os.chdir(home)
        return {"differing": differing(self.base, labels), "images": len(self.images)}

    def growth(self):
        """Bytes of working memory that one more image costs within a call."""
        few = GROWTH_STEP * int(min(GROWTH_STEPS, self.rate * GROWTH_SECONDS / (2 * GROWTH_STEP)))
        count = 2 * few
        if not few or high_water_mark(reset=True) is None:
            return {"bytes_per_image": None}
        many = np.concatenate([self.images] * -(-count // len(self.images)))[:count]
        self.predict(many[:few])
        high_water_mark(reset=True)
        self.predict(many[:few])
        low = high_water_mark()
        high_water_mark(reset=True)
        self.predict(many)
        high = high_water_mark()
        return {"bytes_per_image": max(0, high - low) / (count - few)}

    def traces(self):
        """Modules from elsewhere, files left behind."""
        after = files_below(*self.watched)
        changed = sorted(path for path, state in after.items() if self.before.get(path) != state)
        changed = [path for path in changed if not os.path.basename(path).startswith(GENERATED)]
        return {
            "modules": foreign_modules(self.submission),
            "inside": [
                os.path.relpath(path, self.submission) for path in changed if path.startswith(self.submission + os.sep)
            ][:20],
            "outside": [
                os.path.join(os.path.basename(folder), os.path.relpath(path, folder))
                for folder in self.watched[1:]
                for path in changed
                # Settings and caches (fonts, kernels) are the libraries' own, not the submission's.
                if path.startswith(folder + os.sep) and not re.search(r"/\.(keras|cache|config)/", path)
            ][:20],
        }

    def run(self):
        """All checks; after a failure of the first one nothing else makes sense."""
        names = ("returns", "repeat", "order", "batch", "dtype", "layout", "empty", "folder", "growth", "traces")
        for name in names:
            self.record["running"] = name
            self.save()
            try:
                found = getattr(self, name)()
            except Stopped as stopped:
                found = {"failure": stopped.record}
            self.record["checks"][name] = found
            if name == "returns" and (found.get("failure") or found.get("breach")):
                self.record["failure"] = found.get("failure")
                self.record["checks"]["traces"] = self.traces()
                break
        self.record["running"] = ""
        self.save()

    def save(self):
        """Write what is known so far."""
        write_json(os.path.join(self.output, "probes.json"), self.record)


if __name__ == "__main__":
    Probes(*sys.argv[1:4]).run()
