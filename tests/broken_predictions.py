"""The corpus of broken submissions from Model.predict on, those that score with a warning, and the whole corpus."""

import zipfile

import submissions as zips
from broken import IMPORTING, MAKING, UPLOAD, Broken
from submissions import GOOD, LABELS, also, model, source

DAEMON = (
    "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(60)\n    os._exit(0)\nos.wait()"
)


LOADING = f"""{GOOD}
def network():
    import keras
    from pathlib import Path
    return keras.models.load_model(Path(__file__).parent / "weights.keras")

LATER = network
"""
"""A good model that loads a file when it is asked to, which the rehearsal does not."""


def returns(expression: str, says: str, step: str = "prediction", rule: str = "", **options) -> Broken:
    """A model whose predict returns this."""
    return Broken(source(model(f"labels = {LABELS}\nreturn {expression}")), step, says, rule, **options)


PREDICTING = {
    "no predict": Broken(
        source("class Model:\n    def forward(self, X):\n        return X\n"),
        "prediction",
        "The class Model has no method predict.",
        "no-predict",
    ),
    "two arguments": Broken(
        source(model(signature="self, X, y")),
        "prediction",
        "Model.predict cannot be called with the images alone: *missing 1 required positional argument: 'y'.",
        "predict-arguments",
    ),
    "raises in predict": Broken(
        source(model("return X.no_such_method()")),
        "prediction",
        "Model.predict raised AttributeError: 'numpy.ndarray' object has no attribute 'no_such_method' (model.py, line 6).",
    ),
    "unprintable error": Broken(
        source(model("raise ValueError('a\\x1b[2J\\nb\\0c')")),
        "prediction",
        "Model.predict raised ValueError: a?[2J b?c (model.py, line 6).",
    ),
    "one-hot": returns(
        "np.eye(8)[labels]", "Model.predict returned shape (12, 8): one-hot rows or scores, not labels."
    ),
    "floats": returns("labels.astype(float)", "Model.predict returned float64 labels, not integers."),
    "NaN": returns("labels * np.nan", "Model.predict returned NaN or infinity for 12 of 12 images."),
    "strings": returns("labels.astype(str)", "Model.predict returned labels of dtype <U*, not integers."),
    "None": returns("None", "Model.predict returned None."),
    "ragged": returns("[[1], [1, 2]]", "Model.predict returned a list that is no array (*)."),
    "wrong length": returns("labels[:-1]", "Model.predict returned 11 labels for 12 images."),
    "one label": returns("labels[0]", "Model.predict returned shape () for 12 images."),
    "column": returns("labels[:, None]", "Model.predict returned shape (12, 1), a column."),
    "out of range": returns("labels * 0 + 9", "Model.predict returned labels 9..9; they must lie in 0..7."),
    "negative": returns("labels * 0 - 1", "Model.predict returned labels -1..-1; they must lie in 0..7."),
    "from one": returns("np.r_[1:9, 1:5]", "Model.predict returned labels 1..8; they must lie in 0..7."),
}
WARNED = {
    "a list": returns(
        "labels.tolist()", "Model.predict returns a list, not a numpy array.", "", "returns-type", probes=True
    ),
    "random": Broken(
        source(model("return np.random.default_rng().integers(0, 8, len(X))")),
        "",
        "Two calls with the same images differ for * of 32.",
        "nondeterministic",
        probes=True,
    ),
    "batch dependent": Broken(
        source(model(f"return ({LABELS} + len(X)) % 8")),
        "",
        "Alone 4 of the first 4 images get another label.",
        "batch-dependent",
        probes=True,
    ),
    "order dependent": Broken(
        source(model("return np.arange(len(X)) % 8")),
        "",
        "In another order 32 of 32 images get another label.",
        "order-dependent",
        probes=True,
    ),
    "dtype dependent": Broken(
        source(model(f"return ({LABELS} + (X.dtype == np.uint8)) % 8")),
        "",
        "As float32 0..255 32 of 32 images get another label.",
        "dtype-dependent",
        probes=True,
    ),
    "changes its input": Broken(
        source(model(f"labels = {LABELS}\nX[:] = 0\nreturn labels")),
        "",
        "Model.predict changes the images that it is given.",
        "changes-input",
        probes=True,
    ),
    "daemon": Broken(
        source(model(init=DAEMON)),
        "",
        "Processes were left running at the end of the prediction step and were killed.",
        "left-processes",
        engine="plain",  # bwrap's own process namespace ends with its first process
    ),
    "links in the output": Broken(
        source(model(init="os.symlink('/etc/passwd', os.path.join(sys.argv[2], 'link'))")),
        "",
        "The output held links or special files, which are not carried to the scoring step: link.",
        "special-files",
    ),
    "bad own command": Broken(
        also({"metadata": "command: python3 /nowhere.py"}),
        "",
        "The zip scored although its prediction step failed: The submission's own command ended with exit code 2: *",
        "ignored-failure",
    ),
    "__MACOSX": Broken(
        also({"__MACOSX/._model.py": "x"}),
        "",
        "__MACOSX/._model.py comes from the operating system and is unpacked on the server too.",
        "junk",
    ),
    "path escape": Broken(
        also({"../../evil.txt": "x"}),
        "",
        "'../../evil.txt' points out of the archive; the worker unpacks it as 'evil.txt'.",
        "escaping-path",
    ),
    "absolute member": Broken(
        also({"/etc/evil.txt": "x"}),
        "",
        "'/etc/evil.txt' points out of the archive; the worker unpacks it as 'etc/evil.txt'.",
        "escaping-path",
    ),
    "two members": Broken(zips.twice, "", "model.py is in the zip 2 times; the last one counts.", "duplicate"),
    "newer Keras": Broken(
        also({"weights.keras": zips.keras_file("99.0.1")}, LOADING),
        "environment",
        "weights.keras was written by Keras 99.0.1; the server's Keras 3.4.1 cannot load it.",
        "newer-keras",
    ),
    "newer numpy": Broken(
        source(model(f"return ({LABELS}) + (np.bool(0))")),
        "environment",
        "model.py:6: numpy.bool is newer than the server's numpy 1.26.4.",
        "newer-api",
    ),
    "binary on stdout": Broken(
        source(
            model(
                init="sys.stdout.buffer.write(bytes(range(256)) * 99)\nsys.stdout.flush()\nos.write(1, bytes(range(256)))"
            )
        ),
        "",
        "",
    ),
    "stored": Broken(lambda path: zips.pack(path, {"model.py": GOOD}, zipfile.ZIP_STORED), "", ""),
    "bzip2": Broken(lambda path: zips.pack(path, {"model.py": GOOD}, zipfile.ZIP_BZIP2), "", ""),
    "lzma": Broken(lambda path: zips.pack(path, {"model.py": GOOD}, zipfile.ZIP_LZMA), "", ""),
}
"""These score. The last four have nothing to be said of."""
KINDS = UPLOAD | IMPORTING | MAKING | PREDICTING | WARNED
