"""How many batches and updates a run has, counted per bucket.

`batches per epoch = sum over buckets of ceil(n x repeats / batch)`; `updates per epoch = ceil(batches /
accumulation)`, since an accumulation never crosses the end of an epoch (sd-scripts, Accelerate). The kohya
GUI divides totals instead and comes out lower where buckets leave partial batches."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lora_lab.errors import ConfigError


@dataclass(frozen=True)
class RunLength:
    """A run's length: `updates` in all, over `epochs` of which the last may be cut short."""

    updates: int
    epochs: int
    updates_per_epoch: int


def draws_per_bucket(buckets: Iterable[tuple[Hashable, int]]) -> dict[Hashable, int]:
    """Draws of one epoch per bucket, from each image's (bucket, repeats)."""
    draws: Counter[Hashable] = Counter()
    for bucket, repeats in buckets:
        draws[bucket] += repeats
    return dict(draws)


def batches_per_epoch(draws: Mapping[Hashable, int], batch_size: int) -> int:
    """Batches of one epoch; the last one of each bucket may be smaller."""
    return sum(-(-count // batch_size) for count in draws.values())


def updates_per_epoch(
    counts: Mapping[Hashable, int], repeats: int, batch_size: int, gradient_accumulation_steps: int = 1
) -> int:
    """Optimizer updates of one epoch, from images per bucket that all have the same `repeats`."""
    draws = {bucket: count * repeats for bucket, count in counts.items()}
    return -(-batches_per_epoch(draws, batch_size) // gradient_accumulation_steps)


def run_length(
    batches: int,
    gradient_accumulation_steps: int = 1,
    *,
    max_train_epochs: int | None = None,
    max_train_steps: int | None = None,
) -> RunLength:
    """The length of a run of `batches` per epoch; where both are given, steps are a cap on the epochs.

    sd-scripts lets epochs override steps; with one of the two given there is no difference.

    Raises:
        ConfigError: Neither is given, or there is nothing to train on.
    """
    if batches < 1:
        raise ConfigError("an epoch has no batches: the dataset is empty")
    per_epoch = -(-batches // gradient_accumulation_steps)
    if max_train_epochs is not None:
        updates = max_train_epochs * per_epoch
        updates = updates if max_train_steps is None else min(updates, max_train_steps)
    elif max_train_steps is not None:
        updates = max_train_steps
    else:
        raise ConfigError("set train.max_train_epochs or train.max_train_steps")
    return RunLength(updates, -(-updates // per_epoch), per_epoch)


def regularisation_repeats(repeats: Sequence[int], train_draws: int) -> list[int]:
    """Repeats of regularisation images so that they match `train_draws`: 0 = not used in this run.

    Images are taken in order with their own repeats until there are enough; when they run out, each gets
    one more, round after round (sd-scripts' rule). The sum exceeds `train_draws` only by what the last
    image brings.

    Raises:
        ConfigError: A repeat count below 1.
    """
    if any(count < 1 for count in repeats):
        raise ConfigError(f"repeats of regularisation images must be at least 1, got {min(repeats)}")
    result = [0] * len(repeats)
    total = 0
    for index, count in enumerate(repeats):
        if total >= train_draws:
            return result
        result[index] = count
        total += count
    if not repeats or total >= train_draws:
        return result
    rounds, rest = divmod(train_draws - total, len(repeats))
    return [count + rounds + (1 if index < rest else 0) for index, count in enumerate(result)]
