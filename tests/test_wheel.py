"""The wheel: built from this checkout, it carries all that the program opens, and works far from it."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import lora_lab

ROOT = Path(lora_lab.__file__).parent.parent
CARRIED = {"lora_lab": "lora_lab", "hydra_plugins": "hydra_plugins", "conf": "lora_lab/conf"}
CARRIED |= {"sweeps": "lora_lab/sweeps"}
"""Folders of the checkout, and where each lies in the wheel."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("lora_lab-*.whl"))


def test_it_carries_every_file_and_nothing_else(wheel: Path) -> None:
    expected = {
        f"{there}/{file.relative_to(ROOT / here).as_posix()}"
        for here, there in CARRIED.items()
        for file in (ROOT / here).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected


def test_nothing_in_it_names_a_test(wheel: Path) -> None:
    named = re.compile(rb"\btests?/\w+[/.]|\btest_\w+\.py|::test_")
    files = zipfile.ZipFile(wheel)
    texts = [name for name in files.namelist() if name.endswith((".py", ".yaml", ".md", ".json", ".html"))]
    found = [name for name in texts if named.search(files.read(name)) and ".dist-info/" not in name]
    assert found == []


def test_unpacked_it_plans_the_demo_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import lora_lab\nfrom lora_lab.__main__ import main\n"
        f"assert lora_lab.__file__.startswith({str(tmp_path)!r}), lora_lab.__file__\n"
        "sys.exit(main(['plan', 'demo', '--json']))"
    )
    (tmp_path / "work").mkdir()
    # -P and no PYTHONPATH: neither the checkout nor an installed copy of it may answer.
    words = [sys.executable, "-P", "-c", code]
    done = subprocess.run(
        words, cwd=tmp_path / "work", capture_output=True, text=True, env={"PATH": "", "HOME": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    rows = {row["name"] for row in json.loads(done.stdout)["rows"]}
    assert {"reference", "lion", "lr-too-high"} <= rows


def test_its_extras_are_those_of_the_documents(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel)
    metadata = files.read(next(name for name in files.namelist() if name.endswith("/METADATA"))).decode()
    extras = set(re.findall(r"^Provides-Extra: (\S+)", metadata, re.M))
    assert {"ray", "slurm", "dashboard", "tagger", "docs"} <= extras
