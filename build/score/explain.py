"""From an exception of the submission to one sentence that names its cause, and what to change."""

import re
import sys

from build.machine import pip_install
from build.score.environment import REMOVED, SYSTEM_FOLDERS, version
from build.score.misnamed import misplaced, misspelt
from build.score.seen import Seen, named

NETWORK_ERRORS = (
    "URLError", "gaierror", "ConnectionError", "NewConnectionError", "MaxRetryError", "ConnectionRefusedError", "SSLError",
)  # fmt: skip
NETWORK_WORDS = re.compile(
    r"URL fetch failure|name resolution|Name or service not known|Network is unreachable|Max retries exceeded|urlopen error"
)
SHELL_DOWNLOADS = re.compile(r"\b(?:pip3?\b.{0,30}\binstall|wget|curl|gdown|git\b.{0,30}\bclone)\b", re.DOTALL)
PATH_WORDS = re.compile(r"(?:No such file or directory|[Ff]ile not found|[Uu]nable to (?:synchronously )?open file)")
OWN_FOLDER = re.compile(r"^.*(?:/app/ingested_program|/prediction(?:-\d+)?-submission)[/\\]")
"""What stands before a name in the submission's folder: its place in the container, and for the plain engine what that links to."""
STARTS = re.compile(r"\b(?:subprocess\.\w+|run|call|check_call|check_output|Popen)\(")
"""How a line starts another program."""
PACKAGE = "model/__init__.py"
HIDING = (
    f"Python imports the package model/ and not the model.py beside it, and {PACKAGE} has no class Model.",
    "Rename the folder model/, or `from .NAME import Model` in its __init__.py.",
)
"""(sentence, remedy) for a zip whose model.py is never imported."""

IMPORTS_NO_MODULE = (3, 9)
"""First Keras that imports no module which a model file names, other than its own."""
REFUSES_LAMBDA = (3, 11)
"""First Keras that refuses a Lambda layer of HDF5 unless it is told otherwise; of .keras all versions do."""


def _module(seen: Seen) -> tuple[str, str] | None:
    if seen.error == "ImportError" and "attempted relative import" in seen.message:
        sentence = f"{seen.place} imports by a leading dot, but the server imports model.py by itself, not as part of a package."
        return sentence, "Import without the dots what lies beside model.py."
    if seen.error == "ImportError" and "Keras cannot be imported" in seen.message:  # said by TensorFlow
        sentence = (
            f"{seen.place} uses tf.keras, for which TF_USE_LEGACY_KERAS asks for Keras 2 (tf_keras); that is not there."
        )
        return sentence, "Do without TF_USE_LEGACY_KERAS, or import keras instead of tf.keras."
    found = re.search(r"No module named '([\w.]+)'", seen.message)
    if not found or seen.error not in ("ModuleNotFoundError", "ImportError"):
        return None
    name = found[1].split(".")[0]
    imports = f"{seen.place} imports {found[1]}"
    if any(path.name.startswith(f"{name}\\") for path in seen.submission.iterdir()):
        return f"{imports}, whose name in the zip has backslashes.", "Make the zip with forward slashes."
    if name == "build":
        return f"{imports}, which stays at home.", "Import only what is in the zip; `build` is never uploaded."
    if seen.holds(name) or seen.holds(f"{name}.py"):
        return f"{imports}, which is not in the zip.", f"Add the missing module to {name}/."
    inner = seen.submission.glob("*/*")
    if any(path.name == f"{name}.py" or (path.name == name and (path / "__init__.py").is_file()) for path in inner):
        return f"{imports}, which is in the zip, but in a subfolder.", "Zip the files, not the folder that holds them."
    if seen.environment is None:
        return f"{imports}, which is not installed.", "Put it into the zip or do without it."
    if seen.environment.python < REMOVED.get(name, (0, 0)) <= sys.version_info[:2]:
        server, here = (".".join(map(str, one)) for one in (seen.environment.python, sys.version_info[:2]))
        sentence = f"{imports}, which the server's Python {server} has and this machine's {here} no longer."
        return sentence, f"Do without it, or judge the zip under Python {server}."
    if lacking := seen.environment.lacking(found[1]):
        return f"{imports}, which the server does not have ({seen.environment.name}).", seen.environment.absent[lacking]
    if name in seen.environment.present and "." in found[1]:  # the package was found, so there is nothing to install
        sentence = f"{imports}, which this machine's {name} does not have, and the server's may not have either."
        return sentence, "Import what both have, or ask both: nox -s compat."
    if name in seen.environment.present:
        sentence = f"{imports}, which the server is said to have, but which is not installed here."
        install = f"install the package that has it here ({pip_install('PACKAGE')})"
        return sentence, f"That says nothing of the server: {install} and judge again, or do without it."
    sentence = f"{imports}, which is neither in the zip nor known to be on the server ({seen.environment.name})."
    return sentence, "Put it into the zip, or add it to the description of the server's environment."


