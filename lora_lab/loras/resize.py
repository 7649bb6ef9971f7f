"""A LoRA file with fewer ranks: the best approximation of every module."""

from __future__ import annotations

from lora_lab.loras import algebra
from lora_lab.loras.factors import check_products, product_of
from lora_lab.loras.merge import Result
from lora_lab.loras.ranks import Ranks
from lora_lab.loras.reading import LoraFile


def resize(file: LoraFile, ranks: Ranks) -> Result:
    """Every module with as many ranks as asked for, and alpha so that its alpha / rank stays what it was."""
    modules, kept = {}, {}
    check_products(file)
    for name in file.modules:
        factors = product_of(file, name)
        kernel = tuple(factors.down.shape[2:])
        found = algebra.approximated(
            factors, lambda values, k=kernel: ranks.choose(values, k), factors.scale or 1.0
        )
        modules[name], kept[name] = found
    return Result(modules, kept)
