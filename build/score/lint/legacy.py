"""TF_USE_LEGACY_KERAS: a zip that asks TensorFlow for Keras 2, which a package of its own holds. Read, never run."""

import ast
from collections.abc import Iterator

from build.score.environment import ServerEnvironment
from build.score.outcome import Finding

VARIABLE = "TF_USE_LEGACY_KERAS"
YES = ("1", "true", "True")
"""The values that TensorFlow takes for yes."""
PACKAGE = "tf_keras"


def look(path: str, tree: ast.Module, environment: ServerEnvironment) -> list[Finding]:
    """A warning where the module asks for Keras 2 and the server has none.

    No error: `tf.keras` raises ImportError then, but `from tensorflow.keras import ...` goes to Keras 3, and so does a plain keras
    (tried with TensorFlow 2.17 and 2.21). The run shows which.
    """
    if environment.has(PACKAGE) in ("yes", "assumed"):
        return []
    sentence = f"{VARIABLE} asks for Keras 2 ({PACKAGE}), which the server does not have ({environment.name})."
    remedy = environment.absent.get(PACKAGE) or "Do without it."
    return [
        Finding("absent-import", "warning", sentence, remedy, path, name.lineno)
        for name, value in _set(tree)
        if isinstance(name, ast.Constant) and name.value == VARIABLE
        if isinstance(value, ast.Constant) and value.value in YES
    ]


def _set(tree: ast.Module) -> Iterator[tuple[ast.expr | None, ast.expr]]:
    """(name, value) of what may set a variable: x[name] = value, x.setdefault(name, value), {name: value}."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield from ((target.slice, node.value) for target in node.targets if isinstance(target, ast.Subscript))
        elif (
            isinstance(node, ast.Call)
            and len(node.args) == 2
            and getattr(node.func, "attr", "") in ("setdefault", "putenv")
        ):
            yield node.args[0], node.args[1]
        elif isinstance(node, ast.Dict):
            yield from zip(node.keys, node.values, strict=True)
