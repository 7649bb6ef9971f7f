"""What saves memory, through whole runs: compressed base models, half-precision adapters, checkpointing."""

import pytest
import torch

from lora_lab.files import read_lines
from lora_lab.lora_files.disk import read_lora
from lora_lab.run.training import Training
from lora_lab.store import RunFolder, read_record
from tests.run.bench import Bench

OWN = ("preview.seeds=[]", "train.save_precision=fp32", "train.max_train_epochs=1")


def losses(folder: RunFolder) -> list[float]:
    return [row["loss"] for row in read_lines(folder.steps_file)]


def done(bench: Bench, name: str, *extra: str) -> RunFolder:
    folder = bench.write(name, *OWN, *extra)
    bench.work([folder])
    record = read_record(folder)
    assert record.status == "done", record.reason
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("key", ["base_model.fp8_base", "base_model.nf4_base"])
def test_a_compressed_base_model_trains_nearly_the_same(bench: Bench, key: str) -> None:
    plain, small = done(bench, "plain"), done(bench, "small", f"{key}=true")
    assert losses(small) == pytest.approx(losses(plain), rel=0.2)
    assert losses(small) != losses(plain)
    trained = read_lora(small.checkpoint("000001"))[0]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in trained.values())
    assert any(float(t.abs().max()) > 0 for name, t in trained.items() if "lora_up" in name)


def test_a_pack_on_a_compressed_base_model_equals_runs_alone(bench: Bench) -> None:
    own = (*OWN, "base_model.fp8_base=true")
    folders = [bench.write("a", *own), bench.write("b", *own, "network.train_text_encoder=false")]
    bench.work(folders)
    for folder, extra in zip(folders, ((), ("network.train_text_encoder=false",)), strict=True):
        alone = done(bench, f"{folder.name} alone", "base_model.fp8_base=true", *extra)
        assert losses(alone) == pytest.approx(losses(folder), rel=1e-4)


def test_full_bf16_keeps_the_adapter_and_the_optimizer_in_bf16(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    take = Training._take

    def spying(self, task, record):
        optimizer = task.runner.optimizer
        states = [v for state in optimizer.state.values() for v in state.values() if torch.is_tensor(v)]
        seen[task.name] = (
            {p.dtype for group in optimizer.param_groups for p in group["params"]},
            {value.dtype for value in states if value.dim()},
        )
        return take(self, task, record)

    monkeypatch.setattr(Training, "_take", spying)
    folder = done(bench, "full", "train.mixed_precision=bf16", "train.full_bf16=true")
    half = done(bench, "half", "train.mixed_precision=bf16")
    assert seen["full"] == ({torch.bfloat16}, {torch.bfloat16})
    assert seen["half"] == ({torch.float32}, {torch.float32})
    assert losses(folder) == pytest.approx(losses(half), rel=0.1)


def test_gradient_checkpointing_changes_no_loss(bench: Bench) -> None:
    one, other = done(bench, "plain"), done(bench, "saving", "train.gradient_checkpointing=true")
    assert losses(other) == pytest.approx(losses(one), rel=1e-6)
