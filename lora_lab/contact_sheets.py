"""Contact sheets: one image that shows a run's checkpoints, or a sweep's runs, prompt beside prompt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lora_lab import fonts
from lora_lab.anchors import anchor_folder, anchor_name
from lora_lab.files import replacing
from lora_lab.metrics.registry import METRICS
from lora_lab.store import Checkpoint, Preview, RunFolder, RunRecord, SweepFolder
from lora_lab.store.reading import Run, Sweep, read_sweep_folder
from lora_lab.words import stage

TILE_LONG_SIDE = 192
LABEL_WIDTH = 210
HEAD_HEIGHT = 34
GAP = 6
LARGE, SMALL = 15, 12
"""Letters, in pixels."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
INK, PAPER, MUTED, WARN = (24, 24, 27), (250, 250, 249), (113, 113, 122), (180, 60, 20)


@dataclass(frozen=True)
class Line:
    """One line of a sheet: a label, smaller words under it, and images; None is an empty tile.

    `heads` stand above it where they are other ones than above the line before; () are those.
    """

    label: str
    words: str
    tiles: Sequence[Path | None]
    warning: str = ""
    heads: Sequence[str] = ()

    @property
    def texts(self) -> list[str]:
        """All that is written of it."""
        return [self.label, self.words, self.warning, *self.heads]


def sheet(path: Path, title: str, heads: Sequence[str], lines: Sequence[Line]) -> None:
    """Draw a grid of images with row labels and column heads to a PNG, atomically."""
    tile = _tile_size(lines)
    above = _heads_above(heads, lines)
    columns = max(len(heads), *(len(line.tiles) for line in lines), *(len(own) for own in above))
    width = LABEL_WIDTH + columns * (tile[0] + GAP) + GAP
    height = HEAD_HEIGHT + sum(HEAD_HEIGHT for own in above if own) + len(lines) * (tile[1] + GAP) + GAP
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    big, small = _fonts([title, *heads, *(text for line in lines for text in line.texts)])
    draw.text((GAP, 8), _clip(draw, title, big, width - 2 * GAP), INK, font=big)
    y = HEAD_HEIGHT
    for own, line in zip(above, lines, strict=True):
        for column, head in enumerate(own):
            x = LABEL_WIDTH + column * (tile[0] + GAP)
            draw.text((x, y + 8), _clip(draw, head, small, tile[0]), MUTED, font=small)
        y += HEAD_HEIGHT if own else 0
        _label(draw, line, (y, tile[1]), (big, small))
        for column, file in enumerate(line.tiles):
            x = LABEL_WIDTH + column * (tile[0] + GAP)
            _tile(canvas, draw, file, (x, y), tile)
        y += tile[1] + GAP
    with replacing(path) as temporary:
        canvas.save(temporary, "PNG")


def _fonts(texts: Iterable[str]) -> tuple[Font, Font]:
    """The large and the small font, with letters for all texts where this machine has them."""
    file = fonts.file_for(texts)
    if file is None:
        return ImageFont.load_default(LARGE), ImageFont.load_default(SMALL)
    return ImageFont.truetype(file, LARGE), ImageFont.truetype(file, SMALL)


def _heads_above(heads: Sequence[str], lines: Sequence[Line]) -> list[Sequence[str]]:
    """The heads to be drawn above each line: those of all above the first, and where a line has others."""
    found: list[Sequence[str]] = []
    now: Sequence[str] = ()
    for line in lines:
        own = line.heads or now or heads
        found.append(() if list(own) == list(now) else own)
        now = own
    return found


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


def _label(draw: ImageDraw.ImageDraw, line: Line, place: tuple[int, int], sizes: tuple[Font, Font]) -> None:
    """Write a line's label beside its tiles; `place` is the top and the height there is."""
    (top, height), (big, small) = place, sizes
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
    return [f"w{item.strength:g} s{item.seed} {item.label}" for item in previews]


def _line(run: Run, checkpoint: Checkpoint, words: tuple[str, str, str]) -> Line:
    """A checkpoint's previews under their own heads; `words` are its label, what stands below, a warning."""
    previews = _columns(checkpoint)
    return Line(words[0], words[1], list(map(run.worker.file, previews)), words[2], _heads(previews))


def _numbers(checkpoint: Checkpoint) -> str:
    shown = [f"loss {checkpoint.loss:.4f}"] if checkpoint.loss is not None else []
    on_sheets = {name for name, entry in METRICS.items() if entry.on_sheets}
    shown += [
        f"{name} {value:.0f}" for name, value in checkpoint.metrics.items() if name in on_sheets and value
    ]
    return "\n".join([f"epoch {checkpoint.epoch}, step {checkpoint.step}", *shown])


def run_sheet(folder: RunFolder, record: RunRecord) -> None:
    """Draw a run's checkpoints, one line each, to its `sheet.png`; nothing where there are no previews."""
    shown = [item for item in record.checkpoints if item.previews]
    if not shown:
        return
    run = Run(folder, record)
    lines = [_line(run, item, (stage(item.tag), _numbers(item), ", ".join(item.flags))) for item in shown]
    title = f"{folder.path.parent.name} / {folder.name}: {' '.join(record.overrides) or 'the base settings'}"
    sheet(folder.sheet, title, _heads(_columns(shown[-1])), lines)


def sweep_sheet(folder: SweepFolder) -> Path | None:
    """Draw the last checkpoint of every run, one line each, with the bare base model on top.

    Returns:
        The sheet, or None where no run has a preview yet.
    """
    if next(folder.runs(), None) is None:
        return None
    read = read_sweep_folder(folder.path)
    first = next(filter(None, map(_last, read.runs.values())), None)
    if first is None:
        return None
    lines = [*_anchor_lines(read), *map(_run_line, read.runs.values())]
    sheet(folder.sheet, f"{folder.name}: last checkpoint of every run", _heads(_columns(first)), lines)
    return folder.sheet


def _last(run: Run) -> Checkpoint | None:
    return next((item for item in reversed(run.checkpoints) if item.previews), None)


def _anchor_lines(sweep: Sweep) -> list[Line]:
    """The bare base model as the runs' present preview settings render it, and some training images."""
    found: dict[Path, list[Preview]] = {}
    # A sweep that was started again with other previews still has the anchors of the earlier ones.
    for run in sweep.runs.values():
        last = _last(run)
        if run.config and last:
            found.setdefault(anchor_folder(run.folder, run.config, run.worker.record), _columns(last))
    lines = []
    for base, previews in found.items():
        tiles = [base / anchor_name(item.prompt, item.seed) for item in previews]
        if any(tile.is_file() for tile in tiles):
            lines.append(Line("base model", "without a LoRA", tiles, heads=_heads(previews)))
    if sweep.training_images:
        most = max(map(len, found.values()), default=1)
        lines.append(Line("training images", "", sweep.training_images[:most]))
    return lines


def _run_line(run: Run) -> Line:
    words = " ".join(run.record.overrides).replace(" ", "\n") or "the base settings"
    warning = run.reason if run.status not in ("done", "planned", "running") else ""
    if run.same_as:
        warning = f"same experiment as {run.same_as}"
    last = _last(run)
    if last is None:
        return Line(run.name, words, [], warning or run.status)
    return _line(run, last, (run.name, f"{_numbers(last)}\n{words}", warning or ", ".join(last.flags)))
