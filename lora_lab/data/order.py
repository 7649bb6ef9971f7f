"""The stream of draws: which image is shown when, as a function of (seed, sample index) alone.

Time runs in *passes*. A pass is a fresh permutation of the images, drawn from (seed, number of the pass).
Where all images have the same repeats, an epoch is `repeats` passes, so that 15 repeats x 20 epochs and 5
x 60 draw the same images in the same order. Where they differ, an epoch has as many passes as the largest
repeats, and an image with fewer takes part in an evenly spread share of them: exactly its repeats in every
epoch, and again only the ratio of repeats matters. A batch is given out as soon as its bucket is full; what
is left at the end of an epoch is given out as smaller batches. With batch size 1 or a single bucket the
stream is the passes themselves.

Permutations come from hashes of image keys: they depend on no file name, no library's random generator and
no worker count, and two runs with the same seed show the same images at the same sample index.
"""

import hashlib
import random
from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from lora_lab.data.steps import batches_per_epoch, draws_per_bucket
from lora_lab.errors import DataError

_PHASE_UNIT = 1 << 32
_EPOCHS_KEPT = 3


@dataclass(frozen=True)
class Entry:
    """One image as the stream sees it.

    Args:
        key: Identity by content, unique in the stream (`items.order_keys`).
        bucket: What a batch must share: the bucket's size, with the dataset's index where there are several.
        dataset: Index into the stream's batch sizes.
    """

    key: str
    bucket: Hashable
    repeats: int
    dataset: int = 0


@dataclass(frozen=True)
class Draw:
    """One sample of the run: `image` is an index into the entries, `epoch` counts from 1, `sample_index`
    from 0."""

    sample_index: int
    image: int
    epoch: int


@dataclass(frozen=True)
class Batch:
    """Draws of one bucket; `index` is the batch's number in the run, from 0."""

    index: int
    epoch: int
    bucket: Hashable
    draws: tuple[Draw, ...]


@dataclass
class Stream:
    """Random access to all batches of a run of any length.

    Args:
        batch_sizes: One for all, or one per dataset.

    Raises:
        DataError: No entries, repeats below 1, or two entries with the same key.
    """

    entries: Sequence[Entry]
    batch_sizes: int | Sequence[int]
    seed: int
    _epochs: "OrderedDict[int, list[Batch]]" = field(default_factory=OrderedDict, repr=False)

    def __post_init__(self) -> None:
        if not self.entries:
            raise DataError("there is no image to train on")
        if min(entry.repeats for entry in self.entries) < 1:
            raise DataError("repeats must be at least 1 for every image")
        if len({entry.key for entry in self.entries}) != len(self.entries):
            raise DataError("two images have the same key")
        self._passes = max(entry.repeats for entry in self.entries)
        self._phases = [_hash(self.seed, "phase", entry.key) % _PHASE_UNIT for entry in self.entries]
        self.samples_per_epoch = sum(entry.repeats for entry in self.entries)
        self.batches_per_epoch = sum(
            batches_per_epoch(self._draws(dataset), self._batch_size(dataset))
            for dataset in sorted({entry.dataset for entry in self.entries})
        )

    def _draws(self, dataset: int) -> dict[Hashable, int]:
        return draws_per_bucket((e.bucket, e.repeats) for e in self.entries if e.dataset == dataset)

    def _batch_size(self, dataset: int) -> int:
        return self.batch_sizes if isinstance(self.batch_sizes, int) else self.batch_sizes[dataset]

    def epoch(self, number: int) -> list[Batch]:
        """All batches of epoch `number`, counted from 1, in order."""
        if number not in self._epochs:
            self._epochs[number] = self._make_epoch(number)
            while len(self._epochs) > _EPOCHS_KEPT:
                self._epochs.popitem(last=False)
        self._epochs.move_to_end(number)
        return self._epochs[number]

    def batch(self, index: int) -> Batch:
        """Batch `index` of the run, counted from 0; any order of asking gives the same batches."""
        epoch, within = divmod(index, self.batches_per_epoch)
        return self.epoch(epoch + 1)[within]

    def updates_per_epoch(self, gradient_accumulation_steps: int = 1) -> int:
        """Optimizer updates of one epoch; an accumulation never crosses an epoch's end."""
        return -(-self.batches_per_epoch // gradient_accumulation_steps)

    def update(self, index: int, gradient_accumulation_steps: int = 1) -> list[Batch]:
        """The micro-batches of optimizer update `index`, counted from 0; an epoch's last update may have
        fewer."""
        epoch, within = divmod(index, self.updates_per_epoch(gradient_accumulation_steps))
        start = within * gradient_accumulation_steps
        return self.epoch(epoch + 1)[start : start + gradient_accumulation_steps]

    def samples_before(self, update: int, gradient_accumulation_steps: int = 1) -> int:
        """Samples seen before optimizer update `update`, which is also its first sample index."""
        return self.update(update, gradient_accumulation_steps)[0].draws[0].sample_index

    def _make_epoch(self, number: int) -> list[Batch]:
        groups = self._group(number)
        starts = accumulate((len(group) for group in groups), initial=(number - 1) * self.samples_per_epoch)
        first = (number - 1) * self.batches_per_epoch
        return [
            Batch(
                first + position,
                number,
                self.entries[group[0]].bucket,
                tuple(Draw(start + offset, image, number) for offset, image in enumerate(group)),
            )
            for position, (group, start) in enumerate(zip(groups, starts, strict=False))
        ]

    def _group(self, number: int) -> list[list[int]]:
        """The epoch's entries in batches: full ones as they fill, then the rest in an order of their own."""
        full: list[list[int]] = []
        open_groups: dict[tuple[int, Hashable], list[int]] = defaultdict(list)
        first = (number - 1) * self._passes
        for image in (i for p in range(first, first + self._passes) for i in self._permutation(p)):
            entry = self.entries[image]
            group = open_groups[entry.dataset, entry.bucket]
            group.append(image)
            if len(group) == self._batch_size(entry.dataset):
                full.append(group)
                del open_groups[entry.dataset, entry.bucket]
        rest = sorted(
            open_groups.values(), key=lambda g: _hash(self.seed, f"rest {number}", self.entries[g[0]].key)
        )
        return full + rest

    def _permutation(self, pass_number: int) -> list[int]:
        """The entries that take part in a pass, shuffled."""
        part = [i for i in range(len(self.entries)) if self._takes_part(i, pass_number)]
        purpose = f"pass {pass_number}"
        return sorted(part, key=lambda i: _hash(self.seed, purpose, self.entries[i].key))

    def _takes_part(self, image: int, pass_number: int) -> bool:
        """Whether repeats / largest repeats, summed over passes from a phase of its own, crosses a whole
        number."""
        unit = self._passes * _PHASE_UNIT
        share = self.entries[image].repeats * _PHASE_UNIT
        before = pass_number * share + self._phases[image] * self._passes
        return (before + share) // unit > before // unit


def _hash(seed: int, purpose: str, key: str) -> int:
    data = f"{seed}\n{purpose}\n{key}".encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def sample_seed(run_seed: int, sample_index: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose (`noise`, `timestep`, `caption`, `flip`, `crop`, ...) of one sample
    of a run."""
    return _hash(run_seed, purpose, str(sample_index)) >> 1


def sample_rng(run_seed: int, sample_index: int, purpose: str) -> random.Random:
    """Python's generator seeded by `sample_seed`."""
    return random.Random(sample_seed(run_seed, sample_index, purpose))
