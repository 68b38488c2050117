"""Makes a submission's imports behave as on the described server: packages that are installed here but not there do not exist.

Python imports this file by itself at its start, because its folder is on PYTHONPATH. It looks at imports that come from the
submission's own files only, so installed packages may import one another as they like; but what the server is known not to have is
hidden from them too, or Keras would find JAX here where KERAS_BACKEND asks for it. Beside it lies present.json: the names of both.
"""

import importlib.machinery
import importlib.util
import json
import os
import re
import sys

_INSTALLED = re.compile("site-packages|dist-packages")
_HERE = os.path.dirname(os.path.abspath(__file__))


class ServerPackages:
    """Meta path finder that hides what the server lacks from the submission."""

    def __init__(self, present, absent, submission):
        self.absent = frozenset(absent)
        self.present = frozenset(present) | frozenset(getattr(sys, "stdlib_module_names", ()))
        self.submission = submission.rstrip("/") + "/"

    def find_spec(self, name, path=None, target=None):
        """None leaves the import to Python; raises ModuleNotFoundError as the server would."""
        if path is not None or name in self.present:
            return None
        frame = sys._getframe(1)
        while frame is not None and ("importlib" in frame.f_code.co_filename or frame.f_code is _asked.__code__):
            frame = frame.f_back
        if frame is None:
            return None
        asked_by_the_zip = frame.f_code.co_filename.startswith(self.submission)
        if not asked_by_the_zip and not (name in self.absent and _INSTALLED.search(frame.f_code.co_filename)):
            return None
        spec = self._brought(name)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec

    def _brought(self, name):
        """What the zip brings along is its own, whatever its folder is called."""
        paths = [entry for entry in sys.path if isinstance(entry, str)]  # Python passes over anything else
        own = [entry for entry in paths if (entry + "/").startswith(self.submission) or not _INSTALLED.search(entry)]
        return importlib.machinery.PathFinder.find_spec(name, own)


_find_spec = importlib.util.find_spec


def _asked(name, package=None):
    """importlib.util.find_spec, by which a submission asks whether it could import: None is the answer where it could not."""
    try:
        return _find_spec(name, package)
    except ModuleNotFoundError as error:
        if error.name == name:
            return None
        raise


importlib.util.find_spec = _asked
with open(os.path.join(_HERE, "present.json"), encoding="utf-8") as _file:
    _found = json.load(_file)
_submission = os.environ.get("PODIUM_SUBMISSION", "/app/ingested_program")
sys.meta_path.insert(0, ServerPackages(_found["present"], _found["absent"], _submission))
