"""One scanner for folders of pictures: kohya's `15_trigger class` folders, or one flat folder."""

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from lora_lab.data import pictures
from lora_lab.data.caption_files import read_caption
from lora_lab.data.headers import FileFacts, HeaderCache
from lora_lab.data.items import ImageSet, Item, Problem
from lora_lab.data.settings import SubsetSettings
from lora_lab.errors import DataError

_NUMBERED = re.compile(r"(\d+)(?:_(.*))?", re.DOTALL)
_FOREIGN = {".gif", ".tif", ".tiff", ".heic", ".heif", ".jxl", ".avif", ".psd", ".svg", ".jp2", ".tga"}
_CAPTION_EXTENSIONS = (".txt", ".caption")
_HUGE_PIXELS = 89_478_485  # Pillow's own warning limit


@dataclass
class _Folder:
    """The files of one folder of pictures while it is being read."""

    path: Path
    settings: SubsetSettings
    headers: HeaderCache
    pictures: list[Path] = field(default_factory=list)
    texts: dict[str, Path] = field(default_factory=dict)  # lower-case name to path
    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def note(self, kind: str, path: Path) -> None:
        self.counts[kind].append(path.name)

    def warn(self, path: Path, what: str, way_out: str = "") -> None:
        self.problems.append(Problem(path, "warning", what, way_out))

    def error(self, path: Path, what: str, way_out: str = "") -> None:
        self.problems.append(Problem(path, "error", what, way_out))


def scan(
    folder: Path,
    settings: SubsetSettings,
    *,
    cache: Path | None = None,
    max_pixels: int = pictures.MAX_IMAGE_PIXELS,
) -> ImageSet:
    """Find the pictures of a folder; nothing raises, all that is wrong is in the set's `problems`.

    `folder` is a parent of `15_trigger class` folders (15 repeats, class tokens `trigger class`), one such
    folder, or a flat folder of pictures. `settings.repeats` and `settings.class_tokens` go before the
    names. Pictures come in the order of their names; only headers are read.

    Args:
        cache: Folder that remembers sizes and hashes between runs.
    """
    folder = Path(folder)
    missing = _missing(folder)
    if missing is not None:
        return ImageSet(problems=[missing])
    subfolders = sorted(p for p in folder.iterdir() if p.is_dir() and not _is_hidden(p))
    numbered = [p for p in subfolders if _NUMBERED.fullmatch(p.name)]
    found = ImageSet()
    if numbered:
        for sub in numbered:
            found += scan_subset(sub, _named(sub, settings), cache=cache, max_pixels=max_pixels)
        found.problems.extend(_left_out(folder, subfolders, numbered))
    elif _holds_pictures(folder) or not subfolders:
        found = scan_subset(folder, _named(folder, settings), cache=cache, max_pixels=max_pixels)
        found.problems.extend(_left_out(folder, subfolders, [folder]))
    else:
        found.problems.extend(_unnumbered(subfolders))
    if not found.items and not any(p.severity == "error" for p in found.problems):
        found.problems.append(Problem(folder, "error", "no pictures in it", _kinds()))
    found.problems.extend(_duplicates(found.items))
    return found


def scan_subset(
    folder: Path,
    settings: SubsetSettings,
    *,
    cache: Path | None = None,
    max_pixels: int = pictures.MAX_IMAGE_PIXELS,
) -> ImageSet:
    """Read one folder of pictures whose name says nothing, as a dataset TOML lists them; see `scan`."""
    missing = _missing(folder)
    if missing is not None:
        return ImageSet(problems=[missing])
    work = _Folder(folder, settings, HeaderCache(folder, cache, max_pixels))
    if settings.repeats is not None and settings.repeats < 1:
        work.error(
            folder, f"repeats must be at least 1, got {settings.repeats}", "rename it, or set dataset.repeats"
        )
    _list_files(work)
    items = [item for path in work.pictures if (item := _item(work, path)) is not None]
    work.headers.save()
    _summarise(work, len(work.pictures))
    return ImageSet(items, work.problems)


