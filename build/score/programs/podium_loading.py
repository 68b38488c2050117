"""Imports the submission's model.py and constructs its Model; turns what goes wrong into a record. Shared by the programs that run it."""

import importlib
import json
import os
import sys
import traceback

LONGEST = 500
"""Characters of a message that are told."""


class Stopped(Exception):
    """The submission failed; `record`, JSON-able, says how: stage, class or kind of the error, message, place, sentence, remedy."""

    def __init__(self, stage, error, sentence, *, message="", file="", line=0, remedy=""):
        super().__init__(sentence)
        self.record = {
            "stage": stage,
            "error": error,
            "message": message,
            "file": file,
            "line": line,
            "sentence": sentence,
            "remedy": remedy,
        }


def described(error, stage, submission):
    """What an exception is told as: its class, its message, and the last line of the submission that it came through."""
    place, line = "", 0
    if isinstance(error, SyntaxError) and error.filename and str(error.filename).startswith(submission):
        place, line = os.path.relpath(error.filename, submission), error.lineno or 0
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(submission.rstrip("/") + "/"):
            place, line = os.path.relpath(frame.filename, submission), frame.lineno or 0
    name = type(error).__name__
    message = " ".join(str(error).split())
    # Keras wraps a fault of loading in the whole configuration of the model, and names it last.
    _, wrapped, cause = message.rpartition("Exception encountered: ")
    message = (f"{cause} ({message})" if wrapped and len(message) > LONGEST else message)[:LONGEST]
    doing = {"import": "importing model.py", "init": "Model()", "predict": "Model.predict"}[stage]
    where = f" ({place}, line {line})" if place else ""
    sentence = f"{doing} raised {name}{': ' + message if message else ''}{where}"
    return Stopped(stage, name, sentence, message=message, file=place, line=line)


def attempt(stage, submission, function, *arguments):
    """Call `function`; whatever it raises, SystemExit included, becomes Stopped. The traceback goes to standard error."""
    try:
        return function(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a submission may raise anything, and sys.exit() must not look like success
        traceback.print_exc()
        raise described(error, stage, submission) from error


def load(submission):
    """Import model.py from the folder `submission`; returns its module. Stopped where that fails or there is no class Model."""
    if not os.path.isfile(os.path.join(submission, "model.py")):
        raise Stopped("import", "missing", "There is no model.py at the root of the submission.")
    sys.path.insert(0, submission)
    module = attempt("import", submission, importlib.import_module, "model")
    if not hasattr(module, "Model"):
        raise Stopped("import", "no-class", "model.py has no class Model.", file="model.py")
    return module


def write_json(path, value):
    """Replace the file at `path` by `value` as JSON, whole or not at all."""
    scratch = path + ".part"
    with open(scratch, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(scratch, path)
