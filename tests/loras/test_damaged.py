"""1,000 damaged LoRA files: one clear message or the very content, never a traceback, never a guess."""

import io
import json
import struct
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save

from lora_lab.__main__ import main
from lora_lab.errors import LoraLabError, ModelError
from lora_lab.lora_files.disk import read_lora, save_lora
from lora_lab.lora_files.factors import delta
from lora_lab.loras import Ranks, info, merge, read, resize
from lora_lab.models.weight_headers import read_header
from lora_lab.networks.metadata import standard_metadata
from lora_lab.networks.spec import AdapterSpec
from tests.loras.made import kohya, numbers


def fuzz(count: int) -> settings:
    """The same examples every time, whatever the machine's pace."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def loha() -> dict[str, torch.Tensor]:
    name = "lora_unet_conv_out"
    leaves = {f"hada_w{n}_a": numbers(4, 2, seed=n) for n in (1, 2)}
    leaves |= {f"hada_w{n}_b": numbers(2, 6, seed=n) for n in (1, 2)}
    return {f"{name}.{leaf}": tensor for leaf, tensor in leaves.items()}


def peft() -> dict[str, torch.Tensor]:
    start = "unet.mid_block.attentions.0.proj_in"
    return {f"{start}.lora_A.weight": numbers(2, 6).half(), f"{start}.lora_B.weight": numbers(6, 2).half()}


FOREIGN = {
    "kohya": save(kohya(2), {"ss_base_model_version": "sd_v1"}),
    "half": save(kohya(2, dtype=torch.float16)),
    "LoHa": save(loha() | kohya(2)),
    "PEFT": save(peft(), {"lora_adapter_metadata": '{"unet.lora_alpha": 1}'}),
}


Entries = dict[str, Any]


def _entry(entries: Entries, place: int) -> str:
    names = sorted(name for name in entries if name != "__metadata__")
    return names[place % len(names)]


def _renamed(entries: Entries, place: int, number: int) -> None:
    name = _entry(entries, place)
    at = number % len(name)
    entries[name[:at] + "xz.9_"[number % 5] + name[at + 1 :]] = entries.pop(name)


def _retyped(entries: Entries, place: int, number: int) -> None:
    kinds = ["F16", "BF16", "F32", "F64", "I8", "BOOL", "Q9", 3, None]
    entries[_entry(entries, place)]["dtype"] = kinds[number % len(kinds)]


def _reshaped(entries: Entries, place: int, number: int) -> None:
    entry = entries[_entry(entries, place)]
    shape = entry["shape"]
    entry["shape"] = [shape[::-1], [], [-1], [0], shape + [1], [2**62, 4], "x", [1.5]][number % 8]


def _moved(entries: Entries, place: int, number: int) -> None:
    entry = entries[_entry(entries, place)]
    start, end = entry["data_offsets"]
    entry["data_offsets"] = [
        [start + 4, end + 4], [end, start], [start], [-8, end], [0, 2**63], "x", [start, end + 2], None
    ][number % 8]  # fmt: skip


def _dropped(entries: Entries, place: int, number: int) -> None:
    del entries[_entry(entries, place)]


def _swapped(entries: Entries, place: int, number: int) -> None:
    one, other = _entry(entries, place), _entry(entries, number)
    entries[one], entries[other] = entries[other], entries[one]


def _metadata(entries: Entries, place: int, number: int) -> None:
    values = [None, 3, [], {"ss_base_model_version": 1}, {"a": {}}, {"lora_adapter_metadata": "[" * 5000},
              {"lora_adapter_metadata": '{"unet.lora_alpha": "x"}'}, {"sshs_model_hash": "0"}]  # fmt: skip
    entries["__metadata__"] = values[number % len(values)]


HEADER_DAMAGES: list[Callable[[Entries, int, int], None]] = [
    _renamed, _retyped, _reshaped, _moved, _dropped, _swapped, _metadata
]  # fmt: skip


def rebuilt(data: bytes, change: Callable[[Entries, int, int], None], place: int, number: int) -> bytes:
    length = struct.unpack("<Q", data[:8])[0]
    entries = json.loads(data[8 : 8 + length])
    change(entries, place, number)
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A way to damage a file."""
    place, number = draw(st.integers(0, 1 << 20)), draw(st.integers(0, 1 << 20))
    kind = draw(st.sampled_from(["cut", "flip", "bits", "header", "length", "insert", "nan", "duplicate"]))
    change = draw(st.sampled_from(HEADER_DAMAGES))
    where = draw(st.sampled_from(["anywhere", "header"]))

    def damage(data: bytes) -> bytes:
        length = struct.unpack("<Q", data[:8])[0]
        at = place % (len(data) if where == "anywhere" else 8 + length)
        if kind == "cut":
            return data[:at]
        if kind == "flip":
            return data[:at] + bytes([data[at] ^ (1 + number % 255)]) + data[at + 1 :]
        if kind == "bits":
            return data[:at] + bytes([number % 256]) * min(9, len(data) - at) + data[at + 9 :]
        if kind == "header":
            return rebuilt(data, change, place, number)
        if kind == "length":
            sizes = [0, 1, length - 1, length + 8, 2**63, 2**64 - 1, 99_000_000, number]
            return struct.pack("<Q", sizes[place % 8]) + data[8:]
        if kind == "insert":
            return data[:at] + b"\x00" * (1 + number % 9) + data[at:]
        if kind == "nan":
            body = 8 + length + 4 * (place % ((len(data) - 8 - length) // 4))
            return data[:body] + b"\xff\xff\xff\xff" + data[body + 4 :]
        text = data[8 : 8 + length].rstrip()
        doubled = text[:-1] + b"," + text[text.index(b'"lora') if b'"lora_u' in text else 1 :]
        return struct.pack("<Q", len(doubled)) + doubled + data[8 + length :]

    return damage


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ours") / "x.safetensors"
    spec = AdapterSpec(2, 1.0, conv_dim=2, conv_alpha=1.0)
    save_lora(path, kohya(2, 1.0, 3), standard_metadata(spec, "sd1", "x"))
    return path.read_bytes()


@fuzz(450)
@given(damage=damages())
def test_our_own_files_are_read_right_or_refused(
    tmp_path: Path, sealed: bytes, damage: Callable[[bytes], bytes]
) -> None:
    """The seal covers names and metadata, the hash the weights: what is read is what was written."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(damage(sealed))
    try:
        tensors, metadata = read_lora(path)
    except ModelError as error:
        assert str(path) in str(error)
        return
    expected = kohya(2, 1.0, 3)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[key], expected[key]) for key in expected)
    assert metadata.get("ss_output_name") in ("x", None)


@fuzz(400)
@given(damage=damages(), origin=st.sampled_from(sorted(FOREIGN)))
def test_other_files_are_refused_or_finite(
    tmp_path: Path, damage: Callable[[bytes], bytes], origin: str
) -> None:
    """What a foreign file says is all there is to know, but numbers are numbers and shapes fit."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(damage(FOREIGN[origin]))
    try:
        file = read(path)
        info(file)
        found = merge([file, file], [1.0, -0.5]).modules
        resize(file, Ranks(1))
    except LoraLabError as error:
        assert str(path) in str(error) or "different sizes" in str(error)
        return
    assert found and all(bool(torch.isfinite(delta(item)).all()) for item in found.values())
    assert load_file(path)


@fuzz(100)
@given(damage=damages(), verb=st.sampled_from(["info", "merge", "svd-merge", "resize"]))
def test_verbs_end_in_one_message(
    tmp_path: Path, sealed: bytes, damage: Callable[[bytes], bytes], verb: str
) -> None:
    path, output = tmp_path / "x.safetensors", tmp_path / "out.safetensors"
    path.write_bytes(damage(sealed))
    words = {
        "info": ["--json"],
        "merge": ["--ratios", "-2", "-o", str(output), "--force"],
        "svd-merge": ["--new-rank", "1", "-o", str(output), "--force"],
        "resize": ["--new-rank", "1", "-o", str(output), "--force"],
    }[verb]
    said = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(said):
        code = main(["lora", verb, str(path), *words])
    assert code in (0, 2) and "unexpected" not in said.getvalue()
    assert (code == 2) == said.getvalue().startswith("lora-lab: ")


@fuzz(100)
@given(damage=damages())
def test_headers_are_read_or_refused(tmp_path: Path, sealed: bytes, damage: Callable[[bytes], bytes]) -> None:
    """The reader of base models, which takes bytes from where the header says."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(damage(sealed))
    try:
        header = read_header(path)
    except ModelError:
        return
    size = path.stat().st_size
    assert all(0 < item.start <= item.start + item.nbytes <= size for item in header.tensors.values())
