"""Every plot can be drawn, saved and read back; the same data make the same bytes."""

import csv
import io
import string
from pathlib import Path

import pytest
from PIL import Image

from lora_lab.errors import ConfigError
from lora_lab.plots import KINDS, Look, Subject, plots, to_csv, write
from lora_lab.plots.curves import TOGETHER, Curve, draw_curves
from lora_lab.plots.labels import place
from lora_lab.plots.style import MARKS, drawing, figure, shortened
from lora_lab.plots.words import WORDS


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_kind_is_drawn_in_every_format(made: Subject, kind: str, tmp_path: Path) -> None:
    files = write(plots(made, [kind]), tmp_path, ["png", "svg"], Look(), data=True)
    assert files and all(file.stat().st_size for file in files)
    for file in files:
        if file.suffix == ".png":
            assert Image.open(file).width > 700
        if file.suffix == ".csv":
            rows = list(csv.DictReader(io.StringIO(file.read_text())))
            assert rows and "run" in rows[0]
        if file.suffix == ".svg":
            assert "</svg>" in file.read_text()


def test_the_same_data_make_the_same_bytes(made: Subject, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(
            plots(made, ["setting", "timings"], ["network_alpha"]), tmp_path / folder, ["png", "svg"], Look()
        )
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize("look", [Look("ja"), Look(dark=True, titled=False, outlines=False)])
def test_other_looks_are_drawn(made: Subject, look: Look, tmp_path: Path) -> None:
    assert write(plots(made, ["setting", "cost"], ["network_alpha"]), tmp_path, ["svg"], look)


def test_what_is_asked_for_by_name_and_is_not_there_is_an_error(made: Subject) -> None:
    with pytest.raises(ConfigError, match="unknown plot 'los'; did you mean loss"):
        plots(made, ["los"])
    with pytest.raises(ConfigError, match="unknown plot 'alpha'; known: setting"):
        plots(made, ["alpha"])
    with pytest.raises(ConfigError, match="nothing to show for 'interaction'.*twice|two"):
        plots(made, ["interaction"], ["network_alpha"])
    with pytest.raises(ConfigError, match="network_dim does not differ within the sweep; there differ"):
        plots(made, [], ["network_dim"])


def test_settings_go_by_their_last_part(made: Subject) -> None:
    names = [plot.name for plot in plots(made, [], ["network_alpha", "optimizer.name"])]
    assert names == [
        "setting-network.network_alpha",
        "setting-optimizer.name",
        "interaction-network.network_alpha-optimizer.name",
    ]  # fmt: skip


def test_another_format_is_refused(made: Subject, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="png or svg"):
        write([], tmp_path, ["pdf"], Look())


def test_csv_of_a_plot(made: Subject) -> None:
    (plot,) = plots(made, ["setting"], ["optimizer.name"])
    assert to_csv(plot.data).splitlines()[:2] == [
        "run,optimizer.name,score,missing,pairs_with", "base,adamw,90.0,,lion",
    ]  # fmt: skip


def test_every_language_has_every_word() -> None:
    english = WORDS["en"]
    for words in WORDS.values():
        assert set(words) == set(english)
        for key, text in words.items():
            assert _fields(text) == _fields(english[key]), key


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("count", [1, TOGETHER, TOGETHER + 1, 25])
def test_few_curves_share_an_image_and_many_have_one_each(count: int) -> None:
    curves = [Curve(f"run {n}", [1, 2, 3], [n + 1, n + 2, n + 1], best=1) for n in range(count)]
    made = draw_curves(curves, Look(), "title", ("x", "y"))
    assert len(made.axes) == (1 if count <= TOGETHER else count)


def test_series_in_one_image_can_be_told_apart_without_colour() -> None:
    assert len(set(MARKS)) >= TOGETHER


def test_no_label_covers_another_or_a_point() -> None:
    look = Look()
    with drawing(look):
        made = figure()
        axes = made.subplots()
        items = [(0.5 + 0.01 * n, 0.5 + 0.005 * (n % 3), f"a long name {n}") for n in range(12)]
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        written = place(axes, items, look)
        boxes = [text.get_window_extent() for text in axes.texts]
    assert 2 < len(written) <= 12 and len(boxes) == len(written)
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_long_names_keep_both_ends() -> None:
    assert shortened("short") == "short"
    text = shortened("optimizer=adamw,network_alpha=16,learning_rate=1e-4", 20)
    assert len(text) == 20 and text.startswith("optimizer=ad") and text.endswith("1e-4")