def _path(seen: Seen) -> tuple[str, str] | None:
    if not (PATH_WORDS.search(seen.message) or seen.error == "FileNotFoundError"):
        return None
    if not (name := named(seen.message)):
        return None
    if (
        seen.error == "FileNotFoundError"
        and STARTS.search(seen.source)
        and "." not in name
        and "cwd" not in seen.source
    ):
        sentence = f"{seen.place} starts the program {name!r}, which is not there; the server may not have it either."
        return sentence, "Do without it, or catch FileNotFoundError."
    name = name.replace("\\\\", "\\")  # Python says a file's name as it would be written in a source
    own, *rest = OWN_FOLDER.split(name.removeprefix(f"{seen.submission}/"), maxsplit=1)
    if rest or own != name:
        inside = rest[0] if rest else own
        if told := misspelt(inside, seen.names()):
            return f"{seen.place} opens {inside!r}, {told[0]}", told[1]
        return f"{seen.place} opens {inside!r}, which is not in the zip.", "Add the file to the zip."
    opens = f"{seen.place} opens {name!r}"
    if name.startswith(SYSTEM_FOLDERS):
        sentence = f"{opens}, which is not there where the judge runs it; the server may have it."
        return sentence, "Open it only where it is there, or do without it."
    if name.startswith(("/", "~")) or re.match(r"[A-Za-z]:[\\/]", name):
        return f"{opens}, a path of another machine.", "Put the file into the zip and open it by Path(__file__).parent."
    if seen.holds(name):
        sentence = f"{opens} relative to the working directory, which is not the submission's folder."
        return sentence, f"Open it by Path(__file__).parent / {name!r}."
    if told := misspelt(name, seen.names()):
        return f"{opens}, {told[0]}", told[1]
    return f"{opens}, which is not in the zip.", "Add the file to the zip and open it by Path(__file__).parent."


def _network(seen: Seen) -> tuple[str, str] | None:
    # The program's own words stand in the log only.
    if seen.error in ("CalledProcessError", "TimeoutExpired") and SHELL_DOWNLOADS.search(seen.message):
        sentence = f"{seen.place} starts a download or an installation, and the server may offer no network: {seen.message.rstrip('.')}."
        return sentence, "Put what it would download into the zip, or do without it."
    if seen.error in NETWORK_ERRORS or NETWORK_WORDS.search(seen.message):
        return (
            f"{seen.place} uses the network, which the server may not offer ({seen.error}).",
            "Put what it downloads into the zip.",
        )
    return None


def _read_only(seen: Seen) -> tuple[str, str] | None:
    if "Read-only file system" not in seen.message:
        return None
    name = named(seen.message)
    what = repr(name) if name else "a file"
    return (
        f"{seen.place} writes {what}; the judge lets a submission write beside its own files and to the temporary folder only.",
        "Write nothing, or use tempfile.",
    )


def _arguments(seen: Seen) -> tuple[str, str] | None:
    # What the submission's own lines called wrongly has a place in them.
    ours = seen.error == "TypeError" and not seen.file
    if ours and seen.stage == "init" and "__init__()" in seen.message:
        return (
            f"Model() cannot be made without arguments: {seen.message}.",
            "Give every argument of Model.__init__ a default.",
        )
    if ours and seen.stage == "predict" and "predict()" in seen.message:
        return (
            f"Model.predict cannot be called with the images alone: {seen.message}.",
            "Define `def predict(self, X)`.",
        )
    if seen.error == "AttributeError" and "'Model' object has no attribute 'predict'" in seen.message:
        return "The class Model has no method predict.", "Define `def predict(self, X)`."
    return None


def _no_gpu(seen: Seen) -> tuple[str, str] | None:
    # gpus[0], or list_physical_devices("GPU")[0]
    if seen.error != "IndexError" or not re.search(r"(?i)(?:gpu|device)\w*(?:\([^()]*\))?\[\d", seen.source):
        return None
    sentence = f"{seen.place} takes a device from an empty list ({seen.message}): the judge hides GPUs, and the server may have none."
    return sentence, "Ask whether the list holds any before one is taken."


def _exit(seen: Seen) -> tuple[str, str] | None:
    if seen.error == "SystemExit":
        return f"{seen.place} ends the process (sys.exit).", "Remove the call."
    if seen.error == "MemoryError":
        return f"{seen.place} asks for more memory than there is.", "Predict in small batches."
    return None


