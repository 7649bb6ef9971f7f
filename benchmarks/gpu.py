"""Everything that only a card can answer, in one go within 9 minutes: speed, use of the card, parity.

Base models have the public sizes and random weights: nothing is downloaded. The rival is sd-scripts' own LoRA
network where `--peer` names its folder, else one written in its style; either is trained as sd-scripts does:
autocast, fp32 weights in small modules, gradients clipped, one optimizer call a tensor (`one by one`) or
torch's fused AdamW, and the loss read at every step.

    python benchmarks/gpu.py --device cuda --peer ../sd-scripts --append
    python benchmarks/gpu.py --device cpu --tiny --steps 1           # a rehearsal: all code, no meaning
"""

import argparse
import copy
import gc
import importlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import models
import operations
import report
import torch
from torch import Tensor, nn
from transformers.optimization import Adafactor

from lora_lab.errors import ConfigError
from lora_lab.models import BaseModel, set_gradient_checkpointing
from lora_lab.networks.spec import AdapterSpec
from lora_lab.networks.targets import find_targets
from lora_lab.optim.entries import ENTRIES

TFLOP_PER_SAMPLE = 1.98
"""SD 1.5 at 512 px with dim 128, forward and backward, counted."""
UNET_ONLY = ["network.train_text_encoder=false", "network.network_alpha=1"]
PARTS = ("sd15", "sdxl", "parity", "optimizers")


@dataclass(frozen=True)
class Case:
    """A base model with the sizes that it is measured at; `packs` are numbers of runs, 1 among them."""

    name: str
    family: str
    size: int
    dim: int
    packs: tuple[int, ...]
    checkpointing: bool


CASES = {
    "sd15": Case("SD 1.5, 512 px, dim 128", "sd1", 512, 128, (1, 4, 16), False),
    "sdxl": Case("SDXL, 1024 px, dim 32, checkpointing", "sdxl", 1024, 32, (1, 4), True),
}
Row = list[str]


class Clock:
    """The time that is left."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    @property
    def over(self) -> bool:
        """Whether nothing new should be begun."""
        return time.monotonic() > self._end


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure what was asked for, print one table; returns its rows."""
    given = _arguments(argv)
    device, clock = torch.device(given.device), Clock(given.minutes)
    rows: list[Row] = []
    for part in given.parts:
        if clock.over:
            rows.append([part, "", "not run: out of time", ""])
            continue
        try:
            measure = {"parity": _parity, "optimizers": _optimizers}.get(part, _speed)
            for row in measure(part, given, device, clock):
                print(" | ".join(row), flush=True)
                rows.append(row)
        except torch.OutOfMemoryError as error:
            rows.append([part, "", f"out of memory: {str(error).splitlines()[0]}", ""])
        _free(device)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else report.processor()
    report.finish(given, "On a card", card, ["what", "runs", "figure", "against"], rows)
    return rows


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--device", default="cuda", help="default: cuda")
    parser.add_argument("--peer", type=Path, help="folder of sd-scripts; without it, a network in its style")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, help="default: all")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each, default 20")
    parser.add_argument("--minutes", type=float, default=8.5, help="nothing is begun after them, default 8.5")
    parser.add_argument("--peak", type=float, default=989.0, help="the card's TFLOP/s in bf16, default 989")
    parser.add_argument("--tiny", action="store_true", help="rehearse: tiny widths, packs of at most 2")
    return parser.parse_args(argv)