def _missing(folder: Path) -> Problem | None:
    way_out = "give dataset.path a folder of pictures, or a parent of `15_trigger class` folders"
    if not folder.exists():
        return Problem(folder, "error", "there is no such folder", way_out)
    if not folder.is_dir():
        return Problem(folder, "error", "is a file, not a folder", way_out)
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        return Problem(
            folder, "error", f"cannot be listed ({error.strerror or error})", "check its permissions"
        )
    return None


def _named(folder: Path, settings: SubsetSettings) -> SubsetSettings:
    """Settings completed by the folder's name; repeats are 1 and class tokens empty where nothing says
    more."""
    match = _NUMBERED.fullmatch(folder.resolve().name)
    number, words = (int(match[1]), match[2] or "") if match else (1, "")
    repeats = number if settings.repeats is None else settings.repeats
    class_tokens = words.strip() if settings.class_tokens is None else settings.class_tokens
    return replace(settings, repeats=repeats, class_tokens=class_tokens)


def _left_out(folder: Path, subfolders: list[Path], read: list[Path]) -> list[Problem]:
    """Warnings for pictures beside the folders that are read."""
    problems = []
    if folder not in read and _holds_pictures(folder):
        what = "pictures beside the numbered folders are not trained on"
        problems.append(Problem(folder, "warning", what, "move them into one of the folders"))
    for sub in subfolders:
        if sub not in read and _holds_pictures(sub):
            what = "not trained on: its name does not begin with a number of repeats"
            problems.append(Problem(sub, "warning", what, "name it like `15_trigger class`"))
    return problems


def _unnumbered(subfolders: list[Path]) -> list[Problem]:
    inner = [p for p in subfolders if _missing(p) is None and _holds_numbered(p)]
    if inner:
        return [
            Problem(p, "error", "the numbered folders lie one level deeper", f"give {p} itself")
            for p in inner
        ]
    what = "its name does not begin with a number of repeats"
    full = [p for p in subfolders if _holds_pictures(p)]
    return [
        Problem(p, "error", what, "name it like `15_trigger class`, or give this folder itself") for p in full
    ]


def _holds_numbered(folder: Path) -> bool:
    return any(_NUMBERED.fullmatch(p.name) for p in folder.iterdir() if p.is_dir())


