"""A plain folder of images as kohya's `10_trigger class` folders: copies, the originals stay as they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lora_lab.data.folder import contents, numbered_name
from lora_lab.data.image_set import Problem, readable
from lora_lab.data.scan import scan_subset
from lora_lab.data.settings import CaptionSettings, SubsetSettings
from lora_lab.errors import ConfigError, RunFolderError
from lora_lab.files import replacing
from lora_lab.outputs import refuse_to_overwrite, remember

_FORBIDDEN = '/\\:*?"<>|'


@dataclass(frozen=True)
class Wish:
    """What the prepared folders are to say.

    Attributes:
        trigger: The word that calls the images; '' takes the name of each sub-folder.
        class_word: What they are of, such as girl; may be ''.
        link: Hard links in place of copies of the images, where the disk can; captions are always copied.
    """

    trigger: str
    class_word: str = ""
    repeats: int = 10
    caption_extension: str = ".txt"
    link: bool = False


@dataclass(frozen=True)
class Prepared:
    """One folder that was written, and what of its source was left out."""

    folder: Path
    source: Path
    images: int
    captions: int
    problems: tuple[Problem, ...] = ()


def prepare(source: Path, target: Path, wish: Wish) -> list[Prepared]:
    """Write the folders: one for the images of `source`, one for those of each of its sub-folders.

    Raises:
        ConfigError: The source holds numbered folders already or no images, or a word cannot be a name.
        RunFolderError: A file is in the way that this did not write, or nothing can be written.
    """
    if not source.is_dir():
        raise ConfigError(f"{source}: there is no such folder")
    if target.resolve().is_relative_to(source.resolve()) or source.resolve().is_relative_to(target.resolve()):
        raise ConfigError(f"-o {target}: give a folder that is neither in {source} nor around it")
    parts = _parts(source, wish)
    by = f"prepared of {source.resolve()}"
    planned = [(name, folder, *_files(folder, wish)) for name, folder in parts]
    refuse_to_overwrite((target / name / file.name for name, _, files, _ in planned for file in files), by)
    done = []
    for name, folder, files, problems in planned:
        place = target / name
        images = [file for file in files if file.suffix.lower() != wish.caption_extension.lower()]
        for file in files:
            _copy(file, place / file.name, link=wish.link and file in images)
        remember((place / file.name for file in files), by)
        done.append(Prepared(place, folder, len(images), len(files) - len(images), tuple(problems)))
    return done


def _parts(source: Path, wish: Wish) -> list[tuple[str, Path]]:
    """(name of the new folder, folder of images)."""
    within = contents(source, wish.caption_extension)
    numbered = [sub for sub in within.subfolders if numbered_name(sub)]
    if numbered or numbered_name(source):
        raise ConfigError(
            f"{source} has folders with numbers of repeats already: it can be trained on as it is"
        )
    parts = [(wish.trigger, source)] if within.images else []
    subs = [sub for sub in within.subfolders if contents(sub, wish.caption_extension).images]
    alone = len(subs) == 1 and not parts and wish.trigger
    parts += [(wish.trigger if alone else sub.name, sub) for sub in subs]
    if not parts:
        raise ConfigError(f"{source}: there are no images in it or in its sub-folders")
    return [(_name(words, wish), folder) for words, folder in parts]


def _name(trigger: str, wish: Wish) -> str:
    words = f"{trigger.strip()} {wish.class_word.strip()}".strip()
    if not trigger.strip():
        raise ConfigError("--trigger WORD is needed: the word that is to call the images, such as mikocat")
    if bad := sorted(set(words) & set(_FORBIDDEN)) or ([words[-1]] if words.endswith(".") else []):
        raise ConfigError(f"{words!r} cannot be a folder's name: it holds {' '.join(bad)}")
    return f"{wish.repeats}_{words}"


def _files(folder: Path, wish: Wish) -> tuple[list[Path], list[Problem]]:
    """Images that can be read with their captions, and what is wrong with the others."""
    captions = replace(CaptionSettings(), caption_extension=wish.caption_extension)
    found = scan_subset(folder, SubsetSettings(repeats=1, class_tokens="", captions=captions))
    within = contents(folder, wish.caption_extension)
    stems = {item.path.stem for item in found.items}
    texts = [path for path in within.captions.values() if path.stem in stems]
    wanted = [path for path in texts if path.suffix.lower() == wish.caption_extension.lower()]
    return [*(item.path for item in found.items), *wanted], _worth_saying(found.problems, folder)


def _worth_saying(problems: Iterable[Problem], folder: Path) -> list[Problem]:
    """Without remarks on sub-folders, which become folders of their own."""
    return [item for item in problems if item.severity == "error" or "sub-folders" not in item.what]


def _copy(source: Path, target: Path, *, link: bool) -> None:
    try:
        with replacing(target) as temporary:
            if link:
                temporary.unlink()
                try:
                    os.link(source, temporary)
                    return
                except OSError:
                    pass  # another disk, or one without links
            shutil.copyfile(source, temporary)
            shutil.copystat(source, temporary)
    except OSError as error:
        raise RunFolderError(
            f"{readable(str(source))} cannot be copied: {error.strerror or error}"
        ) from error
