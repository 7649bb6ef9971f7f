"""From the two trained LoRAs to the copier: B - A as one file."""

from __future__ import annotations

from pathlib import Path

from lora_lab.errors import RunFolderError
from lora_lab.lora_files.reading import read
from lora_lab.loras.merge import Result, svd_merge
from lora_lab.loras.ranks import Ranks
from lora_lab.loras.writing import Making, save
from lora_lab.store import SweepFolder, read_record


def last_file(folder: SweepFolder, row: str) -> Path:
    """The LoRA that a run ended with.

    Raises:
        RunFolderError: The run has not saved one.
    """
    run = folder.run(row)
    checkpoints = read_record(run).checkpoints
    if not checkpoints:
        raise RunFolderError(f"{run.path} has no LoRA yet: run the same command again")
    return run.path / checkpoints[-1].file


def subtract(folder: SweepFolder, output: Path, new_rank: int, precision: str, method: str) -> Result:
    """Write the difference of the two LoRAs to `output`; says what of it the rank could hold.

    The difference of ranks r and r is exact from rank 2 r on. With the method merged-base B is the
    difference already.
    """
    files = [read(last_file(folder, "B"))]
    ratios = [1.0]
    if method == "difference":
        files.append(read(last_file(folder, "A")))
        ratios.append(-1.0)
    found = svd_merge(files, ratios, Ranks(new_rank))
    making = Making("copier", files, {"method": method, "new_rank": new_rank}, ratios)
    save(output, found.modules, making, precision)
    return found