def _is_hidden(path: Path) -> bool:
    """System leavings such as `._a.png` of macOS and notebook checkpoints."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def _holds_pictures(folder: Path) -> bool:
    known = pictures.extensions()
    try:
        return any(p.suffix.lower() in known and p.is_file() and not _is_hidden(p) for p in folder.iterdir())
    except OSError:
        return False


def _kinds() -> str:
    return f"pictures are files named {', '.join(sorted('*' + e for e in pictures.extensions()))}"


def _list_files(work: _Folder) -> None:
    known = pictures.extensions()
    texts = {*_CAPTION_EXTENSIONS, work.settings.captions.caption_extension.lower()}
    for path in sorted(work.path.iterdir(), key=lambda p: p.name):
        suffix = path.suffix.lower()
        if _is_hidden(path) or not path.is_file():
            continue
        if suffix in known:
            work.pictures.append(path)
        elif suffix in texts:
            work.texts[path.name.lower()] = path
        elif suffix in _FOREIGN:
            work.note("foreign", path)


def _item(work: _Folder, path: Path) -> Item | None:
    caption = _caption(work, path)
    try:
        facts = work.headers.facts(path)
    except DataError as error:
        work.error(path, str(error), "repair it, save it anew, or take it out of the folder")
        return None
    _note_kind(work, path, facts)
    size = (facts.header.width, facts.header.height)
    repeats = work.settings.repeats or 1
    return Item(path, size, facts.sha256, repeats, caption, work.settings, facts.header.transparent)


def _note_kind(work: _Folder, path: Path, facts: FileFacts) -> None:
    header = facts.header
    if header.frames > 1:
        work.warn(path, f"animated, {header.frames} frames; only the first is used")
    if header.transparent:
        work.note("transparent", path)
    if header.mode == "CMYK":
        work.note("cmyk", path)
    if header.width * header.height > _HUGE_PIXELS:
        work.warn(path, f"{header.width}x{header.height} is huge", "reading it takes a gigabyte or more")


def _caption(work: _Folder, path: Path) -> str:
    """The caption of one picture, or the class tokens."""
    wanted = work.settings.captions.caption_extension
    file = work.texts.get((path.stem + wanted).lower())
    if file is None:
        kind = "other caption" if _other_caption(work, path) else "no caption"
        work.note(kind, path)
        return work.settings.class_tokens or ""
    if _other_caption(work, path):
        work.note("two captions", path)
    try:
        caption = read_caption(file)
    except DataError as error:
        work.error(file, f"the caption {error}", "save it as UTF-8")
        return ""
    if caption.encoding == "cp932":
        work.note("cp932", file)
    if not caption.text:
        work.note("empty caption", file)
    if "\n" in caption.text and not work.settings.captions.enable_wildcard:
        work.note("several lines", file)
    return caption.text


def _other_caption(work: _Folder, path: Path) -> bool:
    wanted = work.settings.captions.caption_extension.lower()
    return any((path.stem + e).lower() in work.texts for e in _CAPTION_EXTENSIONS if e != wanted)


def _summarise(work: _Folder, total: int) -> None:
    """One warning per kind of thing, with a count and some names, in place of one per picture."""
    wanted = work.settings.captions.caption_extension
    fallback = work.settings.class_tokens
    stand_in = f"trained with the class tokens {fallback!r}" if fallback else "trained with an empty caption"
    wordings = {
        "no caption": (f"no {wanted} caption file; {stand_in}", ""),
        "other caption": (
            f"a caption file, but not of dataset.caption_extension = {wanted}; {stand_in}",
            "set dataset.caption_extension to the files' extension",
        ),
        "two captions": (f"two caption files; {wanted} is used", "dataset.caption_extension chooses"),
        "empty caption": ("an empty caption file; trained with an empty caption", ""),
        "several lines": (
            "more than one caption line; the first is used",
            "dataset.enable_wildcard draws one",
        ),
        "cp932": ("caption read as Shift-JIS", "save it as UTF-8"),
        "transparent": (
            "transparency; laid on white" + (", and masks the loss" if work.settings.alpha_mask else ""),
            "",
        ),
        "cmyk": (
            "CMYK colours; converted without their colour profile",
            "save it as RGB to be sure of colours",
        ),
        "foreign": ("not read: a kind of picture that is not supported", _kinds()),
    }
    for kind, (what, way_out) in wordings.items():
        names = work.counts.get(kind)
        if names:
            of = f" of {total}" if kind != "foreign" else ""
            work.warn(work.path, f"{len(names)}{of}: {what} ({_some(names)})", way_out)
    _check_texts(work, {p.stem.lower() for p in work.pictures})


def _check_texts(work: _Folder, stems: set[str]) -> None:
    wanted = work.settings.captions.caption_extension.lower()
    orphans = [p for p in work.texts.values() if p.suffix.lower() == wanted and p.stem.lower() not in stems]
    if orphans:
        work.warn(work.path, f"{len(orphans)} caption files without a picture ({orphans[0].name}, ...)")
    by_stem = defaultdict(list)
    for path in work.pictures:
        by_stem[path.stem.lower()].append(path.name)
    for names in by_stem.values():
        if len(names) > 1:
            work.warn(
                work.path / names[0], f"shares its caption's name with {', '.join(names[1:])}", "rename one"
            )


def _duplicates(items: list[Item]) -> list[Problem]:
    """One warning per folder for pictures with the same bytes as one before."""
    first: dict[str, Item] = {}
    again: dict[Path, list[str]] = defaultdict(list)
    for item in items:
        original = first.setdefault(item.sha256, item)
        if original is not item:
            again[item.folder].append(f"{item.path.name} = {original.path}")
    way_out = "take one out, or raise its repeats"
    return [
        Problem(folder, "warning", f"{len(pairs)} pictures count twice ({_some(pairs)})", way_out)
        for folder, pairs in again.items()
    ]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
