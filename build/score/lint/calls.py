"""Calls that behave otherwise on the server: files opened by the wrong path, downloads, network, exits, whole-array resizes."""

import ast
import re

from build.score.explain import SHELL_DOWNLOADS
from build.score.lint import reached
from build.score.misnamed import misspelt
from build.score.outcome import Finding

PLAIN_CANNOT_SHOW = frozenset({"absolute-path", "network"})
"""Rules whose faults a rehearsal without isolation would not meet: the file, or the network, is there on this machine."""
OPENERS = frozenset(
    {"open", "load", "load_model", "load_weights", "Path", "read_csv", "loadtxt", "imread", "fromfile", "memmap", "File", "Interpreter"}
)  # fmt: skip
"""Last names of calls whose first text argument is a file."""
FILE_KEYWORDS = frozenset({"file", "filepath", "filename", "fname", "path", "model_path"})
"""How that argument is called where it is given by name."""
SHELLS = frozenset(
    {
        "os.system",
        "os.popen",
        "subprocess.run",
        "subprocess.call",
        "subprocess.check_call",
        "subprocess.check_output",
        "subprocess.Popen",
    }
)
NETWORK_MODULES = frozenset(
    {"requests", "urllib", "socket", "http", "ftplib", "smtplib", "gdown", "wget", "huggingface_hub", "kagglehub", "httpx", "aiohttp"}
)  # fmt: skip
DOWNLOADS = frozenset({"get_file", "urlretrieve", "urlopen", "hf_hub_download", "snapshot_download", "from_pretrained"})
MODES = {"open": 1, "File": 1, "memmap": 2}
"""Openers that may also write -> position of their mode, which may be given by name."""
FILE_NAME = re.compile(r"[^\s/]\.[A-Za-z0-9]{1,8}$")
URL = re.compile(r"^(?:https?|ftp|gs|s3)://")


def dotted(node: ast.AST) -> str:
    """ "a.b.c" of a name or attribute chain; only the last name where it starts with something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        front = dotted(node.value)
        return f"{front}.{node.attr}" if front else node.attr
    return ""


def _text(node: ast.AST | None) -> str:
    """The value of a literal text, else an empty string."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _keyword(node: ast.Call, names: frozenset[str] | set[str]) -> ast.expr | None:
    """The argument that is given by one of these names."""
    return next((keyword.value for keyword in node.keywords if keyword.arg in names), None)


def _writes(node: ast.Call, opener: str) -> bool:
    """Whether the call makes the file that it names."""
    if opener not in MODES:
        return False
    by_position = node.args[MODES[opener]] if len(node.args) > MODES[opener] else None
    return bool(set(_text(by_position or _keyword(node, {"mode"}))) & set("wax"))


