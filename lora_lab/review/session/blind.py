"""What a blind session shows: which images, in which order, and nothing in them that names anything."""

from __future__ import annotations

import hashlib
import io
import random
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lora_lab.review.browse.runs import Run, Sweep
from lora_lab.store import Place, Score, Shot
from lora_lab.verdict.leaders import APART

REPEATS = 0.1
"""Share of the checkpoints that are shown a second time, unseen, to measure the rater."""
FEWEST_WITH_REPEATS = 8
"""Items below which nothing is repeated: it would be recognised."""
UNUSABLE = ("black", "flat")
"""Flags of checkpoints that are left out unless they are asked for: what to think of them is known."""
TRAINING_IMAGES = 4
MATTE = (128, 128, 128)
SIGNATURE = b"\x89PNG\r\n\x1a\n"

Step = tuple[str, str, bool]
"""One item of a scoring session: run, tag, and whether it is a hidden repeat."""


def candidates(sweep: Sweep, *, unusable: bool = False) -> list[Place]:
    """The checkpoints that have images, in the sweep's order; a run that is another one's twin has none.

    Args:
        sweep: The sweep as it is now.
        unusable: With those whose images are black or flat.
    """
    return [
        (run.name, item.tag)
        for run in sweep.runs.values()
        if not run.same_as
        for item in run.record.checkpoints
        if item.previews and (unusable or not set(item.flags) & set(UNUSABLE))
    ]


def last_of_each_run(places: Iterable[Place]) -> list[Place]:
    """Only the last checkpoint of each run."""
    return list({run: (run, tag) for run, tag in places}.values())


def shots_of(sweep: Sweep, place: Place) -> set[Shot]:
    """The images that a checkpoint has."""
    run, tag = place
    return {shot[1:] for shot in sweep.runs[run].previews if shot[0] == tag}


def common_shots(
    sweep: Sweep, places: Sequence[Place], prompts: Iterable[int], strength: float
) -> tuple[list[Shot], list[Place]]:
    """The images to show of every checkpoint, and the checkpoints that have them all.

    Scores are only comparable over the same prompts and seeds: what most checkpoints have is shown, and a
    checkpoint that lacks some of it is left out.
    """
    wanted = set(prompts)
    own = {
        place: frozenset(shot for shot in shots_of(sweep, place) if shot[0] in wanted and shot[2] == strength)
        for place in places
    }
    counts = Counter(shots for shots in own.values() if shots)
    if not counts:
        return [], []
    shown = max(counts, key=lambda shots: (counts[shots], len(shots)))
    return sorted(shown), [place for place in places if own[place] >= shown]


def shuffled(places: Sequence[Place], share: float, seed: int) -> list[Step]:
    """The order of a session: every place once, and a share of them once more, well after the first time.

    What is repeated is drawn from the first half, so that there is room behind it: at least `APART`
    items lie between the two showings. Of fewer than `FEWEST_WITH_REPEATS` nothing is repeated.

    Args:
        places: What is shown.
        share: Which part of them is repeated, from 0 to 1.
        seed: Decides the order and the repeats.
    """
    draw = random.Random(seed)
    order: list[Step] = [(run, tag, False) for run, tag in draw.sample(places, len(places))]
    if len(order) < FEWEST_WITH_REPEATS:
        return order
    first_part = order[: min(len(order) // 2, len(order) - APART)]
    for run, tag, _ in draw.sample(first_part, min(round(share * len(order)), len(first_part))):
        soonest = order.index((run, tag, False)) + 1 + APART
        order.insert(draw.randint(soonest, len(order)), (run, tag, True))
    return order


def pixels_of(files: Sequence[Path | None]) -> str:
    """A hash of the pixels of images, whatever else their files say; '' where one cannot be read."""
    found = hashlib.blake2b(digest_size=16)
    for file in files:
        if file is None:
            return ""
        try:
            with Image.open(file) as opened:
                image = opened.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError):
            return ""
        found.update(repr(image.size).encode())
        found.update(image.tobytes())
    return found.hexdigest()


def shown_files(sweep: Sweep, place: Place, shots: Sequence[Shot]) -> list[Path | None]:
    """The files of a checkpoint's images, None where one is not there."""
    files = [_file(sweep, place, shot) for shot in shots]
    return [file if file and file.is_file() else None for file in files]


def drawn_of(sweep: Sweep, place: Place, shots: Sequence[Shot]) -> list[str]:
    """What drew each of a checkpoint's images; none where one is not there, or of an earlier version."""
    run = sweep.runs.get(place[0])
    found = [run.previews.get((place[1], *shot)) for shot in shots] if run else []
    drawn = [item.drawn if item else "" for item in found]
    return drawn if all(drawn) else []


def is_of(score: Score, sweep: Sweep, shots: Sequence[Shot]) -> bool:
    """Whether a score is of these very shots as its checkpoint has them now; prompts may have got another
    number since."""
    now = drawn_of(sweep, score.place, shots)
    if score.drawn and now:
        return sorted(score.drawn) == sorted(now)
    return set(score.shots) == set(shots)


def alike(sweep: Sweep, places: Sequence[Place], shots: Sequence[Shot]) -> dict[Place, list[Place]]:
    """The places that are items of their own, each with those that have the very same pixels.

    A run and its longer twin have a checkpoint in common: shown twice it would be an unmarked repeat.
    """
    by_first: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        by_first[pixels_of(shown_files(sweep, place, shots[:1]))].append(place)
    found: dict[Place, list[Place]] = {}
    for first, near in by_first.items():
        by_all: dict[str, list[Place]] = defaultdict(list)
        for place in near if first and len(near) > 1 else ():
            by_all[pixels_of(shown_files(sweep, place, shots))].append(place)
        groups = [[place] for place in by_all.pop("", [])] + list(by_all.values())
        for group in groups or [[place] for place in near]:
            found[group[0]] = group[1:]
    return {place: found[place] for place in places if place in found}


def anonymous(file: Path, size: tuple[int, int] | None) -> bytes:
    """An image as PNG that holds nothing but its pixels, fit into `size` (width, height) on grey.

    Args:
        file: An image in any format.
        size: None is the image's own.

    Raises:
        OSError: The file cannot be read, or is no image.
    """
    data = file.read_bytes()
    found = _pixels_only(data, size)
    return found if found is not None else _encoded_again(data, size)


def _pixels_only(png: bytes, size: tuple[int, int] | None) -> bytes | None:
    """The PNG without all chunks that are not pixels; None where it is not plain RGB of the size asked for.

    Chunks as in the PNG specification, section 5.3: length, type, data, checksum.
    """
    if png[:8] != SIGNATURE or png[12:16] != b"IHDR":
        return None
    width, height, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", png[16:29])
    if (depth, colours, interlaced) != (8, 2, 0) or size not in (None, (width, height)):
        return None
    kept, at = [SIGNATURE], 8
    while at + 12 <= len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] in (b"IHDR", b"IDAT", b"IEND"):
            kept.append(png[at:end])
        at = end
    return b"".join(kept)


