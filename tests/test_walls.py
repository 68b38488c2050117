"""The walls of docs/architecture.md, enforced by reading the imports of every source file."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

import build

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = {"tensorflow", "keras", "keras_cv", "tf_keras", "tensorflow_model_optimization", "jax", "torch"}
MAY_IMPORT_A_FRAMEWORK = (
    "submission/network.py",
    "submission/applications.py",
    "submission/convnext.py",
    "submission/custom_cnn.py",
    "submission/inference.py",
    "submission/efficientnet_lite.py",
    "submission/folded_convnext.py",
    "submission/folded_efficientnet_lite.py",
    "submission/framing.py",
    "submission/parts.py",
    "build/train/",
    "build/pretrain/teacher.py",
    "build/pretrain/distill.py",
    "build/bench/",
    "build/compress/fine_tune.py",
    "build/compress/bridge.py",
    "build/compress/tfmot_job.py",
    "build/gradcam.py",
    "build/inspection/embedding.py",
    "build/augment/keras_cv_baseline.py",
    "build/score/corruptions/keras_cv_randaugment.py",
)


def sources(*folders: str) -> list[Path]:
    """Python files below the folders (or the files themselves), relative to the root."""
    found = []
    for folder in folders:
        path = ROOT / folder
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert found
    return [path.relative_to(ROOT) for path in found]


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere in it, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # What ships imports itself relatively, so that model.py can load it under a name of its own on the server.
            assert node.level <= (path.parts[0] == "submission"), f"{path}:{node.lineno}: imports are absolute here"
            module = ".".join(filter(None, ("submission" if node.level else None, node.module)))
            names.add(module)
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


@functools.cache
def reached(path: Path) -> frozenset[str]:
    """Dotted names of this project that a file imports, or that what it imports imports, and so on."""
    found, open_ = set(), [path]
    while open_:
        for name in imports(open_.pop()) - found:
            found.add(name)
            base = Path(*name.split("."))
            open_ += [file for file in (base.with_suffix(".py"), base / "__init__.py") if (ROOT / file).is_file()]
    return frozenset(found)


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_build_is_our_package_and_not_pypas():
    assert Path(build.__file__).resolve() == ROOT / "build" / "__init__.py"


def test_no_source_file_is_ignored_by_git():
    files = [str(path) for path in sources("build", "submission", "tests", "model.py", "noxfile.py")]
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    ignored = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout == ""


@pytest.mark.parametrize("path", sources("model.py", "submission"), ids=str)
def test_what_ships_imports_the_standard_library_numpy_and_the_framework_only(path):
    allowed = set(sys.stdlib_module_names) | {"numpy", "tensorflow", "keras", "submission"}
    assert {name.split(".")[0] for name in imports(path)} <= allowed


@pytest.mark.parametrize("path", sources("build/score"), ids=str)
def test_the_judge_never_imports_the_trainer_nor_does_what_it_imports(path):
    assert not [name for name in reached(path) if inside(name, "build.train") or inside(name, "build.augment")]


@pytest.mark.parametrize("path", sources("build/train", "build/augment", "build/data", "build/pretrain"), ids=str)
def test_the_trainer_never_imports_the_judge_nor_does_what_it_imports(path):
    assert not [name for name in reached(path) if inside(name, "build.score")]


@pytest.mark.parametrize("path", sources("build/data", "build/augment", "build/train", "build/score"), ids=str)
def test_neither_side_imports_what_uses_both(path):
    both = ("build.study", "build.sweep", "build.compress", "build.inspection", "build.package")
    assert not [name for name in reached(path) for user in both if inside(name, user)]


@pytest.mark.parametrize("path", sources("build", "submission", "model.py"), ids=str)
def test_few_files_know_the_framework(path):
    if not str(path).startswith(MAY_IMPORT_A_FRAMEWORK):
        assert not {name.split(".")[0] for name in imports(path)} & FRAMEWORKS


def test_reading_a_recipe_a_contract_or_a_scorecard_imports_no_framework():
    code = (
        "import sys, submission.contract, build.recipe, build.runs, build.cli;"
        "import build.score.scorecard, build.score.leaderboard.store;"
        f"print(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_repository_is_not_installed():
    done = subprocess.run(
        [sys.executable, "-I", "-c", "import importlib.util as u; print(u.find_spec('submission'))"],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "None"


@pytest.mark.parametrize("path", sources("model.py", "submission"), ids=str)
def test_what_ships_is_read_by_the_oldest_python_that_the_server_s_packages_take(path):
    """TensorFlow 2.17 and Keras 3.4 have wheels for Python 3.9."""
    tree = ast.parse((ROOT / path).read_text(), feature_version=(3, 9))
    if len(tree.body) > 1:
        assert "__future__.annotations" in imports(path), "X | Y in an annotation means nothing before 3.10"
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert not [call for call in calls if call.func.id == "zip" and call.keywords]
    assert not [call for call in calls if call.func.id == "isinstance" and isinstance(call.args[1], ast.BinOp)]
