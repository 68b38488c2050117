"""Names of Keras and numpy that came after the server's versions: the rehearsal's own newer packages have them, the server has not."""

import ast

from build.score.environment import ServerEnvironment
from build.score.lint.calls import dotted
from build.score.outcome import Finding


def look(path: str, tree: ast.Module, environment: ServerEnvironment) -> list[Finding]:
    """A finding for each place where a name of `environment.later` is used; a note where an `except` is around it."""
    found: dict[tuple[int, str], Finding] = {}
    aliases: dict[str, str] = {}
    caught = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for child in node.body
        for inner in ast.walk(child)
    }

    def say(node: ast.AST, name: str) -> None:
        if name in environment.later and (node.lineno, name) not in found:
            package = name.split(".")[0]
            sentence = (
                f"{name} is newer than the server's {package} {environment.certain.get(package, '')}".rstrip() + "."
            )
            severity = "note" if node in caught else "error"
            remedy = "Do without it, or write it yourself."
            found[node.lineno, name] = Finding("newer-api", severity, sentence, remedy, path, node.lineno)

    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                # `import a.b` binds a; `import a.b as c` binds c to a.b.
                bound = alias.name if alias.asname else alias.name.split(".")[0]
                aliases[alias.asname or bound] = bound
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                aliases[alias.asname or alias.name] = name
                say(node, _plain(name))
    for node in nodes:
        if isinstance(node, ast.Attribute) and (name := dotted(node)):
            first, _, rest = name.partition(".")
            if first in aliases and _rooted(node):
                say(node, _plain(f"{aliases[first]}.{rest}"))
    return list(found.values())


def _plain(name: str) -> str:
    """TensorFlow shows the same Keras under a name of its own."""
    return name.removeprefix("tensorflow.") if name.startswith("tensorflow.keras.") else name


def _rooted(node: ast.AST) -> bool:
    """Whether an attribute chain starts with a plain name."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)