def _encoded_again(data: bytes, size: tuple[int, int] | None) -> bytes:
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    if size and image.size != size:
        factor = min(size[0] / image.width, size[1] / image.height)
        fitted = max(round(image.width * factor), 1), max(round(image.height * factor), 1)
        canvas = Image.new("RGB", size, MATTE)
        resized = image.resize(fitted, Image.Resampling.LANCZOS)
        canvas.paste(resized, ((size[0] - fitted[0]) // 2, (size[1] - fitted[1]) // 2))
        image = canvas
    image.info.clear()
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


@dataclass(frozen=True)
class Stage:
    """The files of a session's images. `size` is the one size of all; `bare` holds the bare base model's
    image of each shot, or None; `texts` are the prompts of the shots."""

    sweep: Sweep
    shots: tuple[Shot, ...]
    size: tuple[int, int]
    training: tuple[Path, ...]
    bare: tuple[Path | None, ...]
    texts: tuple[str, ...]

    @property
    def training_sizes(self) -> list[tuple[int, int]]:
        """(width, height) of the training images as they are sent; a square where one cannot be read."""
        return [_size_or_square(file) for file in self.training]

    def file(self, place: Place, number: int) -> Path | None:
        """The file of a checkpoint's image of the shot `number`, if it is there."""
        return _file(self.sweep, place, self.shots[number])


def _file(sweep: Sweep, place: Place, shot: Shot) -> Path | None:
    run = sweep.runs.get(place[0])
    preview = run.previews.get((place[1], *shot)) if run else None
    if run is None or preview is None:
        return None
    return sweep.file(run.image(place[1], preview))


def stage(sweep: Sweep, places: Sequence[Place], shots: Sequence[Shot]) -> Stage:
    """Gather what a session shows beside its checkpoints.

    All items share one set of base images and prompt texts, those of most runs: each run's own would
    tell runs on another base model apart.
    """
    first = last_of_each_run(places)
    sizes = [size for place in first if (size := _size(_file(sweep, place, shots[0])))]
    size = max((w for w, _ in sizes), default=512), max((h for _, h in sizes), default=512)
    runs = [sweep.runs[run] for run, _ in first if run in sweep.runs]
    bases = Counter(tuple(_bare(run, shots)) for run in runs)
    bare = max(bases, key=lambda files: (sum(map(bool, files)) > 0, bases[files])) if bases else ()
    texts = Counter(tuple(_texts(run, shots)) for run in runs)
    return Stage(
        sweep,
        tuple(shots),
        size,
        tuple(sweep.images[name] for name in sweep.training[:TRAINING_IMAGES]),
        bare or (None,) * len(shots),
        texts.most_common(1)[0][0] if texts else ("",) * len(shots),
    )


def _size(file: Path | None) -> tuple[int, int] | None:
    if file is None:
        return None
    with Image.open(file) as image:
        return image.size


def _size_or_square(file: Path) -> tuple[int, int]:
    try:
        return _size(file) or (1, 1)
    except OSError:
        return 1, 1


def _bare(run: Run, shots: Sequence[Shot]) -> list[Path | None]:
    files = {(prompt, seed): file for prompt, seed, _, file in run.base_images() if file.is_file()}
    return [files.get((prompt, seed)) for prompt, seed, _ in shots]


def _texts(run: Run, shots: Sequence[Shot]) -> list[str]:
    texts = {(key[1], key[2]): item.label for key, item in run.previews.items()}
    return [texts.get((prompt, seed), "") for prompt, seed, _ in shots]
