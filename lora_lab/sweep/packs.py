"""Which runs train together: those that can share one frozen base model in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from typing import TYPE_CHECKING

from lora_lab.config import RunConfig
from lora_lab.resolved import Resolved
from lora_lab.store import SweepFolder
from lora_lab.store.launched import read_plan
from lora_lab.sweep.estimate import Device, makespan, paces_of, training_seconds
from lora_lab.sweep.pack_size import pack_size

if TYPE_CHECKING:
    from lora_lab.sweep.plan import PlannedRun

SHARED = (
    "base_model.family", "base_model.fp8_base", "base_model.nf4_base", "train.mixed_precision",
    "train.full_bf16", "train.full_fp16",
)  # fmt: skip
"""Settings that runs of a pack have in common, beside the models themselves."""

MOST_PACKS, MOST_MOVES, LEAST_GAIN = 8, 40, 0.005
"""How many packs are balanced, in how many moves, and the share that a move has to save."""


def pack_key(config: RunConfig, resolved: Resolved) -> str:
    """Equal for runs that can share a base model in memory."""
    values = [resolved.acting[key] for key in SHARED]
    identities = resolved.identities
    models = [identities["base_model"], identities.get("vae", ""), identities.get("base_weights", "")]
    train = resolved.train
    return repr([*models, *values, train.gradient_checkpointing, train.attention, config.device])


def make_packs(
    names: Sequence[str],
    key_of: Callable[[str], str],
    size_of: Callable[[str], float],
    *,
    pack_size: int,
    workers: int,
) -> list[list[str]]:
    """Divide runs into packs of at most `pack_size`, longest pack first; the same input gives the same packs.

    Runs of similar length share a pack, so that its slots empty together. Packs are made smaller where
    otherwise some workers would have one pack more than others.

    Args:
        names: The runs to do.
        key_of: Only runs of equal key may share a pack.
        size_of: The work of a run, in samples.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda item: (-size_of(item), item)):
        groups.setdefault(key_of(name), []).append(name)
    counts = {key: -(-len(group) // pack_size) for key, group in groups.items()}
    while sum(counts.values()) % workers:
        divisible = [key for key, group in groups.items() if counts[key] < len(group)]
        if not divisible:
            break
        # The group with the most work per pack is divided further.
        counts[max(divisible, key=lambda key: (sum(map(size_of, groups[key])) / counts[key], key))] += 1
    packs = [pack for key, group in groups.items() for pack in _cut(group, counts[key])]
    return sorted(packs, key=lambda pack: (-sum(map(size_of, pack)), pack))


def _cut(group: list[str], count: int) -> list[list[str]]:
    """Neighbours in length, in packs whose sizes differ by one at most."""
    size, larger = divmod(len(group), count)
    packs, start = [], 0
    for number in range(count):
        end = start + size + (number < larger)
        packs.append(group[start:end])
        start = end
    return packs


def balanced(
    packs: Sequence[Sequence[str]],
    key_of: Callable[[str], str],
    cost_of: Callable[[Sequence[str]], float],
    *,
    pack_size: int,
    workers: int,
) -> list[list[str]]:
    """Packs among which runs were moved as long as all workers are done sooner for it, dearest pack first.

    The last worker's pack gives a run to another one of its key, or changes one for another. The same input
    gives the same packs; those of many rows stay as they are.

    Args:
        cost_of: What a pack takes, in whatever unit.
    """
    found = [list(pack) for pack in packs]
    if workers < 2 or not 1 < len(found) <= MOST_PACKS:
        return found
    costs: dict[tuple[str, ...], float] = {}

    def cost(pack: Sequence[str]) -> float:
        key = tuple(sorted(pack))
        if key not in costs:
            costs[key] = cost_of(key)
        return costs[key]

    def whole(some: Sequence[Sequence[str]]) -> float:
        return makespan(sorted((cost(pack) for pack in some), reverse=True), workers)

    best = whole(found)
    for _ in range(MOST_MOVES):
        moves = [move for move in _moves(found, key_of, pack_size) if whole(move) < best * (1 - LEAST_GAIN)]
        if not moves:
            break
        found = min(moves, key=whole)
        best = whole(found)
    return sorted(([*pack] for pack in found), key=lambda pair: (-cost(pair), pair))


def _moves(
    packs: Sequence[Sequence[str]], key_of: Callable[[str], str], pack_size: int
) -> Iterator[list[list[str]]]:
    """The packs with one run in another pack, or with two runs in each other's place."""
    for one, other in permutations(range(len(packs)), 2):
        if key_of(packs[one][0]) != key_of(packs[other][0]):
            continue
        for name in packs[one]:
            rest = [item for item in packs[one] if item != name]
            if rest and len(packs[other]) < pack_size:
                yield _with(packs, {one: rest, other: [*packs[other], name]})
            for against in packs[other] if one < other else ():
                left = [item for item in packs[other] if item != against]
                yield _with(packs, {one: [*rest, against], other: [*left, name]})


def _with(packs: Sequence[Sequence[str]], changed: dict[int, list[str]]) -> list[list[str]]:
    return [changed.get(number, list(pack)) for number, pack in enumerate(packs)]


def packs_of(
    rows: Sequence[PlannedRun], base: RunConfig, folder: SweepFolder, device: Device
) -> list[list[str]]:
    """The packs of a plan's rows that are to be trained, longest first; the rows are told theirs."""
    waiting = {row.name: row for row in rows if row.to_do and not row.follows}
    keys = {
        # Runs that only need previews would hold slots that others could train in.
        row.name: pack_key(row.config, row.resolved) + str(row.status == "previews")
        for row in rows
    }
    size = pack_size(
        base.engine.pack_size, [row.resolved for row in waiting.values()], device.timings, device.memory
    )
    kept = [
        pack
        for pack in _earlier_packs(folder, waiting)
        if len(pack) <= size and len({keys[n] for n in pack}) == 1
    ]
    placed = {name for pack in kept for name in pack}
    new = make_packs(
        [name for name in waiting if name not in placed],
        keys.__getitem__,
        lambda name: float(waiting[name].samples),
        pack_size=size,
        workers=device.workers,
    )
    if not kept:
        paces = paces_of(list(waiting.values()), device.timings) if device.workers > 1 else {}

        def cost_of(pack: Sequence[str]) -> float:
            return training_seconds([waiting[name] for name in pack], [paces[name] for name in pack])[0]

        new = balanced(new, keys.__getitem__, cost_of, pack_size=size, workers=device.workers)
    packs = [*kept, *new]
    if kept:
        packs.sort(key=lambda pack: -sum(waiting[name].samples for name in pack))
    for number, pack in enumerate(packs):
        for name in pack:
            waiting[name].pack = number
    for row in rows:
        if row.follows:
            row.pack = waiting[row.prefix_of].pack
    return packs


def _earlier_packs(folder: SweepFolder, waiting: dict[str, PlannedRun]) -> list[list[str]]:
    """The packs of the sweep's last start, with the rows that still have to be done."""
    packs = read_plan(folder)["packs"]
    left = [[name for name in pack if name in waiting] for pack in packs]
    return [pack for pack in left if pack]
