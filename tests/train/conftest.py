"""A tiny base model, a few images, and packs of runs on them, in float64: rounding cannot hide errors."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lora_lab.config import RunConfig, compose
from lora_lab.networks.pack import Pack
from lora_lab.run.prepare import Caches, Prepared, on_base, prepare
from lora_lab.train import PackTrainer, Record, Runner
from tests import tiny

Weights = dict[str, torch.Tensor]

ROWS = {
    "adamw": ["optimizer=adamw", "optimizer.learning_rate=1e-3"],
    "lion": ["optimizer=lion", "network.network_dim=4", "train.train_batch_size=2"],
    "adafactor": ["optimizer=adafactor", "network.network_dim=8"],
    "locon": ["optimizer=prodigy", "network=locon", "network.network_dim=6", "network.conv_dim=3",
              "network.rank_dropout=0.2"],
    "unet only": ["network.train_text_encoder=false", "optimizer=sgdnesterov"],
    "accumulated": ["train.gradient_accumulation_steps=2", "network.network_dropout=0.3",
                    "base_model.clip_skip=2", "network.scale_weight_norms=0.01"],
    "longer": ["train.max_train_epochs=3", "base_model.max_token_length=150", "loss.min_snr_gamma=5",
               "network.module_dropout=0.2"],
    "offset": ["loss.noise_offset=0.1", "loss.loss_type=huber", "dataset.flip_aug=true", "train.seed=5"],
}  # fmt: skip
"""Runs that differ in everything that a pack must keep apart."""


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images in two aspect-ratio buckets, two repeats."""
    root = tmp_path_factory.mktemp("images")
    folder = root / "2_zz girl"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        height = 64 if number < 3 else 96
        pixels = rng.integers(0, 255, (height, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"zz, tag{number}, smile, hat")
    return root


class Bench:
    """Trains named rows on one tiny base model."""

    def __init__(self, images: Path, cache: Path, dtype: torch.dtype) -> None:
        self.base = tiny.base("sd1", dtype=dtype)
        self._common = [
            "base_model=sd15",
            "base_model.path=unused",
            f"dataset.path={images}",
            f"cache={cache}",
            "dataset.resolution='64'",
            "dataset.min_bucket_reso=64",
            "dataset.max_bucket_reso=128",
            "dataset.bucket_reso_steps=8",
            "dataset.shuffle_caption=true",
            "train.max_train_epochs=2",
            "preview=off",
        ]

    def config(self, name: str, extra: Sequence[str] = ()) -> RunConfig:
        """The config of a row of `ROWS`."""
        config = compose([*self._common, *ROWS[name], *extra])
        config.name = name
        return config

    def prepared(self, names: Sequence[str], extra: Sequence[str] = ()) -> list[Prepared]:
        """The rows, ready for a pack."""
        return [prepare(on_base(self.config(name, extra), self.base), Caches(self.base)) for name in names]

    def pack(self, prepared: Sequence[Prepared]) -> Pack:
        """A pack for them, attached."""
        specs = [item.job.adapter for item in prepared]
        dtype = self.base.dtype
        pack = Pack(
            self.base.unet,
            self.base.text_encoders,
            self.base.family,
            specs,
            compute_dtype=dtype,
            master_dtype=dtype,
        )
        pack.attach()
        for item in prepared:
            if item.texts:
                item.texts.pack = pack
        return pack

    def train(
        self,
        names: Sequence[str],
        extra: Sequence[str] = (),
        *,
        states: dict[str, dict] | None = None,
        until: Callable[[Runner], bool] = lambda runner: runner.finished,
    ) -> tuple[dict[str, Runner], dict[str, Weights], list[Record]]:
        """Train rows in one pack, each until `until`; returns runners, weights and records."""
        prepared = self.prepared(names, extra)
        pack = self.pack(prepared)
        trainer = PackTrainer(self.base, pack)
        runners = {}
        for slot, item in enumerate(prepared):
            runner = Runner(item.job, slot, pack, item.source)
            if states:
                runner.load_state(states[item.job.name])
            runners[item.job.name] = runner
            trainer.add(runner)
        weights, records, kept = {}, [], {}
        while trainer.active:
            records += trainer.step()
            for runner in list(trainer.active):
                ended = any(r.ended for r in records if r.run == runner.job.name)
                if not runner._waiting and (until(runner) or ended):
                    weights[runner.job.name] = runner.weights()
                    kept[runner.job.name] = runner.state()
                    trainer.remove(runner)
        pack.detach()
        self.states = kept
        return runners, weights, records


@pytest.fixture(scope="session")
def bench(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A bench in float64."""
    return Bench(images, tmp_path_factory.mktemp("cache"), torch.float64)
