"""One scanner for folders of images: kohya's `15_trigger class` folders, or one flat folder."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from lora_lab.counts import counted
from lora_lab.data import images
from lora_lab.data.caption_files import GUESSED, read_caption
from lora_lab.data.folder import (
    CAPTIONS,
    Contents,
    caption_key,
    contents,
    images_below,
    not_read,
    numbered_name,
    passed_over,
    some,
)
from lora_lab.data.image_headers import FileFacts, HeaderCache
from lora_lab.data.image_set import CaptionedImage, ImageSet, Problem, readable
from lora_lab.data.settings import SubsetSettings
from lora_lab.data.western import unscrambled
from lora_lab.errors import DataError

OVERRULED = "its name says"
"""How the warning begins that a folder's own number of repeats does not count."""
_MANY_REPEATS = 200
_TEXT_SHOWN = 40  # letters of a caption whose encoding was guessed
_HUGE_PIXELS = 89_478_485  # Pillow's own warning limit


@dataclass
class _Folder:
    """The files of one folder of images while it is being read."""

    path: Path
    settings: SubsetSettings
    headers: HeaderCache
    found: Contents = field(default_factory=Contents)
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
    max_pixels: int = images.MAX_IMAGE_PIXELS,
) -> ImageSet:
    """Find the images of a folder; nothing raises, all that is wrong is in the set's `problems`.

    `folder` is a parent of `15_trigger class` folders (15 repeats, class tokens `trigger class`), one such
    folder, or a flat folder of images. `settings.repeats` and `settings.class_tokens` go before the
    names. Images come in the order of their names; only headers are read.

    Args:
        cache: Folder that remembers sizes and hashes between runs.
    """
    folder = Path(folder)
    missing = _missing(folder)
    if missing is not None:
        return ImageSet(problems=[missing])
    within = contents(folder, settings.captions.caption_extension)
    numbered = [p for p in within.subfolders if numbered_name(p)]
    found = ImageSet()
    if numbered:
        for sub in numbered:
            found += _scan_named(sub, settings, cache, max_pixels)
        found.problems.extend(_beside(folder, within, numbered))
    elif within.images or not any(images_below(sub)[0] for sub in within.subfolders):
        found = _scan_named(folder, settings, cache, max_pixels)
    else:
        found.problems.extend(_unnumbered(within.subfolders))
    found.problems.extend(_duplicates(found.items))
    return found


def _scan_named(folder: Path, settings: SubsetSettings, cache: Path | None, max_pixels: int) -> ImageSet:
    """Read one folder with the repeats and class tokens of its name."""
    own = _named(folder, settings)
    found = scan_subset(folder, own, cache=cache, max_pixels=max_pixels)
    return ImageSet(found.items, [*found.problems, *_odd_name(folder, settings, own)])


def _odd_name(folder: Path, given: SubsetSettings, named: SubsetSettings) -> Iterator[Problem]:
    """What a folder's name says that can hardly be meant."""
    repeats = named.repeats or 1
    if given.repeats is None and repeats > _MANY_REPEATS:
        what = f"its name gives every image {repeats:,} repeats; is the number a year, a date or a size?"
        yield Problem(folder, "warning", what, "rename it, or set dataset.repeats")
    said = numbered_name(folder)
    if given.repeats is not None and said and int(said[1]) != given.repeats:
        what = f"{OVERRULED} {int(said[1]):,} repeats, dataset.repeats={given.repeats} counts"
        yield Problem(folder, "warning", what, "dataset.repeats=null takes the name's")
    tokens = named.class_tokens or ""
    if given.class_tokens is None and readable(tokens) != tokens:
        what = "its name is not UTF-8, and would be the caption of images without one"
        yield Problem(folder, "error", what, "rename it, or set dataset.class_tokens")


def scan_subset(
    folder: Path,
    settings: SubsetSettings,
    *,
    cache: Path | None = None,
    max_pixels: int = images.MAX_IMAGE_PIXELS,
) -> ImageSet:
    """Read one folder of images whose name says nothing, as a dataset TOML lists them; see `scan`."""
    missing = _missing(folder)
    if missing is not None:
        return ImageSet(problems=[missing])
    work = _Folder(folder, settings, HeaderCache(folder, cache, max_pixels))
    if settings.repeats is not None and settings.repeats < 1:
        work.error(
            folder, f"repeats must be at least 1, got {settings.repeats}", "rename it, or set dataset.repeats"
        )
    work.found = contents(folder, settings.captions.caption_extension)
    items = [item for path in work.found.images if (item := _item(work, path)) is not None]
    work.headers.save()
    if not work.found.images:
        work.error(folder, "no images in it", f"take it away, or fill it: {_kinds()}")
    _summarise(work, len(work.found.images))
    work.problems.extend(not_read(folder, work.found))
    return ImageSet(items, work.problems)


def _missing(folder: Path) -> Problem | None:
    way_out = "give dataset.path a folder of images, or a parent of `15_trigger class` folders"
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
    match = numbered_name(folder)
    number, words = (int(match[1]), match[2] or "") if match else (1, "")
    repeats = number if settings.repeats is None else settings.repeats
    class_tokens = words.strip() if settings.class_tokens is None else settings.class_tokens
    return replace(settings, repeats=repeats, class_tokens=class_tokens)