def _base(family: str, given: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> BaseModel:
    torch.manual_seed(0)
    if given.tiny:
        return models.tiny_model(family, dtype, device)
    return models.random_model(family, device, dtype)


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


# -- speed ---------------------------------------------------------------------------------------------------


def _speed(part: str, given: argparse.Namespace, device: torch.device, clock: Clock) -> Iterator[Row]:
    """Samples a second of our packs, and of the rival."""
    case = CASES[part]
    base = _base(case.family, given, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    size, dim = (64, 4) if given.tiny else (case.size, case.dim)
    set_gradient_checkpointing(base, case.checkpointing)
    rates: dict[str, float] = {}
    for optimizer in ("adamw", "adafactor"):
        for runs in (min(runs, 2) if given.tiny else runs for runs in case.packs):
            name = f"{optimizer}, K = {runs}"
            if clock.over or name in rates:
                continue
            settings = [*UNET_ONLY, f"optimizer={optimizer}", f"network.network_dim={dim}"]
            with operations.training(base, runs, settings, size) as trainer:
                rates[name] = runs / _seconds(trainer.step, given.steps, device)
            yield [
                f"{case.name}, {optimizer}",
                str(runs),
                f"{rates[name]:.2f} samples/s",
                _use(part, rates[name], given),
            ]
            _free(device)
    for optimizer in ("fused AdamW", "AdamW one by one", "Adafactor"):
        if not clock.over:
            with rival(base, given.peer, dim, optimizer, size) as step:
                own = 1 / _seconds(step, given.steps, device)
            ratios = ", ".join(f"{name}: {rate / own:.1f}x" for name, rate in rates.items())
            yield [f"{case.name}, rival, {optimizer}", "1", f"{own:.2f} samples/s", ratios]
            _free(device)


def _use(part: str, rate: float, given: argparse.Namespace) -> str:
    """Model FLOPs utilisation, where the FLOPs of a sample are known."""
    return f"MFU {100 * rate * TFLOP_PER_SAMPLE / given.peak:.1f} %" if part == "sd15" else ""


def _seconds(step: Callable[[], object], steps: int, device: torch.device) -> float:
    """Seconds of a step: the mean of `steps` after three."""
    for _ in range(3):
        step()
    _wait(device)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return (time.perf_counter() - started) / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# -- the rival -----------------------------------------------------------------------------------------------


@contextmanager
def rival(
    base: BaseModel, peer: Path | None, dim: int, optimizer: str, size: int
) -> Iterator[Callable[[], float]]:
    """A training step of one run as sd-scripts makes it, on random latents; returns its loss."""
    device, dtype = base.device, base.dtype
    network = _peer_network(base, peer, dim) if peer else StyleNetwork(base, dim)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    chosen: Any = {
        "fused AdamW": lambda: torch.optim.AdamW(parameters, lr=1e-4, fused=True),
        "AdamW one by one": lambda: torch.optim.AdamW(parameters, lr=1e-4, foreach=False),
        "Adafactor": lambda: Adafactor(parameters, lr=1e-4, relative_step=False, scale_parameter=False),
    }[optimizer]()
    latents = torch.randn(1, base.latent_channels, size // base.latent_factor, size // base.latent_factor)
    config = base.unet.config
    text = torch.randn(1, 77, config.cross_attention_dim, device=device, dtype=dtype)
    conditions = None
    if base.spec.size_conditioning:
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        conditions = {
            "text_embeds": torch.randn(1, pooled, device=device, dtype=dtype),
            "time_ids": torch.full((1, 6), float(size), device=device),
        }

    def step() -> float:
        noise = torch.randn(latents.shape).to(device)
        times = torch.randint(0, 1000, (1,)).to(device)
        noisy = (latents.to(device) + noise).to(dtype)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype != torch.float32):
            answer = base.unet(
                noisy, times, encoder_hidden_states=text, added_cond_kwargs=conditions, return_dict=False
            )[0]
        loss = nn.functional.mse_loss(answer.float(), noise, reduction="none").mean([1, 2, 3]).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0, foreach=False)
        chosen.step()
        chosen.zero_grad(set_to_none=True)
        return loss.item()

    found = {name: module.__dict__.get("forward") for name, module in base.unet.named_modules()}
    network.attach()
    try:
        yield step
    finally:
        for name, module in base.unet.named_modules():
            module.__dict__.pop("forward", None)
            if found[name] is not None:
                module.__dict__["forward"] = found[name]


class StyleNetwork(nn.Module):
    """LoRA as sd-scripts writes it: two small fp32 modules beside every adapted one."""

    def __init__(self, base: BaseModel, dim: int) -> None:
        super().__init__()
        spec = AdapterSpec(dim, 1.0, train_text_encoder=False)
        self.targets = [target.module for target in find_targets(base.unet, [], base.family, spec)]
        self.scale = 1.0 / dim
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for module in self.targets:
            if isinstance(module, nn.Linear):
                down: nn.Module = nn.Linear(module.in_features, dim, bias=False)
                up: nn.Module = nn.Linear(dim, module.out_features, bias=False)
            else:
                down = nn.Conv2d(module.in_channels, dim, 1, bias=False)
                up = nn.Conv2d(dim, module.out_channels, 1, bias=False)
            self.downs.append(down)
            self.ups.append(up)
        self.to(base.device)

    def attach(self) -> None:
        """Add the small modules' answers to those of the adapted ones."""
        for module, down, up in zip(self.targets, self.downs, self.ups, strict=True):
            module.forward = self._added(module.forward, down, up)  # type: ignore[method-assign]

    def _added(self, original: Callable[[Tensor], Tensor], down: nn.Module, up: nn.Module) -> Any:
        return lambda x: original(x) + up(down(x)) * self.scale


def _peer_network(base: BaseModel, peer: Path, dim: int) -> Any:
    """sd-scripts' own network on our U-Net."""
    sys.path.insert(0, str(peer))
    try:
        lora = importlib.import_module("networks.lora")
    finally:
        sys.path.remove(str(peer))
    network = lora.create_network(1.0, dim, 1.0, base.vae, base.text_encoders[0], base.unet)
    network.attach = lambda: network.apply_to(base.text_encoders[0], base.unet, False, True)
    network.to(base.device)
    network.requires_grad_(True)
    return network


# -- parity --------------------------------------------------------------------------------------------------


def _parity(part: str, given: argparse.Namespace, device: torch.device, clock: Clock) -> Iterator[Row]:
    """Losses on the card in each precision, against those of the CPU in fp32; U-Net only, AdamW, 128 px."""
    steps, size = min(given.steps, 20), 64 if given.tiny else 128
    reference = _base("sd1", given, torch.device("cpu"), torch.float32)
    expected = _losses(_moved(reference, torch.device("cpu"), torch.float32), steps, size)
    for name in ("fp32", "bf16", "fp16"):
        if clock.over or (device.type == "cpu" and name == "fp16"):
            continue
        found = _losses(_moved(reference, device, models.DTYPES[name]), steps, size)
        worst = max(abs(one - other) / other for one, other in zip(found, expected, strict=True))
        against = "CPU, fp32" if all(map(math.isfinite, found)) else "NOT FINITE"
        yield [f"losses of {steps} steps in {name}", "1", f"largest difference {worst:.2e}", against]
        _free(device)


def _moved(base: BaseModel, device: torch.device, dtype: torch.dtype) -> BaseModel:
    """A copy with the same weights; the VAE stays in fp32."""
    unet, vae, encoders = copy.deepcopy((base.unet, base.vae, base.text_encoders))
    for network in (unet, *encoders):
        network.to(device, dtype)
    return replace(base, unet=unet, vae=vae.to(device), text_encoders=encoders)


def _losses(base: BaseModel, steps: int, size: int) -> list[float]:
    settings = [*UNET_ONLY, "network.network_dim=4", "optimizer.learning_rate=1e-3"]
    with operations.training(base, 1, settings, size) as trainer:
        return [trainer.step()[0].loss for _ in range(steps)]


def _optimizers(part: str, given: argparse.Namespace, device: torch.device, clock: Clock) -> Iterator[Row]:
    """Every optimizer on a tiny base: finite losses, and going on from a state as if never stopped."""
    base = models.tiny_model("sd1", torch.float32, device)
    for name in ENTRIES:
        if clock.over:
            return
        settings = [*UNET_ONLY, f"optimizer={name}"]
        try:
            losses, again = _resumed(base, settings)
        except (ConfigError, ImportError) as error:
            yield [f"optimizer {name}", "1", f"not run: {str(error).splitlines()[0]}", ""]
            continue
        off = max(abs(a - b) for a, b in zip(losses, again, strict=True))
        finite = "finite" if all(map(math.isfinite, losses)) else "NOT FINITE"
        yield [f"optimizer {name}", "1", finite, f"after resuming: {off:.1e}"]


def _resumed(base: BaseModel, settings: Sequence[str]) -> tuple[list[float], list[float]]:
    """Losses of steps 3 and 4, and the same after going on from the state of step 2."""
    with operations.training(base, 1, settings) as trainer:
        for _ in range(2):
            trainer.step()
        runner = trainer.active[0]
        state = runner.state()
        losses = [trainer.step()[0].loss for _ in range(2)]
        runner.load_state(state)
        return losses, [trainer.step()[0].loss for _ in range(2)]


if __name__ == "__main__":
    main()
