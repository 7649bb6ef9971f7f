"""Contact sheets: one picture that shows a run's checkpoints, or a sweep's runs, prompt beside prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lora_lab.anchors import anchor_folder, anchor_name
from lora_lab.config import load
from lora_lab.errors import LoraLabError
from lora_lab.files import replacing
from lora_lab.store import Checkpoint, Preview, RunFolder, RunRecord, SweepFolder, read_record
from lora_lab.store.table import ordered_runs

TILE_LONG_SIDE = 192
LABEL_WIDTH = 210
HEAD_HEIGHT = 34
GAP = 6
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
INK, PAPER, MUTED, WARN = (24, 24, 27), (250, 250, 249), (113, 113, 122), (180, 60, 20)


@dataclass(frozen=True)
class Line:
    """One line of a sheet: a label, smaller words under it, and pictures; None is an empty tile."""

    label: str
    words: str
    tiles: Sequence[Path | None]
    warning: str = ""


def sheet(path: Path, title: str, heads: Sequence[str], lines: Sequence[Line]) -> None:
    """Draw a grid of pictures with row labels and column heads to a PNG, atomically."""
    tile = _tile_size(lines)
    width = LABEL_WIDTH + len(heads) * (tile[0] + GAP) + GAP
    height = 2 * HEAD_HEIGHT + len(lines) * (tile[1] + GAP) + GAP
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    big, small = ImageFont.load_default(15), ImageFont.load_default(12)
    draw.text((GAP, 8), _clip(draw, title, big, width - 2 * GAP), INK, font=big)
    for column, head in enumerate(heads):
        x = LABEL_WIDTH + column * (tile[0] + GAP)
        draw.text((x, HEAD_HEIGHT + 8), _clip(draw, head, small, tile[0]), MUTED, font=small)
    for number, line in enumerate(lines):
        y = 2 * HEAD_HEIGHT + number * (tile[1] + GAP)
        _label(draw, line, (y, tile[1]), (big, small))
        for column, file in enumerate(line.tiles):
            x = LABEL_WIDTH + column * (tile[0] + GAP)
            _tile(canvas, draw, file, (x, y), tile)
    with replacing(path) as temporary:
        canvas.save(temporary, "PNG")


def _tile_size(lines: Sequence[Line]) -> tuple[int, int]:
    for file in (tile for line in lines for tile in line.tiles if tile and tile.is_file()):
        with Image.open(file) as image:
            factor = TILE_LONG_SIDE / max(image.size)
            return round(image.width * factor), round(image.height * factor)
    return TILE_LONG_SIDE, TILE_LONG_SIDE // 2


def _clip(draw: ImageDraw.ImageDraw, text: str, font: Font, room: int) -> str:
    while text and draw.textlength(text, font=font) > room:
        text = text[:-2].rstrip() + "…" if len(text) > 2 else ""
    return text


def _label(draw: ImageDraw.ImageDraw, line: Line, place: tuple[int, int], fonts: tuple[Font, Font]) -> None:
    """Write a line's label beside its tiles; `place` is the top and the height there is."""
    (top, height), (big, small) = place, fonts
    draw.text((GAP, top), _clip(draw, line.label, big, LABEL_WIDTH - 2 * GAP), INK, font=big)
    room = max((height - 22) // 16, 1)
    words = [(text.strip(), MUTED) for text in line.words.split("\n") if text.strip()]
    warning = [(line.warning, WARN)] if line.warning else []
    # A warning is never what there is no room for.
    for number, (text, colour) in enumerate([*words[: room - len(warning)], *warning]):
        shown = _clip(draw, text, small, LABEL_WIDTH - 2 * GAP)
        draw.text((GAP, top + 22 + 16 * number), shown, colour, font=small)


def _tile(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    file: Path | None,
    at: tuple[int, int],
    size: tuple[int, int],
) -> None:
    if file is None or not file.is_file():
        draw.rectangle((*at, at[0] + size[0] - 1, at[1] + size[1] - 1), outline=(212, 212, 216))
        return
    with Image.open(file) as image:
        fit = Image.Resampling.NEAREST if image.width < size[0] else Image.Resampling.LANCZOS
        canvas.paste(image.convert("RGB").resize(size, fit), at)


def _columns(checkpoint: Checkpoint) -> list[Preview]:
    return sorted(checkpoint.previews, key=lambda item: (item.prompt, item.seed, item.strength))


def _heads(previews: Sequence[Preview]) -> list[str]:
    return [f"w{item.strength:g} s{item.seed} {item.text}" for item in previews]


def _numbers(checkpoint: Checkpoint) -> str:
    shown = [f"loss {checkpoint.loss:.4f}"] if checkpoint.loss is not None else []
    shown += [
        f"{name} {value:.0f}" for name, value in checkpoint.metrics.items() if name == "likeness" and value
    ]
    return "\n".join([f"epoch {checkpoint.epoch}, step {checkpoint.step}", *shown])


def run_sheet(folder: RunFolder, record: RunRecord) -> None:
    """Draw a run's checkpoints, one line each, to its `sheet.png`; nothing where there are no previews."""
    shown = [item for item in record.checkpoints if item.previews]
    if not shown:
        return
    lines = [
        Line(
            item.tag.lstrip("0") or item.tag,
            _numbers(item),
            [folder.path / preview.file for preview in _columns(item)],
            ", ".join(item.flags),
        )
        for item in shown
    ]
    title = f"{folder.path.parent.name} / {folder.name}: {' '.join(record.overrides) or 'the base settings'}"
    sheet(folder.sheet, title, _heads(_columns(shown[-1])), lines)


def sweep_sheet(folder: SweepFolder) -> Path | None:
    """Draw the last checkpoint of every run, one line each, with the bare base model on top.

    Returns:
        The sheet, or None where no run has a preview yet.
    """
    records = [(run, _record(run)) for run in ordered_runs(folder)]
    first = next((item for _, record in records for item in record.checkpoints if item.previews), None)
    if first is None:
        return None
    columns = _columns(first)
    lines = [*_anchor_lines(folder, columns), *(_run_line(folder, run, record) for run, record in records)]
    sheet(folder.sheet, f"{folder.name}: last checkpoint of every run", _heads(columns), lines)
    return folder.sheet


def _record(run: RunFolder) -> RunRecord:
    try:
        return read_record(run)
    except LoraLabError as error:
        return RunRecord(status="failed", reason=str(error))


def _anchor_lines(folder: SweepFolder, columns: Sequence[Preview]) -> list[Line]:
    """The bare base model as the runs' present preview settings render it, and some training pictures."""
    lines = []
    # A sweep that was started again with other previews still has the anchors of the earlier ones.
    for base in dict.fromkeys(filter(None, map(_base_of, folder.runs()))):
        tiles = [base / anchor_name(item.prompt, item.seed) for item in columns]
        if any(tile.is_file() for tile in tiles):
            lines.append(Line("base model", "without a LoRA", tiles))
    pictures: list[Path | None] = [*sorted(folder.anchors.glob("pictures-*/*.png"))]
    if pictures:
        lines.append(Line("training pictures", "", pictures[: len(columns)]))
    return lines


def _base_of(run: RunFolder) -> Path | None:
    try:
        return anchor_folder(run, load(run.config_file, checked=False))
    except LoraLabError:
        return None


def _run_line(folder: SweepFolder, run: RunFolder, record: RunRecord) -> Line:
    name = run.name
    words = " ".join(record.overrides).replace(" ", "\n") or "the base settings"
    warning = record.reason if record.status not in ("done", "planned", "running") else ""
    if record.same_as:
        warning = f"same experiment as {record.same_as}"
        run, record = folder.run(record.same_as), _record(folder.run(record.same_as))
    last = next((item for item in reversed(record.checkpoints) if item.previews), None)
    if last is None:
        return Line(name, words, [], warning or record.status)
    tiles = [run.path / preview.file for preview in _columns(last)]
    return Line(name, f"{_numbers(last)}\n{words}", tiles, warning or ", ".join(last.flags))