def _beside(folder: Path, within: Contents, numbered: list[Path]) -> Iterator[Problem]:
    """What lies beside the numbered folders and is not read."""
    if within.images:
        beside = ("image beside the numbered folders is", "images beside the numbered folders are")
        what = f"{counted(len(within.images), *beside)} not trained on"
        names = some(path.name for path in within.images)
        yield Problem(folder, "warning", f"{what} ({names})", "move them into one of the folders")
    for path in within.dangling:
        if numbered_name(path):
            yield Problem(path, "error", "is a link to nothing", "mend or remove it")
    links = [path for path in within.dangling if not numbered_name(path)]
    yield from not_read(folder, Contents(dangling=links, unknown=within.unknown))
    for sub in within.subfolders:
        if sub not in numbered:
            why = "not trained on: its name does not begin with a number of repeats"
            yield from passed_over(sub, why, "name it like `15_trigger class`")


def _unnumbered(subfolders: list[Path]) -> Iterator[Problem]:
    for sub in subfolders:
        if _missing(sub) is None and _holds_numbered(sub):
            yield Problem(sub, "error", "the numbered folders lie one level deeper", f"give {sub} itself")
        elif images_below(sub)[0]:
            what = "its name does not begin with a number of repeats"
            yield Problem(sub, "error", what, "name it like `15_trigger class`, or give this folder itself")


def _holds_numbered(folder: Path) -> bool:
    return any(numbered_name(p) for p in folder.iterdir() if p.is_dir())


def _kinds() -> str:
    return f"images are files named {', '.join(sorted('*' + e for e in images.extensions()))}"


def _item(work: _Folder, path: Path) -> CaptionedImage | None:
    caption = _caption(work, path)
    try:
        facts = work.headers.facts(path)
    except DataError as error:
        work.error(path, str(error), "repair it, save it anew, or take it out of the folder")
        return None
    _note_kind(work, path, facts)
    size = (facts.header.width, facts.header.height)
    repeats = work.settings.repeats or 1
    return CaptionedImage(path, size, facts.sha256, repeats, caption, work.settings, facts.header.transparent)


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
    """The caption of one image, or the class tokens."""
    wanted = work.settings.captions.caption_extension
    file = work.found.captions.get(caption_key(path.stem + wanted))
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
    if caption.encoding in GUESSED:
        work.counts[caption.encoding].append(f"{file.name}: {_shown(caption.text)}")
    if before := unscrambled(caption.text):
        work.counts["scrambled"].append(f"{file.name}: {_shown(caption.text)} was {_shown(before)}")
    if "\ufffd" in caption.text:
        work.note("lost letters", file)
    if not caption.text:
        work.note("empty caption", file)
    if "\n" in caption.text and not work.settings.captions.enable_wildcard:
        work.note("several lines", file)
    return caption.text


def _shown(text: str) -> str:
    return repr(text[:_TEXT_SHOWN] + ("..." if len(text) > _TEXT_SHOWN else ""))


def _other_caption(work: _Folder, path: Path) -> bool:
    wanted = work.settings.captions.caption_extension.lower()
    return any(caption_key(path.stem + e) in work.found.captions for e in CAPTIONS if e != wanted)


def _summarise(work: _Folder, total: int) -> None:
    """One warning per kind of thing, with a count and some names, in place of one per image."""
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
        **{key: (f"caption read as {name}", "save it as UTF-8") for key, name in GUESSED.items()},
        "scrambled": ("UTF-8 that a program read as Windows-1252 and saved so", "write the caption again"),
        "lost letters": ("letters that were lost in saving (\ufffd)", "write the caption again"),
        "transparent": (
            "transparency; laid on white" + (", and masks the loss" if work.settings.alpha_mask else ""),
            "",
        ),
        "cmyk": (
            "CMYK colours; converted without their colour profile",
            "save it as RGB to be sure of colours",
        ),
    }
    for kind, (what, way_out) in wordings.items():
        names = work.counts.get(kind)
        if names:
            work.warn(work.path, f"{len(names)} of {total}: {what} ({some(names)})", way_out)
    _check_texts(work, {caption_key(p.stem) for p in work.found.images})


def _check_texts(work: _Folder, stems: set[str]) -> None:
    wanted = work.settings.captions.caption_extension.lower()
    ends = [(p, caption_key(p.name)) for p in work.found.captions.values()]
    orphans = [p for p, key in ends if key.endswith(wanted) and key.removesuffix(wanted) not in stems]
    if orphans:
        count = counted(len(orphans), "caption file")
        work.warn(work.path, f"{count} without an image ({some(path.name for path in orphans)})")
    by_stem = defaultdict(list)
    for path in work.found.images:
        by_stem[caption_key(path.stem)].append(path.name)
    for names in by_stem.values():
        if len(names) > 1:
            work.warn(
                work.path / names[0], f"shares its caption's name with {', '.join(names[1:])}", "rename one"
            )


def _duplicates(items: list[CaptionedImage]) -> list[Problem]:
    """One warning per folder for images with the same bytes as one before."""
    first: dict[str, CaptionedImage] = {}
    again: dict[Path, list[str]] = defaultdict(list)
    for item in items:
        original = first.setdefault(item.sha256, item)
        if original is not item:
            again[item.folder].append(f"{item.path.name} = {original.path}")
    way_out = "take one out, or raise its repeats"
    return [
        Problem(
            folder,
            "warning",
            f"{counted(len(pairs), 'image counts', 'images count')} twice ({some(pairs)})",
            way_out,
        )
        for folder, pairs in again.items()
    ]