def _syntax(seen: Seen) -> tuple[str, str] | None:
    if seen.error in ("SyntaxError", "IndentationError", "TabError"):
        # Python's message ends with the place, if it knows one (it does not where there are null bytes).
        said = re.sub(r" \([^()]*, line \d+\)$", "", seen.message)
        return f"{seen.place if seen.file else 'model.py'} is not valid Python: {said}.", "Correct the line."
    if seen.error in ("NameError", "UnboundLocalError"):
        return f"{seen.place} uses a name that is not defined: {seen.message}.", "Define or import it."
    return None


def _missing(seen: Seen) -> tuple[str, str] | None:
    if seen.error == "missing":
        return misplaced(seen.names())[:2]
    if seen.error == "no-class" and seen.holds(PACKAGE):
        return HIDING
    if seen.error == "no-class":
        return "model.py has no class Model.", "Define `class Model` with __init__(self) and predict(self, X)."
    return None


def _stricter(seen: Seen) -> tuple[str, str] | None:
    """What a newer Keras refuses for safety and the server's older one loads: classes of any module, and Lambda layers of HDF5.

    Tried with files of Keras 3.6, 3.7, 3.12 and 3.15: 3.4.1 loads both, 3.15.1 neither.
    """
    server = seen.environment.certain.get("keras", "") if seen.environment else ""
    if not server:
        return None
    found = re.search(
        r"Could not locate (?:class|function) '(\w+)'.*?Full object config: \{'module': '([\w.]+)'", seen.message
    )
    if found and version(server) < IMPORTS_NO_MODULE and _holds_module(seen, found[2]):
        what = f"needs {found[1]} of the zip's {found[2]}, which this machine's Keras does not import by itself"
        first = f"Import {found[1]} in model.py and give it by custom_objects"
    elif (
        "deserialization of a `Lambda` layer" in seen.message and version(server) < REFUSES_LAMBDA and _only_hdf5(seen)
    ):
        what = "holds a Lambda layer, which this machine's Keras refuses"
        first = "Give load_model safe_mode=False"
    else:
        return None
    tensorflow = ".".join(map(str, version(seen.environment.certain.get("tensorflow", ""))[:2]))
    only = f" --only {tensorflow}" if tensorflow else ""
    sentence = f"{seen.place} loads a model file that {what}; the server's {server} may load it."
    return sentence, f"{first}, which suits both, or try the server's version: nox -s compat -- ZIP{only}."


def _holds_module(seen: Seen, name: str) -> bool:
    path = name.replace(".", "/")
    return seen.holds(f"{path}.py") or seen.holds(f"{path}/__init__.py")


def _only_hdf5(seen: Seen) -> bool:
    """Whether the zip's whole models are HDF5: of .keras the server's Keras refuses a Lambda layer too."""
    suffixes = {path.suffix.lower() for path in seen.submission.rglob("*")}
    return bool(suffixes & {".h5", ".hdf5"}) and ".keras" not in suffixes


def _skew(seen: Seen) -> tuple[str, str] | None:
    found = re.search(r"Could not locate (?:class|function) '(\w+)'", seen.message)
    if found and not re.search(r"'module': 'keras[.']", seen.message):  # else a newer Keras' own
        return (
            f"{seen.place} loads a model file that needs {found[1]}, which Keras was not given.",
            "Put its source into the zip and give it by custom_objects, or build the network in code and load weights only.",
        )
    # What the source itself gives a layer is refused in the same words.
    refused = "Unrecognized keyword argument" in seen.message and "deserializ" in seen.message
    if refused or re.search(r"could not be deserialized|Unknown layer|Could not locate class", seen.message):
        return (
            f"{seen.place} loads a model file that this Keras cannot read: {seen.message[:200]}",
            "Save it with the server's Keras version, or build the network in code and load weights only.",
        )
    return None


def _removed(seen: Seen) -> tuple[str, str] | None:
    found = re.search(r"`np\.(\w+)` was removed|module 'numpy' has no attribute '(\w+)'", seen.message)
    server = seen.environment.certain.get("numpy", "") if seen.environment else ""
    if "was a deprecated alias" in seen.message:  # gone since 1.24; numpy says what to write
        return None
    if seen.error != "AttributeError" or not found or not server or version(server) >= (2,):
        return None
    sentence = f"{seen.place} uses numpy.{found[1] or found[2]}, which this machine's numpy has not; the server's {server} may have it."
    return sentence, "Use a name that both have, or ask both: nox -s compat."


EXPLANATIONS = (
    _missing,
    _syntax,
    _module,
    _network,
    _read_only,
    _path,
    _arguments,
    _no_gpu,
    _exit,
    _removed,
    _stricter,
    _skew,
)
"""The first that knows an exception explains it."""


def explain(seen: Seen) -> tuple[str, str] | None:
    """(sentence, remedy) for an exception; None where nothing is known beyond its own message."""
    return next((found for one in EXPLANATIONS if (found := one(seen))), None)
