"""Write docs/parameters.md from the declarations of settings and the registries: `make docs`."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lora_lab.config import CONF_DIR, Setting, compose, groups, settings
from lora_lab.config.peers import NOT_SETTINGS
from lora_lab.networks.spec import PRESETS
from lora_lab.optim.entries import ENTRIES
from lora_lab.optim.schedules import FORMULAS
from tests.held_by import BEYOND, HELD_BY, TRIALS

PLACE = Path(__file__).with_name("parameters.md")
COMMAND = "make docs"

HEAD = f"""# Parameters

Every setting, what it is called in sd-scripts or the kohya_ss GUI, where it comes from, and the tests that
hold it. Written by `{COMMAND}` from the code; `make test` proves that every setting has a row and that every
test exists.

Each setting that can change the trained weights is tried by `tests/run/test_every_setting_acts.py`: two runs
that differ in it alone must end with different weights. Defaults are plain or "off" values; what a choice
such as `optimizer=lion` or `recipe=copier` sets is in `conf/`. `lora-lab settings WORD` shows the same on the
command line.
"""

OPTIMIZER_TESTS = (
    "optim/test_build.py::test_trains_and_resumes_exactly",
    "optim/test_registry.py::test_arguments_are_those_of_the_class",
)
SCHEDULE_TESTS = (
    "optim/test_schedules.py::test_rates_equal_the_reference",
    "optim/test_schedules.py::test_rates_equal_the_libraries",
)
PRESET_TESTS = ("networks/test_targets.py::test_preset_has_the_peers_modules",)
SAMPLER_TESTS = ("preview/test_render.py::test_every_sampler_draws",)
RECIPE_TESTS = ("config/test_recipes.py::test_a_recipe_plans", "config/test_recipes.py::test_a_recipe_trains")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def code(words: Iterable[str]) -> str:
    """Words as code."""
    return ", ".join(f"`{word}`" for word in words)


def tests(names: Iterable[str]) -> str:
    """Tests as links."""
    return "<br>".join(f"[{name.split('::')[1]}](../tests/{name.split('::')[0]})" for name in names)


def shown(value: object) -> str:
    """A default."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else f"`{value!r}`" if value != "" else "empty"


def rule(item: Setting) -> str:
    """What a value must satisfy, in the words of the refusal."""
    for probe in (-1e9, 1e9, "no such value", [], [-1], ["no such value"]):
        try:
            broken = item.rule(probe) if item.rule else None
        except (TypeError, AttributeError, ValueError):
            continue
        if broken:
            return broken.removeprefix("must be ").removeprefix("must ")
    return ""


def holding(item: Setting) -> tuple[str, ...]:
    """The tests of a setting: that of its trial, and those of its own."""
    trial = [TRIALS[item.trial.shows]] if item.trial and item.trial.shows in TRIALS else []
    return (*trial, *HELD_BY.get(item.key, ()))


def settings_tables() -> str:
    """One table for each group of settings."""
    parts = []
    known = settings()
    for group in dict.fromkeys(key.rpartition(".")[0] for key in known):
        rows = []
        for key, item in known.items():
            if key.rpartition(".")[0] == group:
                doc = item.doc + ("" if item.trains else " (does not train)")
                cells = (f"`{key}`", code(item.peer), doc, shown(item.default), rule(item), item.source)
                rows.append((*cells, tests(holding(item))))
        heads = ("setting", "elsewhere", "meaning", "default", "rule", "source", "held by")
        parts.append(f"## {group or 'The run'}\n\n{table(heads, rows)}")
    return "\n".join(parts)


def optimizers() -> str:
    """Every optimizer, with what planning knows of it."""
    rows = []
    for row in ENTRIES.values():
        facts = [
            ("ignores the learning rate unless relative_step=false", row.name == "adafactor"),
            ("learning rate about 1", row.learning_rate_about_one),
            ("one rate for all parts", row.one_lr_only),
            ("no schedule", row.schedule_free),
            ("pages on CUDA only", row.needs_cuda),
            ("moves every weight by the whole rate", row.sign_update),
        ]
        said = "; ".join(text for text, true in facts if true)
        rows.append((f"`{row.name}`", f"`{row.target}`", row.doc, said, code(row.arguments or ())))
    head = f"## Optimizers\n\nHeld by {tests(OPTIMIZER_TESTS)}, each of them.\n\n"
    return head + table(("name", "class", "meaning", "facts", "arguments"), rows)


def schedules() -> str:
    """Every schedule."""
    files = {
        compose([f"lr_scheduler={name}"], checked=False).lr_scheduler.name: name
        for name in groups()["lr_scheduler"]
    }
    rows = [
        (f"`{name}`", first_line("lr_scheduler", files[name]) if name in files else "steps of fixed factors")
        for name in FORMULAS
    ]
    head = f"## Schedules\n\nHeld by {tests(SCHEDULE_TESTS)}. Any dotted class works, too.\n\n"
    return head + table(("name", "meaning"), rows)


def presets() -> str:
    """Every choice of layers."""
    rows = [
        (f"`{name}`", ", ".join(sorted(item.unet_classes)), ", ".join(sorted(item.text_classes)) or "none",
         {"always": "yes", "never": "no", "conv_dim": "with conv_dim"}[item.spatial_convs])
        for name, item in PRESETS.items()
    ]  # fmt: skip
    head = f"## Presets of layers\n\nHeld by {tests(PRESET_TESTS)}.\n\n"
    return head + table(("network.preset", "U-Net blocks", "text encoder blocks", "3x3 convolutions"), rows)


def samplers() -> str:
    """Every sampler of previews."""
    from lora_lab.preview.samplers import SAMPLERS

    rows = [(f"`{name}`", item.label) for name, item in SAMPLERS.items()]
    head = f"## Samplers of previews\n\nHeld by {tests(SAMPLER_TESTS)}.\n\n"
    return head + table(("preview.sampler", "in A1111"), rows)


def first_line(group: str, name: str) -> str:
    """What a file under conf/ says of itself."""
    lines = (CONF_DIR / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if not line.startswith("# @package")).removeprefix("# ")


def recipes() -> str:
    """Every recipe."""
    rows = [(f"`recipe={name}`", first_line("recipe", name)) for name in groups()["recipe"]]
    head = f"## Recipes\n\nSettings of the published guides, whole. Held by {tests(RECIPE_TESTS)}.\n\n"
    return head + table(("choice", "meaning"), rows)


def beyond() -> str:
    """What is no single setting."""
    rows = [(title, item.how, item.source, tests(item.tests)) for title, item in BEYOND.items()]
    return "## Beyond single settings\n\n" + table(("what", "how", "source", "held by"), rows)


def left_out() -> str:
    """What sd-scripts has as arguments and we do not."""
    rows = [(f"`{name}`", reason) for name, reason in NOT_SETTINGS.items()]
    return "## Arguments of sd-scripts that are no settings here\n\n" + table(("argument", "instead"), rows)


def text() -> str:
    """The whole page."""
    parts = [settings_tables(), optimizers(), schedules(), presets(), samplers(), recipes()]
    parts += [beyond(), left_out()]
    return "\n".join([HEAD, *parts])


def named_tests() -> set[str]:
    """Every test that the page names."""
    fixed = (*OPTIMIZER_TESTS, *SCHEDULE_TESTS, *PRESET_TESTS, *SAMPLER_TESTS, *RECIPE_TESTS)
    own = [*(holding(item) for item in settings().values()), *(item.tests for item in BEYOND.values())]
    return {*fixed, *(name for names in own for name in names)}


if __name__ == "__main__":
    PLACE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"wrote {PLACE}\n")
