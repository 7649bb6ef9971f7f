"""Time and memory of the `lora` verbs on files of the size of SD 1.5 (264 modules).

    OMP_NUM_THREADS=1 python benchmarks/lora_files.py
    python benchmarks/lora_files.py --threads 2 --rank 64

Each verb runs in a process of its own, as `lora-lab lora VERB`, start-up included; the peak memory is that
process's resident set. The work alone is timed, too, without imports.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from lora_lab.lora_files.disk import save_lora
from lora_lab.networks.metadata import standard_metadata
from lora_lab.networks.spec import AdapterSpec

NAMES = Path(__file__).parents[1] / "tests" / "golden" / "names"
VERBS = ("info", "merge", "svd-merge", "resize")


def write(place: Path, rank: int, names: str, seed: int) -> Path:
    """A LoRA with the real modules of a family and random fp16 weights."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for module in json.loads((NAMES / f"{names}.json").read_text())["modules"]:
        down, up = [rank, *module["down"][1:]], [module["up"][0], rank, *module["up"][2:]]
        tensors[f"{module['name']}.lora_down.weight"] = torch.randn(down, generator=generator).half()
        tensors[f"{module['name']}.lora_up.weight"] = (0.01 * torch.randn(up, generator=generator)).half()
        tensors[f"{module['name']}.alpha"] = torch.tensor(float(rank))
    family = "sdxl" if names.startswith("sdxl") else "sd1"
    save_lora(place, tensors, standard_metadata(AdapterSpec(rank, float(rank)), family, place.stem))
    return place


def words(verb: str, files: list[Path], rank: int, output: Path) -> list[str]:
    """The command line of a verb."""
    out = ["-o", str(output), "--force"]
    return {
        "info": ["info", str(files[0]), "--json"],
        "merge": ["merge", *map(str, files), "--ratios", "1", "-1", *out],
        "svd-merge": ["svd-merge", *map(str, files), "--ratios", "1", "-1", "--new-rank", str(rank), *out],
        "resize": ["resize", str(files[0]), "--new-rank", str(max(1, rank // 2)), *out],
    }[verb]


def timed(arguments: list[str]) -> None:
    """In the process that is measured: do it, and say what it took."""
    import io
    from contextlib import redirect_stdout

    from lora_lab.__main__ import main
    from lora_lab.cli import lora_files  # noqa: F401  (imports are not part of the work)

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    start, cpu = time.perf_counter(), time.process_time()
    with redirect_stdout(io.StringIO()):
        code = main(["lora", *arguments])
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"code": code, "seconds": seconds, "cpu": cpu, "peak_gb": peak}))


def run() -> None:
    """Measure every verb and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--names", default="sd15.kohya", help="a file of tests/golden/names, without .json")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", 1)))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        files = [write(place / f"{name}.safetensors", given.rank, given.names, seed)
                 for seed, name in enumerate("ab")]  # fmt: skip
        size = files[0].stat().st_size / 1e6
        print(f"{given.names}, rank {given.rank}: {size:.0f} MB each, {given.threads} threads")
        print(f"{'verb':<10} {'work s':>7} {'CPU s':>7} {'whole s':>8} {'peak GB':>8}")
        environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads)}
        for verb in VERBS:
            command = words(verb, files, given.rank, place / "out.safetensors")
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, __file__, "--inside", *command],
                env=environment, capture_output=True, text=True, check=True,
            )  # fmt: skip
            whole, found = time.perf_counter() - start, json.loads(done.stdout.splitlines()[-1])
            assert found["code"] == 0, done.stderr
            numbers = (found["seconds"], found["cpu"], whole, found["peak_gb"])
            print(f"{verb:<10} {numbers[0]:>7.2f} {numbers[1]:>7.2f} {numbers[2]:>8.2f} {numbers[3]:>8.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        timed(sys.argv[2:])
    else:
        run()
