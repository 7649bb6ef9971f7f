"""What docs say of rules that differ, and of what the verbs take, is what the code has."""

import re
from pathlib import Path

import lora_lab
from lora_lab.lora_files.keys import network_kind
from lora_lab.lora_files.kinds import BAKED, PRODUCTS

PACKAGE = Path(lora_lab.__file__).parent
DOCS = PACKAGE.parent / "docs"


def test_the_differences_from_sd_scripts_stand_in_one_place() -> None:
    page = (DOCS / "differences.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][1:]
    assert len(rows) >= 10 and all(len(row) == 4 and all(row) for row in rows)
    for row in rows:
        for place in re.findall(r"`([\w/]+(?:\.py|/))`", row[3]):
            assert (PACKAGE / place).exists(), f"{row[0]}: there is no {place}"
    (norms,) = [row for row in rows if "scale_weight_norms" in row[0]]
    assert "between micro-batches" in norms[1] and "once per update" in norms[2]


def test_the_page_on_lora_files_sends_nothing_to_a_verb_that_refuses_it() -> None:
    page = (DOCS / "lora_files.md").read_text(encoding="utf-8")
    rows = {}
    for line in page.split("| content | info |")[1].split("\n\n")[0].splitlines()[2:]:
        content, _, products, bake = (cell.strip() for cell in line.strip("|").split("|"))
        rows[content] = (products, bake)
    kinds = {"norm differences": "w_norm", "IA3": "on_input", "OFT": "oft_blocks", "GLoRA": "a1.weight",
             "DoRA": "dora_scale", "full weight differences": "diff", "bias differences": "diff_b",
             "LoRA": "down", "LoHa": "hada_w1_a", "LoKr": "lokr_w1"}  # fmt: skip
    for word, leaf in kinds.items():
        (said,) = {value for content, value in rows.items() if re.search(rf"\b{word}\b", content)}
        kind = network_kind(leaf)
        assert said == ("yes" if kind in PRODUCTS else "no", "yes" if kind in BAKED else "no"), word
