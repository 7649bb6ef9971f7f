"""The doctor: the right torch for the card, and what follows from what was found; by made-up machines."""

import json
import sys
from pathlib import Path

import pytest

from lora_lab import examination, hardware
from lora_lab.__main__ import main
from lora_lab.examination import ask_torch, examine_machine, install_line, torch_line
from lora_lab.hardware import Card

GIB = 1024**3
ADA = Card("cuda", "NVIDIA GeForce RTX 4070", 12 * GIB, "560.35", "12.6")
CPU = {
    "version": "2.13.0+cpu",
    "cuda": None,
    "hip": None,
    "gpu": False,
    "mps": False,
    "devices": [],
    "bf16": False,
}
ON_ADA = CPU | {
    "version": "2.13.0+cu126", "cuda": "12.6", "gpu": True, "bf16": True, 
    "devices": [[ADA.name, int(11.6 * GIB)]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "system", "end"),
    [
        ([ADA], "Linux", "whl/cu126"),
        ([Card("cuda", "RTX 5090", 32 * GIB, "580", "13.1")], "Windows", "whl/cu130"),
        ([Card("cuda", "RTX 5060", 8 * GIB, "572", "12.9")], "Linux", "whl/cu128"),
        ([Card("cuda", "GTX 1080", 8 * GIB, "470", "11.4")], "Linux", "whl/cu126"),
        ([Card("cuda", "some card")], "Linux", "whl/cu130"),
        ([Card("rocm", "RX 7900 XTX", 24 * GIB)], "Linux", "whl/rocm6.4"),
        ([Card("mps", "Apple M3", 16 * GIB)], "Darwin", "install torch"),
        ([], "Linux", "whl/cpu"),
        ([], "Windows", "install torch"),
    ],
)
def test_the_line_is_that_of_the_card(found: list[Card], system: str, end: str) -> None:
    line = install_line(found, system)
    assert line.startswith("pip install torch") and line.endswith(end)


def test_a_torch_for_the_cpu_beside_a_card_is_to_be_replaced() -> None:
    line = torch_line(CPU, [ADA], "Linux")
    assert line.state == "warning" and "made for the CPU" in line.found
    assert line.way_out.endswith("cu126 --force-reinstall")
    assert torch_line(CPU, [], "Linux").state == "fine"
    assert torch_line(ON_ADA, [ADA], "Linux").found == "2.13.0+cu126 for CUDA 12.6"
    old = ON_ADA | {"gpu": False, "cuda": "13.0"}
    assert "its driver is older" in torch_line(old, [ADA], "Linux").found


def test_what_runs_follows_from_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(examination, "cards", lambda: [ADA])
    monkeypatch.setattr(examination, "ask_torch", lambda: ON_ADA)
    found = examine_machine(tmp_path)
    told = {line.what: line.found for line in found.abilities}
    assert told["Stable Diffusion XL"].startswith("as for 12 GB: network.train_text_encoder=false")
    assert found.ready and not [line for line in found.machine if line.what == "torch" and line.way_out]


def test_without_torch_nothing_trains_and_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(examination, "cards", lambda: [ADA])
    monkeypatch.setattr(examination, "ask_torch", lambda: {"error": "not installed"})
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert (
        "to install" in out and "pip install torch --index-url https://download.pytorch.org/whl/cu126" in out
    )
    assert main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is False and told["cards"][0]["name"] == ADA.name
    assert told["install"][0].endswith("cu126")


def test_a_torch_that_ends_its_process_is_an_answer(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ImportError: libcudart.so.12: no such file' >&2\nexit 1\n")
    broken.chmod(0o755)
    assert "libcudart.so.12" in ask_torch(str(broken))["error"]


def fake(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="makes shell scripts")
def test_cards_are_asked_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.cards() == [] or hardware.cards()[0].kind == "mps"
    fake(
        tmp_path,
        "nvidia-smi",
        'if [ -n "$1" ]; then echo "NVIDIA GeForce RTX 4070, 12282, 560.35.03"; '
        'else echo "| NVIDIA-SMI 560.35.03    CUDA Version: 12.6     |"; fi',
    )
    (card, *_) = hardware.cards()
    assert (card.kind, card.name, card.driver, card.cuda) == (
        "cuda", "NVIDIA GeForce RTX 4070", "560.35.03", "12.6",
    )  # fmt: skip
    assert round(card.gigabytes, 1) == 12.0
    fake(tmp_path, "nvidia-smi", "echo 'no devices were found' >&2; exit 6")
    fake(
        tmp_path,
        "rocm-smi",
        "printf 'device,VRAM Total Memory (B),Card Series\\ncard0,25753026560,RX 7900\\n'",
    )
    (card, *_) = hardware.cards()
    assert (card.kind, card.name, round(card.gigabytes)) == ("rocm", "RX 7900", 24)
