"""The rules that hold the code together: who imports what, how long things are, what is documented."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import lora_lab
from lora_lab.cli import COMMANDS

PACKAGE = Path(lora_lab.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(file for file in PACKAGE.rglob("*.py"))

LEVELS = {
    "errors": 0, "counts": 0, "fonts": 0, "files": 0, "outputs": 0, "system": 0, "hardware": 0, "findings": 0,
    "config": 0, "axes": 0, "pace": 0, "smoothing": 0,
    "data": 1, "models": 1, "networks": 1, "optim": 1, "losses": 1, "metrics": 1, "demo": 1,
    "loras": 1, "lora_files": 1, "search": 1, "resolved": 1, "words": 1,
    "training_data": 2, "anchors": 2, "effective": 2, "store": 2, "train": 2, "preview": 2,
    "contact_sheets": 2, "verdict": 2, "plots": 2, "report": 2, "review": 2,
    "run": 3, "sweep": 3, "engines": 3, "copier": 3, "kohya": 2,
    "dataset": 2, "examination": 2,
    "api": 4, "cli": 4, "__main__": 5,
}  # fmt: skip
"""A part of the package may import its own level and lower ones."""

HARNESS = (
    "config", "axes", "store", "store.table", "store.scores", "effective", "training_data", "sweep",
    "sweep.launch", "engines", "contact_sheets", "findings", "files", "data.scan", "data.buckets",
    "data.captions", "optim.registry", "models.families", "models.lora_family", "demo", "cli.look",
    "cli.start", "cli.copier", "cli.progress", "cli.ending", "cli.plan_view", "verdict.judge",
    "verdict.score_table", "cli.verdict", "cli.verdict_view", "search", "resolved", "words", "plots",
    "cli.plot", "report", "report.export", "cli.report", "cli.export", "review.web.app", "cli.review",
    "kohya", "cli.kohya", "cli.new", "hardware", "cli.doctor", "cli.disk", "dataset.page", "dataset.alike",
    "cli.dataset", "cli.queue", "cli.queue_start", "smoothing", "__main__",
)  # fmt: skip
"""What plans, starts and looks; it works where torch is not even installed."""

PUBLISHED_SIGNATURES = {"optim/adafactor.py": "__init__"}
"""Functions whose parameters are a published interface, and may be more."""

LONGEST_FUNCTION = 60
LONGEST_MODULE = 400
MOST_PARAMETERS = 8


def part(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    """Dotted names that a module imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(file: Path) -> set[str]:
    """The parts of this package that a module imports."""
    names = (name.split(".") for name in imports(file))
    return {name[1] for name in names if name[0] == "lora_lab" and len(name) > 1} & set(LEVELS)


def test_every_part_has_a_level() -> None:
    parts = {part(file) for file in MODULES} - {"__init__"}
    assert parts == set(LEVELS)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_down(file: Path) -> None:
    if part(file) == "__init__":
        assert ours(file) <= {"api"}, "and that only when it is asked for"
        return
    here = LEVELS[part(file)]
    up = {name for name in ours(file) if LEVELS[name] > here}
    assert not up, f"{file.name} is on level {here}, {up} are above"


def test_parts_of_a_level_do_not_import_each_other_in_circles() -> None:
    edges = {name: set() for name in LEVELS}  # type: dict[str, set[str]]
    for file in MODULES:
        if part(file) != "__init__":
            edges[part(file)] |= ours(file) - {part(file)}
    while free := [name for name, needs in edges.items() if not needs & set(edges)]:
        for name in free:
            del edges[name]
    assert not edges, f"these import each other: {edges}"


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_config_knows_hydra(file: Path) -> None:
    foreign = {name.split(".")[0] for name in imports(file)} & {"hydra", "omegaconf"}
    assert part(file) == "config" or not foreign


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    assert not {file.stem for file in MODULES} & {"utils", "util", "helpers", "common", "misc"}


