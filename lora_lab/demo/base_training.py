"""What both training stages share: processes that average gradients, a clock, a schedule, and safe files."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Peers:
    """The processes of one training; with a single process every method is local."""

    def __init__(self, rank: int, world: int, rendezvous: Path) -> None:
        self.rank, self.world = rank, world
        self._parent = os.getppid()
        if world > 1:
            dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world)

    def average(self, parameters: list[nn.Parameter], extra: list[float]) -> list[float]:
        """Replaces gradients by their mean over the processes; returns the mean of `extra`, equal in all.

        Raises SystemExit when the process that started this one is gone: nobody would stop it any more.
        """
        if os.getppid() != self._parent:
            raise SystemExit("the starting process ended")
        if self.world == 1:
            return extra
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([*(g.reshape(-1) for g in grads), torch.tensor(extra)])
        dist.all_reduce(flat)
        flat /= self.world
        pieces = flat[: -len(extra)].split([g.numel() for g in grads])
        for grad, piece in zip(grads, pieces, strict=True):
            grad.copy_(piece.view_as(grad))
        return [float(x) for x in flat[-len(extra) :]]


@dataclass
class Clock:
    """Seconds trained so far, over all resumed runs."""

    before: float
    started: float

    @classmethod
    def resume(cls, trained_seconds: float) -> Clock:
        """A clock that goes on from the seconds of earlier runs."""
        return cls(trained_seconds, time.monotonic())

    def now(self) -> float:
        """Seconds trained by now, earlier runs included."""
        return self.before + time.monotonic() - self.started


@dataclass(frozen=True)
class Schedule:
    """Warm-up by steps, a constant rate, then a linear fall to zero over the `decay` seconds before `end`.

    With `end` infinite the training is stable: it can be resumed and go on for as long as one likes.
    """

    peak: float
    warmup_steps: int
    end: float
    decay: float

    def rate(self, step: int, trained_seconds: float) -> float:
        """Learning rate of a step, counted from 0, at `trained_seconds`."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        left = min(1.0, max(0.0, (self.end - trained_seconds) / self.decay)) if self.decay else 1.0
        return self.peak * warm * left

    def over(self, trained_seconds: float) -> bool:
        """Whether the training has ended."""
        return trained_seconds >= self.end


class Ema:
    """A running mean of weights; its decay grows with the step so that early weights are forgotten soon."""

    def __init__(self, modules: list[nn.Module], decay: float) -> None:
        self.decay = decay
        self.live = [p for m in modules for p in m.state_dict().values() if p.is_floating_point()]
        self.mean = [p.clone() for p in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the live weights into the mean, after step `step`, counted from 0."""
        weight = 1.0 - min(self.decay, (step + 1) / (step + 10))
        torch._foreach_lerp_(self.mean, self.live, weight)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the live weights and their mean; twice is nothing."""
        for live, mean in zip(self.live, self.mean, strict=True):
            kept = live.clone()
            live.copy_(mean)
            mean.copy_(kept)

    def state(self) -> list[Tensor]:
        """The means, in the order of the modules' state dicts; not copied."""
        return self.mean

    @torch.no_grad()
    def load(self, state: list[Tensor]) -> None:
        """Take the means of `state()` again."""
        for mean, saved in zip(self.mean, state, strict=True):
            mean.copy_(saved)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Writes beside the file, then renames: a kill at any moment leaves the old state or the new one."""
    beside = path.with_suffix(".tmp")
    torch.save(state, beside)
    os.replace(beside, path)


def load_state(path: Path) -> dict[str, Any] | None:
    """A stored training state, or None where there is none yet."""
    return torch.load(path, weights_only=True) if path.exists() else None


def log_line(path: Path, record: dict[str, float]) -> None:
    """Appends one JSON line and prints it."""
    line = json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in record.items()})
    with path.open("a") as file:
        file.write(line + "\n")
    print(line, flush=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate
