"""The training loop over a pack: one forward and backward pass for the next micro-batch of every run.

Shapes: B samples of all runs together, sorted by slot; C latent channels; h x w latent pixels.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lora_lab.config.schema import LossConfig
from lora_lab.losses.loss import per_sample_loss
from lora_lab.models import BaseModel, TextStates, encode_captions, predict
from lora_lab.models.text import chunks_of
from lora_lab.networks.pack import Pack
from lora_lab.optim.build import all_effective_lrs
from lora_lab.optim.together import step_together
from lora_lab.train.runner import Runner
from lora_lab.train.source import Batch
from lora_lab.train.validation import Validation

Pair = tuple[Runner, Batch]


@dataclass(frozen=True)
class Record:
    """One update of one run. `epoch` counts from 1; `loss` is the mean over the update's samples.

    `samples` counts all draws so far, `reg_samples` those of regularisation images among them.

    `learning_rates` are those really used, by part. `key_norm` is the layers' mean weight norm where
    `scale_weight_norms` is on. `validation` is the validation loss by timestep, `validation_loss` its mean,
    where it was measured after this update. `seconds` is the run's share of the pack's time, by samples;
    `skipped` marks an update left out because fp16 gradients overflowed. `ended` is 'diverged' or 'failed'
    when the run has to stop, and `reason` says why.
    """

    run: str
    step: int
    epoch: int
    samples: int
    loss: float
    learning_rates: dict[str, float]
    grad_norm: float
    key_norm: float | None
    seconds: float
    skipped: bool = False
    ended: str = ""
    reason: str = ""
    reg_samples: int = 0
    validation_loss: float | None = None
    validation: dict[int, float] | None = None


@dataclass(eq=False)
class _Update:
    """The update that a run is about to make: its loss, the norm of its gradients, and how it went."""

    runner: Runner
    loss: float
    norm: float
    key_norm: float | None = None
    ended: str = ""
    reason: str = ""

    @property
    def finite(self) -> bool:
        """Whether its gradients are finite; if not, the update is left out."""
        return self.norm - self.norm == 0

    def fail(self, error: Exception) -> None:
        """The optimizer broke: the run ends."""
        job, step = self.runner.job, self.runner.update + 1
        self.ended = "failed"
        self.reason = f"optimizer {job.optimizer} at step {step}: {_first_line(error)}"


class PackTrainer:
    """Trains the runs that are added to it, each until it is finished or diverges; the rest do not notice."""

    def __init__(self, base: BaseModel, pack: Pack) -> None:
        self.base = base
        self.pack = pack
        self.active: list[Runner] = []
        self._seconds: dict[str, float] = {}

    def add(self, runner: Runner) -> None:
        """Let a run take part from the next step on."""
        self.active = sorted([*self.active, runner], key=lambda item: item.slot)

    def remove(self, runner: Runner) -> None:
        """Take a run out and free its slot."""
        self.active = [item for item in self.active if item is not runner]
        self.pack.vacate(runner.slot)

    def step(self) -> list[Record]:
        """Give every run its next micro-batch; returns a record for each run that thereby made an update."""
        started = time.perf_counter()
        pairs = [(runner, runner.next_batch()) for runner in self.active]
        for group in _of_one_shape(pairs):
            self._forward_backward(group)
        due = [runner for runner in self.active if runner.update_due]
        norms, losses = self._read(due)
        updates = [self._judged(runner, norms[runner.slot], losses[runner.slot]) for runner in due]
        self._apply([update for update in updates if update.finite and not update.ended])
        self.pack.zero_grad(runner.slot for runner in due)
        rates = all_effective_lrs([runner.optimizer for runner in due])
        records = [self._concluded(*pair) for pair in zip(updates, rates, strict=True)]
        self.pack.sync()
        self._share_time(pairs, time.perf_counter() - started)
        return [self._timed(record) for record in records]

    @torch.no_grad()
    def validate(self, runner: Runner, validation: Validation) -> dict[int, float]:
        """The validation loss of one run as it stands, by timestep; training does not notice.

        Every image counts the same. Schedule-free optimizers are measured with the weights meant for use.
        """
        found: dict[int, list[float]] = {timestep: [] for timestep in validation.timesteps}
        runner.rest()
        try:
            self.pack.new_draw({})
            for batch in validation.batches():
                pred_BChw = self._predict([(runner, batch)])
                loss_B = per_sample_loss(
                    pred_BChw, batch.target_BChw, batch.times_B, LossConfig(), validation.process
                )
                for timestep, loss in zip(batch.times_B.tolist(), loss_B.tolist(), strict=True):
                    found[round(timestep)].append(loss)
        finally:
            runner.go_on()
        return {timestep: math.fsum(losses) / len(losses) for timestep, losses in found.items()}

    def _predict(self, group: Sequence[Pair]) -> Tensor:
        """The model's answers for the batches of a group, each through its run's adapter."""
        text = self._text(group)
        slots = [runner.slot for runner, batch in group for _ in batch.captions]
        self.pack.route(slots, parts=("unet",))
        noisy_BChw = torch.cat([batch.noisy_BChw for _, batch in group])
        times_B = torch.cat([batch.times_B for _, batch in group])
        sizes_B6 = torch.cat([batch.sizes_B6 for _, batch in group])
        return predict(self.base, noisy_BChw.to(self.base.dtype), times_B, text, sizes_B6).float()

    def _forward_backward(self, group: Sequence[Pair]) -> None:
        self.pack.new_draw({runner.slot: runner.dropout_seed for runner, _ in group})
        pred_BChw = self._predict(group)
        total = torch.zeros((), device=pred_BChw.device)
        for (runner, batch), own_BChw in zip(
            group, pred_BChw.split([len(b.captions) for _, b in group]), strict=True
        ):
            loss_B = per_sample_loss(
                own_BChw,
                batch.target_BChw,
                batch.times_B,
                runner.job.loss,
                runner.source.process,
                batch.mask_B1hw,
            )
            loss = (loss_B * batch.weights_B).mean()
            runner.losses.append(loss.detach())
            # The sum gives each run's gradient a factor of its own; a NaN in one loss stays in its own slice.
            total = total + loss * (runner.scale.factor / runner.job.gradient_accumulation_steps)
        total.backward()
        self.pack.collect_grads()

    def _text(self, group: Sequence[Pair]) -> TextStates:
        """Text states in the order of the group: through the adapters where they are trained, else cached."""
        trained = [runner.job.trains_text_encoder for runner, _ in group]
        states: list[TextStates | None]
        if any(trained):
            learning = [pair for pair, yes in zip(group, trained, strict=True) if yes]
            captions = [caption for _, batch in learning for caption in batch.captions]
            skips = [runner.job.clip_skip for runner, batch in learning for _ in batch.captions]
            length = learning[0][0].source.max_token_length
            # Every chunk of a long caption is a sample of its own to the text encoder.
            rows = [
                runner.slot
                for runner, batch in learning
                for _ in range(len(batch.captions) * chunks_of(length))
            ]
            self.pack.route(rows, parts=self.base.spec.text_parts)
            read = [runner.job.weighted_captions for runner, batch in learning for _ in batch.captions]
            whole = encode_captions(self.base, captions, skips, length, read)
            parts = iter(_split(whole, [len(batch.captions) for _, batch in learning]))
            states = [
                next(parts) if yes else batch.text for (_, batch), yes in zip(group, trained, strict=True)
            ]
        else:
            states = [batch.text for _, batch in group]
        return _join(states)

    def _read(self, due: Sequence[Runner]) -> tuple[dict[int, float], dict[int, float]]:
        """Gradient norms and losses of the runs whose update is due, in one transfer from the device."""
        if not due:
            return {}, {}
        slots = [runner.slot for runner in due]
        norms = self.pack.parameters.grad_norms()[slots]
        losses = torch.stack([torch.stack(runner.losses).mean() for runner in due])
        numbers = torch.stack([norms.float(), losses.float()]).tolist()
        return dict(zip(slots, numbers[0], strict=True)), dict(zip(slots, numbers[1], strict=True))

    def _judged(self, runner: Runner, scaled_norm: float, loss: float) -> _Update:
        """What an update is to be, from its loss and the norm of its gradients."""
        norm = scaled_norm / runner.scale.factor
        update = _Update(runner, loss, norm)
        if loss - loss != 0:
            step = runner.update + 1
            update.ended, update.reason = "diverged", f"the loss is not finite ({loss}) at step {step}"
        return update

    def _apply(self, updates: Sequence[_Update]) -> None:
        """Unscale, clip, step and cap the weight norms; runs whose optimizers can do so step together."""
        self._scale_grads(updates)
        joined = [update for update in updates if update.runner.joins]
        joined = joined if len(joined) > 1 else []
        for update in updates:
            update.runner.set_learning_rate()
            if update not in joined:
                self._guarded([update], update.runner.optimizer.step)
        if joined:
            self._guarded(joined, partial(_step_joined, joined))
        for update in updates:
            if not update.ended and update.runner.job.scale_weight_norms:
                self._guarded([update], partial(self._cap_norms, update))

    def _scale_grads(self, updates: Sequence[_Update]) -> None:
        grads, factors = self.pack.parameters.grads, [_grad_factor(update) for update in updates]
        slots = [update.runner.slot for update in updates]
        if any(factor != 1.0 for factor in factors):
            rows = grads.new_tensor(factors)[:, None] if len(factors) > 1 else factors[0]
            if slots == list(range(slots[0], slots[-1] + 1)):
                grads[slots[0] : slots[-1] + 1].mul_(rows)
            else:
                for slot, factor in zip(slots, factors, strict=True):
                    grads[slot].mul_(factor)

    def _cap_norms(self, update: _Update) -> None:
        runner = update.runner
        update.key_norm = self.pack.max_norm(runner.slot, runner.job.scale_weight_norms).mean

    @staticmethod
    def _guarded(updates: Sequence[_Update], work: Callable[[], object]) -> None:
        """An optimizer that breaks must not cost the runs that are not in it theirs."""
        try:
            work()
        except Exception as error:
            for update in updates:
                update.fail(error)

    @staticmethod
    def _concluded(update: _Update, rates: dict[str, float]) -> Record:
        """Count the update, and say what it was."""
        runner, job, step = update.runner, update.runner.job, update.runner.update + 1
        if job.loss_scaling:
            runner.scale.update(update.finite)
        if not update.finite and not update.ended and runner.scale.hopeless:
            update.ended, update.reason = "diverged", f"the gradients are not finite at step {step}"
        runner.advance()
        return Record(
            job.name,
            step,
            runner.epoch,
            runner.samples,
            update.loss,
            rates,
            update.norm,
            update.key_norm,
            0.0,
            not update.finite,
            update.ended,
            update.reason,
            runner.reg_samples,
        )

    def _share_time(self, pairs: Sequence[Pair], seconds: float) -> None:
        samples = sum(len(batch.captions) for _, batch in pairs)
        for runner, batch in pairs:
            name = runner.job.name
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds * len(batch.captions) / samples

    def _timed(self, record: Record) -> Record:
        return Record(**{**record.__dict__, "seconds": self._seconds.pop(record.run)})


def _step_joined(updates: Sequence[_Update]) -> None:
    """One step of several runs' optimizers; one that breaks ends its own run."""
    failed = step_together([update.runner.optimizer for update in updates])
    for update in updates:
        if error := failed.get(update.runner.optimizer):
            update.fail(error)


def _grad_factor(update: _Update) -> float:
    """What the gradients are multiplied by: unscaling, and clipping to `max_grad_norm`."""
    runner, limit = update.runner, update.runner.job.max_grad_norm
    clip = limit / (update.norm + 1e-6) if limit else 1.0
    return min(clip, 1.0) / runner.scale.factor


def _of_one_shape(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The micro-batches that can go through the U-Net together: one latent shape and one text length."""
    groups: dict[tuple[object, ...], list[Pair]] = {}
    for pair in pairs:
        runner, batch = pair
        key = (*batch.noisy_BChw.shape[1:], runner.source.max_token_length)
        groups.setdefault(key, []).append(pair)
    return list(groups.values())


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


def _split(states: TextStates, counts: Sequence[int]) -> list[TextStates]:
    hidden = states.hidden.split(list(counts))
    pooled = states.pooled.split(list(counts)) if states.pooled is not None else [None] * len(counts)
    return [TextStates(h, p) for h, p in zip(hidden, pooled, strict=True)]


def _join(states: Sequence[TextStates | None]) -> TextStates:
    known = [state for state in states if state is not None]
    assert len(known) == len(states), "a batch of a run that trains no text encoder carries its text states"
    pooled: list[Tensor] = [state.pooled for state in known if state.pooled is not None]
    return TextStates(torch.cat([state.hidden for state in known]), torch.cat(pooled) if pooled else None)