def test_the_harness_does_not_import_torch() -> None:
    code = (
        "import sys, importlib\n"
        "sys.modules['torch'] = None\n"
        f"for name in {HARNESS!r}: importlib.import_module('lora_lab.' + name)\n"
        "sys.exit('diffusers' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_waits_for_nothing() -> None:
    code = (
        "import sys\nfrom lora_lab.__main__ import main\nmain(['--help'])\n"
        "heavy = {'hydra', 'omegaconf', 'torch', 'pandas', 'numpy', 'rich', 'PIL', 'yaml'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def functions() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    found = []
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.append((f"{file.relative_to(PACKAGE)}:{node.lineno} {node.name}", node))
    return found


def test_functions_are_short() -> None:
    lengths = {name: node.end_lineno - node.lineno + 1 for name, node in functions() if node.end_lineno}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def test_modules_are_short() -> None:
    lengths = {str(file.relative_to(PACKAGE)): len(file.read_text().splitlines()) for file in MODULES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_functions_take_few_parameters() -> None:
    counts = {
        name: len(
            {arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
            - {"self", "cls"}
        )
        for name, node in functions()
        if PUBLISHED_SIGNATURES.get(name.split(":")[0]) != node.name
    }
    assert {name: count for name, count in counts.items() if count > MOST_PARAMETERS} == {}


def test_public_functions_and_classes_say_what_they_do() -> None:
    silent = []
    for file in MODULES:
        tree = ast.parse(file.read_text())
        if tree.body and not ast.get_docstring(tree):
            silent.append(str(file.relative_to(PACKAGE)))
        for node in tree.body:
            kinds = (ast.FunctionDef, ast.ClassDef)
            if isinstance(node, kinds) and not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{file.relative_to(PACKAGE)}: {node.name}")
    assert silent == []


THEIR_INTERFACE = {"torch.autograd.Function": {"forward", "backward"}}
"""Methods that another library declares and explains."""


def test_public_methods_say_what_they_do() -> None:
    silent = []
    for file in MODULES:
        for cls in ast.parse(file.read_text()).body:
            if not isinstance(cls, ast.ClassDef) or cls.name.startswith("_"):
                continue
            known = set().union(*(THEIR_INTERFACE.get(ast.unparse(base), set()) for base in cls.bases))
            methods = [node for node in cls.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
            told = [node for node in methods if node.name.startswith("_") or node.name in known]
            silent += [
                f"{file.relative_to(PACKAGE)}: {cls.name}.{node.name}"
                for node in methods
                if node not in told and not ast.get_docstring(node)
            ]
    assert silent == []


@pytest.mark.parametrize("command", [item.name for item in COMMANDS])
def test_every_command_stands_in_the_readme(command: str) -> None:
    assert f"lora-lab {command}" in (ROOT / "README.md").read_text()


def pins(file: str) -> dict[str, str]:
    lines = (line.split(";")[0].strip() for line in (ROOT / file).read_text().splitlines())
    found = (re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines)
    return {item[1].lower().replace("_", "-"): item[2] for item in found if item}


def test_the_lock_files_satisfy_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run, dev = pins("requirements.txt"), pins("requirements-dev.txt")
    for text in project["dependencies"]:
        need = Requirement(text)
        assert run[need.name.lower()] in need.specifier, text
    for text in project["optional-dependencies"]["dev"]:
        need = Requirement(text)
        assert {**run, **dev}[need.name.lower()] in need.specifier, text


def test_the_lock_files_hold_exact_versions_only() -> None:
    for file in ("requirements.txt", "requirements-dev.txt"):
        lines = [
            line
            for line in (ROOT / file).read_text().splitlines()
            if line and not line.startswith(("#", "-r"))
        ]
        assert len(lines) == len(pins(file)), file


RESULT_FILES = {"run_file", "plan_file", "scores_file", "steps_file", "verdicts_file"}
"""Places of files in a results folder that only `store` opens."""
LAUNCHED = {"sweep/kept.py", "cli/start.py"}
"""Who starts a sweep again from its folder, for which it is read as a sweep file."""


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_the_store_opens_results(file: Path) -> None:
    where = str(file.relative_to(PACKAGE))
    if part(file) == "store":
        return
    tree = ast.parse(file.read_text())
    asked = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    # A line of words may name a file; a file is opened by its name alone.
    names = {"run.json", "plan.json", "scores.jsonl", "steps.jsonl"} & named
    allowed = {"scores_file"} if where in SCORE_LOGS else set()
    assert not (asked & RESULT_FILES) - allowed and not names
    assert "sweep_file" not in asked or where in LAUNCHED


SCORE_LOGS = {"verdict/evidence.py"}
"""Who asks whether the log of scores changed, or names it in a message."""


OPENERS = {
    "lora_files/disk.py": "LoRA files",
    "models/single_file.py": "writes base models",
    "data/cache.py": "latents and text states",
}
"""Who opens or writes safetensors, and which."""


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_lora_files_opens_lora_files(file: Path) -> None:
    known = {name for name in imports(file) if name.split(".")[0] == "safetensors"}
    assert not known or str(file.relative_to(PACKAGE)) in OPENERS