class Calls(ast.NodeVisitor):
    """Walks through one module."""

    def __init__(self, path: str, members: frozenset[str], working_directory: str = "program"):
        self.path, self.members, self.working_directory = path, members, working_directory
        """`members`: files and folders of the zip."""
        self.found: list[Finding] = []
        self.images: set[str] = set()
        """Names of the argument that holds all images, within predict."""
        self.aliases: dict[str, str] = {}
        """What the module calls something by -> the dotted name that it imported."""
        self.moves = False
        """Whether the module changes the working directory: relative paths may then be right."""
        self.functions: set[str] = set()
        """Names of the functions and methods that the module defines."""

    def findings(self, tree: ast.AST) -> list[Finding]:
        """Findings on the whole module."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                self.aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Call) and dotted(node.func).endswith("chdir"):
                self.moves = True
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions.add(node.name)
        self.visit(tree)
        return self.found

    def say(self, node: ast.AST, rule: str, severity: str, sentence: str, remedy: str) -> None:
        """Add a finding at the node's line."""
        self.found.append(Finding(rule, severity, sentence, remedy, self.path, node.lineno))

    def visit_Import(self, node: ast.Import) -> None:
        """Modules that exist to use the network."""
        for alias in node.names:
            self.network(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """The same for `from x import y`."""
        if node.module and not node.level:
            self.network(node, node.module)

    def network(self, node: ast.AST, name: str) -> None:
        """A module whose use needs the network."""
        if name.split(".")[0] in NETWORK_MODULES and name != "urllib.parse":
            sentence = f"{name} is imported; the server may offer no network."
            self.say(node, "network", "warning", sentence, "Put what it would download into the zip.")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Within predict, remember what its images are called."""
        before = self.images
        if node.name == "predict":
            self.images = {argument.arg for argument in node.args.args if argument.arg != "self"}
        self.generic_visit(node)
        self.images = before

    def visit_Call(self, node: ast.Call) -> None:
        """One call: by its last name."""
        first, dot, rest = dotted(node.func).partition(".")
        name = self.aliases.get(first, first) + dot + rest
        last = name.rpartition(".")[2]
        if last in OPENERS:
            given = node.args[0] if node.args else _keyword(node, FILE_KEYWORDS)
            if (path := _text(given)) and not _writes(node, last):
                self.file(node, path, self.own(name))
        if name in SHELLS and node.args:
            words = [_text(word) for word in ast.walk(node.args[0])]
            if SHELL_DOWNLOADS.search(" ".join(filter(None, words))):
                sentence = f"{name} downloads; the server may offer no network."
                self.say(node, "network", "warning", sentence, "Put what it would download into the zip.")
        if last in DOWNLOADS:
            self.say(
                node,
                "network",
                "warning",
                f"{last} downloads; the server may offer no network.",
                "Put the file into the zip.",
            )
        if ".applications." in f".{name}" and last[:1].isupper() and not self.own(name):
            self.pretrained(node, last)
        if name in ("exit", "quit", "sys.exit", "os._exit", "os.abort"):
            self.say(
                node,
                "exit",
                "warning",
                f"{name} ends the ingestion program, and with it the run.",
                "Raise an exception instead.",
            )
        if (
            last in ("resize", "resize_with_pad")
            and node.args
            and isinstance(node.args[0], ast.Name)
            and node.args[0].id in self.images
        ):
            sentence = f"{last} is given all images at once: 600 kB an image at 224x224."
            self.say(node, "whole-array", "warning", sentence, "Resize batch by batch, within the network for example.")
        self.generic_visit(node)

    def own(self, name: str) -> bool:
        """Whether the dotted `name` is a function of the zip: it may look for a file in a folder that it knows."""
        first, _, rest = name.partition(".")
        if first in ("self", "cls") or not rest:
            return (rest or first) in self.functions
        # A folder without Python files may hold the weights of an installed package.
        return any(
            one == f"{first}.py" or (one.startswith(f"{first}/") and one.endswith(".py")) for one in self.members
        )

    def file(self, node: ast.Call, name: str, own: bool) -> None:
        """A file that is opened by a literal path, or named to a function of the zip's own."""
        is_path = dotted(node.func).rpartition(".")[2] == "Path"
        if URL.match(name):
            self.say(node, "network", "warning", f"{name} is a network address.", "Put the file into the zip.")
        elif name.startswith(reached.OF_EVERY_SERVER):
            return
        elif reached.ABSOLUTE.match(name):
            sentence = f"{name!r} is a path of another machine."
            # A folder's Path may only be asked whether it is there.
            severity = "warning" if is_path and not FILE_NAME.search(name) else "error"
            remedy = "Put the file into the zip; open it by Path(__file__).parent."
            self.say(node, "absolute-path", severity, sentence, remedy)
        elif own and any(f"/{member}".endswith(f"/{name.removeprefix('./')}") for member in self.members):
            return
        elif FILE_NAME.search(name) and not is_path and not self.moves:
            if name.removeprefix("./") in self.members:
                sentence, severity = f"{name!r} is opened relative to the working directory, which", "error"
                if self.working_directory == "submission":
                    sentence, severity = f"{sentence} is taken to be the submission's folder.", "warning"
                else:
                    sentence += " is not the submission's folder."
                self.say(node, "relative-path", severity, sentence, f"Open it by Path(__file__).parent / {name!r}.")
            else:
                said = "but is not in the zip.", "Add it; open it by Path(__file__).parent."
                what, remedy = misspelt(name, self.members) or said
                severity = "warning" if own else "error"
                self.say(node, "missing-file", severity, f"{name!r} is opened, {what}", remedy)

    def pretrained(self, node: ast.Call, name: str) -> None:
        """A network of keras.applications: without weights=None it downloads. `weights` is its second argument by position."""
        weights = _keyword(node, {"weights"}) or (node.args[1] if len(node.args) > 1 else None)
        hidden = any(keyword.arg is None for keyword in node.keywords) or any(
            isinstance(argument, ast.Starred) for argument in node.args
        )
        if weights is None or (isinstance(weights, ast.Constant) and weights.value == "imagenet"):
            sentence = f"{name} downloads ImageNet weights unless it is given weights=None."
            severity = "warning" if hidden else "error"
            self.say(node, "network", severity, sentence, "Give weights=None and load the weights from the zip.")
