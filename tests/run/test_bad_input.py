"""What a user can get wrong, through the command line: one message, a known exit code, nothing started."""

import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lora_lab.__main__ import main
from lora_lab.engines import Pack, Report
from lora_lab.files import read_lines
from lora_lab.store import read_record
from lora_lab.store.table import rows
from tests import tiny
from tests.run.bench import Bench, write_images


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The command takes signals; pytest gets its own back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Trap:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.path, "executed")


def lora(folder: Path) -> str:
    file = folder / "a.safetensors"
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(2, 2)}, file)
    return f"base_model.path={file}"


def truncated(folder: Path) -> str:
    whole = next((tiny.folder() / "unet").glob("*.safetensors")).read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    return f"base_model.path={folder / 'cut.safetensors'}"


def trapped(folder: Path) -> str:
    (folder / "trap.ckpt").write_bytes(pickle.dumps({"state_dict": Trap(folder / "executed")}))
    return f"base_model.path={folder / 'trap.ckpt'}"


def no_images(folder: Path) -> str:
    (folder / "empty").mkdir()
    return f"dataset.path={folder / 'empty'}"


def strange_captions(folder: Path) -> str:
    images = write_images(folder / "strange", 2)
    (images / "1_zz girl" / "1.txt").write_bytes(b"\xff\xfe\xfd\x80\x81\xa0 z\xf8")
    return f"dataset.path={images}"


def broken_image(folder: Path) -> str:
    images = write_images(folder / "broken", 2)
    (images / "1_zz girl" / "1.png").write_text("<html>not found</html>")
    return f"dataset.path={images}"


def results_are_a_file(folder: Path) -> str:
    (folder / "taken").touch()
    return f"results={folder / 'taken'}"


CASES: dict[str, tuple[Callable[[Path], str], str]] = {
    "missing model": (lambda folder: f"base_model.path={folder}/gone.safetensors", "gone.safetensors"),
    "lora for a model": (lora, "LoRA"),
    "truncated model": (truncated, "truncated"),
    "pickle with code": (trapped, "trap.ckpt"),
    "no images": (no_images, "no images"),
    "no folder": (lambda folder: f"dataset.path={folder}/gone", "no such folder"),
    "strange captions": (strange_captions, "1.txt"),
    "broken image": (broken_image, "1.png"),
    "unknown key": (lambda _: "network.network_dimm=4", "network_dim"),
    "unknown metric": (
        lambda _: "metric.names=[clip]",
        "no such metric; did you mean clip_t?",
    ),
    "unknown optimizer": (lambda _: "optimizer.name=adamww", "adamw"),
    "results are a file": (results_are_a_file, "taken"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_one_message_and_nothing_starts(
    case: str,
    bench: Bench,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lora_lab.sweep.launch.make_engine", lambda _: pytest.fail("something was started"))
    make, says = CASES[case]
    wrong = make(tmp_path)
    others = [text for text in bench.common if text.partition("=")[0] != wrong.partition("=")[0]]
    assert main(["train", *others, wrong, "name=a", "sweep=sweep"]) == 2
    text = capsys.readouterr().err
    assert says in text and "Traceback" not in text and "unexpected" not in text
    assert text.count("lora-lab: ") == 1
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "results" / "sweep" / "a" / "run.json").exists()


class InThisProcess:
    """An engine that needs no processes, whose start takes seconds."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def run(self, packs: Sequence[Pack], report: Report) -> None:
        for pack in packs:
            self.bench.work(pack.runs)


@pytest.mark.slow
def test_a_sweep_goes_on_around_a_failing_row(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_lab.sweep.launch.make_engine", lambda _: InThisProcess(bench))
    broken = write_images(tmp_path / "broken", 1) / "1_zz girl" / "0.png"
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 0xFF  # the header is whole: only decoding it shows
    broken.write_bytes(data)
    lines = ["base:", *(f'  - "{text}"' for text in bench.common), "patterns:", "  good: []",
             f'  bad: ["dataset.path={tmp_path}/broken"]',
             '  same: ["train.max_train_steps=10"]']  # fmt: skip
    (tmp_path / "sweep.yaml").write_text("\n".join(lines))
    command = ["sweep", str(tmp_path / "sweep.yaml"), "--quiet"]
    assert main(command) == 1
    text = capsys.readouterr().err
    assert "bad failed: " in text and "0.png" in text and "Traceback" not in text
    table = rows(bench.sweep)
    assert [(row["run"], row["status"], row["tag"]) for row in table] == [
        ("good", "done", "000001"), ("good", "done", "000002"), ("bad", "failed", None),
        ("same", "done", "000001"), ("same", "done", "000002"),
    ]  # fmt: skip
    assert bench.sweep.sheet.is_file()

    good = bench.sweep.run("good")
    weights = good.checkpoint("000002").read_bytes()
    assert main([*command, "preview.prompts=['a hat']"]) == 1
    record = read_record(good)
    assert good.checkpoint("000002").read_bytes() == weights and len(read_lines(good.steps_file)) == 10
    assert [item.previews[0].text for item in record.checkpoints] == ["a hat", "a hat"]
    started = record.started_at, good.run_file.stat().st_mtime_ns
    assert main([*command, "preview.prompts=['a hat']"]) == 1
    assert (read_record(good).started_at, good.run_file.stat().st_mtime_ns) == started, "nothing was done"
