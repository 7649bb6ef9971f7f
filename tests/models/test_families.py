"""What the families' rows say, and that nothing outside of `models` knows it, too."""

import ast
import re
from pathlib import Path

import pytest

import lora_lab
from lora_lab.config import compose
from lora_lab.effective import Facts, resolve
from lora_lab.models import identify
from lora_lab.models.families import FAMILIES, unknown_family
from lora_lab.models.identify import text_layers
from lora_lab.models.lora_family import stated_prediction
from lora_lab.models.single_file import save_single_file
from tests import tiny

PACKAGE = Path(lora_lab.__file__).parent
CONF = PACKAGE.parent / "conf"
GROUPS = ("base_model", "dataset", "metric", "preview", "train")

NAMES = re.compile(r"sd1(?!5)|sd2|sdxl|sd_v[12]|stable-diffusion-(?:v|xl)|lora_te[12_]")
"""Words by which families could be told apart; `sd15` in an example of a command is a conf file's name."""
HISTORY = ("peer", "source")
"""Arguments of `setting` that say where it comes from."""
ANOTHERS_KEYS = {"kohya/ignored_keys.py", "kohya/others.py"}
"""Tables of what the keys of another program's files are called; nothing in them decides about a model."""
WIDTHS = {320, 640, 768, 1024, 1280, 2048}
"""Widths of the public models; as keys, or compared with, they tell families apart."""


def outside() -> list[Path]:
    files = [
        file for file in sorted(PACKAGE.rglob("*.py")) if "models" not in file.relative_to(PACKAGE).parts
    ]
    return [file for file in files if file.relative_to(PACKAGE).as_posix() not in ANOTHERS_KEYS]


def without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            said = [
                item
                for item in body
                if isinstance(item, ast.Expr) and isinstance(getattr(item.value, "value", None), str)
            ]
            node.body = [item for item in body if item not in said]
    return tree


def told_apart(source: str) -> list[str]:
    """Lines of code that name a family, or compare with a width."""
    found = []
    nodes = list(ast.walk(without_docstrings(ast.parse(source))))
    told = {id(node.value) for node in nodes if isinstance(node, ast.keyword) and node.arg in HISTORY}
    for node in nodes:
        if id(node) in told:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAMES.search(node.value):
            found.append(f"{node.lineno}: {node.value!r}")
        keys = node.keys if isinstance(node, ast.Dict) else []
        keys += [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        found += [
            f"{key.lineno}: {key.value}"
            for key in keys
            if isinstance(key, ast.Constant) and key.value in WIDTHS
        ]
    return found


def test_only_models_tells_families_apart() -> None:
    found = {
        str(file.relative_to(PACKAGE)): lines
        for file in outside()
        if (lines := told_apart(file.read_text(encoding="utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        'if family == "sdxl": pass',
        'kind = "v2" if name.startswith("sd2") else ""',
        'prefix = f"lora_te{1}_" if two else "lora_te_"',
        "names = {768: 'a', 2048: 'b'}",
        "if width == 1280: pass",
    ],
)
def test_the_rule_sees_what_it_is_there_for(source: str) -> None:
    assert told_apart(source)


def test_the_rule_lets_docstrings_and_sizes_be() -> None:
    assert not told_apart('def f():\n    """SDXL: lora_te1_."""\n    return read(block=1024)\n')


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_rows_are_whole(family) -> None:
    assert FAMILIES[family.name] is family
    assert set(family.configs) == set(family.files.base_versions) == set(family.files.architectures)
    assert len({encoder.lora_prefix for encoder in family.encoders}) == len(family.encoders)
    for group in GROUPS:
        assert (CONF / group / f"{family.conf}.yaml").is_file(), group
    assert compose([f"base_model={family.conf}"], checked=False).base_model.family == family.name


def test_a_family_that_is_none_is_refused_by_name() -> None:
    found = resolve(
        compose(["base_model=sd15", "base_model.family=sdx", "preview=off"], checked=False), Facts()
    )
    assert unknown_family("sdx") in found.refusals
    assert "did you mean sdxl? known: auto, sd1, sd2, sdxl" in unknown_family("sdx")
    other = resolve(compose(["base_model=sdxl", "preview=off"], checked=False), Facts(family="sd2"))
    assert any("the model is sd2" in text for text in other.refusals)


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_that_clip_skip_counts_from(family: str, tmp_path: Path) -> None:
    """Folders and our own files say it themselves; others have the public encoder."""
    expected = tiny.LAYERS["text_encoder"]
    assert text_layers(identify(tiny.folder(family))) == expected
    save_single_file(tiny.base(family), tmp_path / "own.safetensors")
    assert text_layers(identify(tmp_path / "own.safetensors")) == expected
    assert [FAMILIES[name].encoders[0].depth for name in ("sd1", "sd2", "sdxl")] == [12, 23, 12]


@pytest.mark.parametrize(
    ("family", "metadata", "prediction"),
    [
        ("sd2", {"modelspec.prediction_type": "v"}, "v_prediction"),
        ("sd2", {"ss_base_model_version": "sd_v2_v"}, "v_prediction"),
        ("sd1", {"ss_base_model_version": "sd_v1"}, "epsilon"),
        ("sdxl", {"ss_base_model_version": "sdxl_base_v1-0"}, None),
        ("sdxl", {"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ("sd1", {}, None),
    ],
)
def test_what_files_say_of_their_prediction(family: str, metadata: dict, prediction: str | None) -> None:
    assert stated_prediction(metadata, FAMILIES[family]) == prediction
