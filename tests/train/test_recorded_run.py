"""A recorded training run of the reference peer, step by step, on the full-size model (golden/training).

The peer trained five updates of AdamW on U-Net and text encoder; latents, noise and timesteps of each were
recorded. The same batches go through our loop, which has to find the same losses, gradients and weights.
"""

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lora_lab.config.schema import LossConfig, LrSchedulerConfig
from lora_lab.losses.process import NoiseProcess
from lora_lab.models import BaseModel, load
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec
from lora_lab.train import Batch, Job, PackTrainer, Record, Runner
from tests.models import recipe

pytestmark = pytest.mark.slow
RUN: dict[str, Any] = json.loads((recipe.GOLDEN / "runA.json").read_text())
BATCHES = RUN["micro_batches"]
SPEC = AdapterSpec(network_dim=8, network_alpha=4)
JOB = Job(
    name="recorded",
    seed=0,
    adapter=SPEC,
    total_updates=len(BATCHES),
    updates_per_epoch=4,
    gradient_accumulation_steps=1,
    optimizer="adamw",
    optimizer_args={"weight_decay": 0.01},
    unet_lr=1e-3,
    text_encoder_lr=5e-4,
    loraplus_lr_ratio=1.0,
    schedule=LrSchedulerConfig(name="constant"),
    loss=LossConfig(),
    clip_skip=1,
    max_grad_norm=1.0,
    scale_weight_norms=0.0,
    loss_scaling=False,
)


@dataclass(frozen=True)
class Recorded:
    """The recorded batches in the place of a `Source`."""

    tensors: dict[str, Tensor]
    process: NoiseProcess
    max_token_length: int = 75
    items: tuple[Any, ...] = (SimpleNamespace(is_reg=False),)

    def micro_batches(self, update: int, accumulation: int) -> list[Any]:
        """One draw that says which batch it is."""
        draws = [SimpleNamespace(sample_index=update, image=0)] * len(BATCHES[update]["captions"])
        return [SimpleNamespace(draws=draws, epoch=1)]

    def batch(self, draws: Any, update: int) -> Batch:
        """The batch as the peer saw it."""
        own = {key: self.tensors[f"m{update}.{key}"] for key in ("noisy", "noise", "timesteps")}
        captions = BATCHES[update]["captions"]
        weights = torch.tensor(BATCHES[update]["loss_weights"])
        return Batch(
            own["noisy"],
            own["noise"],
            own["timesteps"].long(),
            torch.zeros(len(captions), 6),
            weights,
            captions,
            None,
        )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseModel]:
    place = recipe.write_folder(tmp_path_factory.mktemp("recorded") / "sd15")
    yield load(place)
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def trained(base: BaseModel) -> tuple[list[Record], dict[str, Tensor]]:
    """The records of all updates, and the LoRA in the end, in the second of three slots."""
    pack = Pack(base.unet, base.text_encoders, base.family, [SPEC], slots=3).attach()
    source = Recorded(load_file(recipe.GOLDEN / "runA.safetensors"), base.process())
    runner = Runner(JOB, 1, pack, source)  # type: ignore[arg-type]
    pack.load(1, initial(pack.export(1)))
    trainer = PackTrainer(base, pack)
    trainer.add(runner)
    records = [record for _ in BATCHES for record in trainer.step()]
    pack.detach()
    return records, runner.weights()


def initial(like: dict[str, Tensor]) -> dict[str, Tensor]:
    """The recorded run's first LoRA: downs by the recipe, ups zero."""
    made = {}
    for key, tensor in like.items():
        made[key] = tensor.clone()
        if "lora_down" in key:
            bound = math.prod(tensor.shape[1:]) ** -0.5
            made[key] = recipe.uniform(f"lora/{key}", tuple(tensor.shape), bound)
    return made


def test_every_loss_is_the_recorded_one(trained: tuple[list[Record], dict[str, Tensor]]) -> None:
    assert [record.loss for record in trained[0]] == pytest.approx([b["loss"] for b in BATCHES], rel=1e-5)


def test_every_gradient_norm_is_the_recorded_one(trained: tuple[list[Record], dict[str, Tensor]]) -> None:
    expected = [batch["grad_norm_total"] for batch in BATCHES]
    assert [record.grad_norm for record in trained[0]] == pytest.approx(expected, rel=1e-4)


def test_weights_end_as_recorded(trained: tuple[list[Record], dict[str, Tensor]]) -> None:
    """Some modules in full, and the norm of every module's weight difference."""
    _, weights = trained
    for key, tensor in load_file(recipe.GOLDEN / "runA.safetensors").items():
        if key.startswith("final.") and "alpha" not in key:
            expected = torch.linalg.vector_norm(tensor)
            off = torch.linalg.vector_norm(weights[key.removeprefix("final.")].float() - tensor)
            assert off <= 2e-4 * expected, key
    assert len(RUN["modules"]) == 264
    for name, numbers in RUN["modules"].items():
        up, down = (weights[f"{name}.lora_{side}.weight"].float().flatten(1) for side in ("up", "down"))
        norm = torch.linalg.vector_norm(up @ down) * SPEC.network_alpha / SPEC.network_dim
        assert norm.item() == pytest.approx(numbers["delta_norm"], rel=1e-3), name
