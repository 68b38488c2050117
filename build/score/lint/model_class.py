"""The class Model: whether there is one, and whether it can be called as the server does."""

import ast

from build.score.explain import HIDING, PACKAGE
from build.score.outcome import Finding


def look(path: str, tree: ast.Module) -> list[Finding]:
    """Whether the file at `path`, which Python takes for the module model, defines the class that the server uses."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Model"]
    if not classes:
        bound = {name for node in tree.body for name in _bound(node)}
        if "Model" in bound or "*" in bound:
            return []
        sentence, remedy = f"{path} has no class Model.", "Define `class Model`."
        if path == PACKAGE:
            sentence, remedy = HIDING
        return [Finding("no-class", "error", sentence, remedy, path)]
    node = classes[-1]
    methods = {child.name: child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)}
    findings = []
    if (
        "predict" not in methods
        and not node.bases
        and "predict" not in {name for child in node.body for name in _bound(child)}
    ):
        sentence = "The class Model has no method predict."
        findings.append(Finding("no-predict", "error", sentence, "Define `def predict(self, X)`.", path, node.lineno))
    for name, given, rule, remedy in (
        ("__init__", 1, "init-arguments", "Give every argument of Model.__init__ a default."),
        ("predict", 2, "predict-arguments", "Define `def predict(self, X)`."),
    ):
        method = methods.get(name)
        if method is None:
            continue
        static = any("staticmethod" in ast.dump(decorator) for decorator in method.decorator_list)
        positional = [*method.args.posonlyargs, *method.args.args]
        required = len(positional) - len(method.args.defaults) + (1 if static else 0)
        keywords = [
            arg for arg, default in zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True) if default is None
        ]
        enough = method.args.vararg is not None or len(positional) + (1 if static else 0) >= given
        if required > given or keywords or not enough:
            takes = ", ".join(arg.arg for arg in (*positional, *method.args.kwonlyargs))
            calls = "without arguments" if given == 1 else "with the images alone"
            sentence = f"Model.{name} takes ({takes}); the server calls it {calls}."
            findings.append(Finding(rule, "error", sentence, remedy, path, method.lineno))
        if isinstance(method, ast.AsyncFunctionDef):
            findings.append(
                Finding("async", "error", f"Model.{name} is async.", "Use a plain `def`.", path, method.lineno)
            )
    return findings


def _bound(node: ast.AST) -> list[str]:
    """Names that a top-level statement binds, as far as that can be seen; "*" for a star import."""
    if isinstance(node, ast.ImportFrom | ast.Import):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = (name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
        return [name.id for name in names if isinstance(name.ctx, ast.Store)]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    inner = (
        child
        for child in ast.iter_child_nodes(node)
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case)
    )
    return [name for child in inner for name in _bound(child)]
