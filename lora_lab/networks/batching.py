"""Which adapter works on which sample: from a list of slots to few batched products.

A forward pass has N samples; sample s uses the adapter in `slots[s]` (-1: none). A `Block` is a set of
samples that one batched product serves: `groups` adapters with `size` samples each. Sorted batches with equal
sizes become one block on views, without any copy. Samples are only ever selected by index: a neighbour's NaN
cannot reach another sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor


@dataclass(frozen=True)
class Block:
    """`samples` (in block order, `size` per group) use the rows `slots` (one per group).

    `parts` counts, per group, the earlier blocks that hold samples of the same slot (0 in sorted batches).
    `scale` is strength x alpha / dim: a number where it is the same for all, else `(groups * size, 1, 1)`.
    """

    slot_list: tuple[int, ...]
    parts: tuple[int, ...]
    groups: int
    size: int
    samples: slice | Tensor
    slots: slice | Tensor
    scale: float | Tensor

    def take(self, batch: Tensor) -> Tensor:
        """The block's samples of `(N, ...)`; a view where the samples are neighbours."""
        if isinstance(self.samples, slice):
            if self.samples.stop - self.samples.start == batch.shape[0]:
                return batch
            return batch[self.samples]
        return batch.index_select(0, self.samples)


@dataclass(frozen=True)
class Segment:
    """`count` neighbouring samples from `start` that use one slot."""

    start: int
    count: int
    slot: int


def plan_blocks(
    slots: Sequence[int], scales: Sequence[float], device: torch.device, dtype: torch.dtype
) -> tuple[Block, ...]:
    """Blocks for one kind of module. `slots[s]` -1 leaves sample s alone; `scales[s]` is its factor.

    Neighbouring segments of one size with consecutive slots share a block. If that leaves many blocks,
    samples are brought together by slot instead (one block per number of samples).
    """
    neighbours = _merge(_segments(slots))
    by_slot = _regroup(slots)
    chosen = neighbours if len(neighbours) <= 2 * len(by_slot) else by_slot
    seen: Counter[int] = Counter()
    blocks = []
    for samples, group_slots in chosen:
        blocks.append(_block(samples, group_slots, [seen[s] for s in group_slots], scales, (device, dtype)))
        seen.update(group_slots)
    return tuple(blocks)


def _segments(slots: Sequence[int]) -> list[Segment]:
    found, start = [], 0
    for slot, members in groupby(slots):
        count = len(list(members))
        if slot >= 0:
            found.append(Segment(start, count, slot))
        start += count
    return found


def _merge(segments: Iterable[Segment]) -> list[tuple[list[int], list[int]]]:
    """(samples, slots) of maximal blocks of neighbours."""
    blocks: list[tuple[list[int], list[int]]] = []
    last: Segment | None = None
    for segment in segments:
        samples = list(range(segment.start, segment.start + segment.count))
        follows = (
            last is not None
            and segment.start == last.start + last.count
            and segment.count == last.count
            and segment.slot == last.slot + 1
        )
        if follows:
            blocks[-1][0].extend(samples)
            blocks[-1][1].append(segment.slot)
        else:
            blocks.append((samples, [segment.slot]))
        last = segment
    return blocks


def _regroup(slots: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """(samples, slots) with one block per number of samples that a slot has."""
    members: dict[int, list[int]] = {}
    for sample, slot in enumerate(slots):
        if slot >= 0:
            members.setdefault(slot, []).append(sample)
    sizes = sorted({len(samples) for samples in members.values()})
    blocks = []
    for size in sizes:
        group = sorted(slot for slot, samples in members.items() if len(samples) == size)
        blocks.append(([s for slot in group for s in members[slot]], group))
    return blocks


def _block(
    samples: list[int],
    slots: list[int],
    parts: list[int],
    scales: Sequence[float],
    place: tuple[torch.device, torch.dtype],
) -> Block:
    device, dtype = place
    factors = [float(scales[s]) for s in samples]
    scale: float | Tensor = factors[0]
    if len(set(factors)) > 1:
        scale = torch.tensor(factors, dtype=dtype, device=device).view(-1, 1, 1)
    size = len(samples) // len(slots)
    return Block(
        tuple(slots), tuple(parts), len(slots), size, _index(samples, device), _index(slots, device), scale
    )


def _index(numbers: list[int], device: torch.device) -> slice | Tensor:
    if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        return slice(numbers[0], numbers[0] + len(numbers))
    return torch.tensor(numbers, dtype=torch.long, device=device)
