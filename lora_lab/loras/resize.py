"""A LoRA file with fewer ranks: the best approximation of every module."""

from __future__ import annotations

from lora_lab.lora_files.factors import Factors, check_products, product_of
from lora_lab.lora_files.reading import LoraFile
from lora_lab.loras import algebra
from lora_lab.loras.algebra import Kept
from lora_lab.loras.merge import Result, each_module
from lora_lab.loras.ranks import Ranks


def resize(file: LoraFile, ranks: Ranks) -> Result:
    """Every module with as many ranks as asked for, and alpha so that its alpha / rank stays what it was."""
    check_products(file)

    def approximated(name: str) -> tuple[Factors, Kept]:
        factors = product_of(file, name)
        kernel = tuple(factors.down.shape[2:])
        return algebra.approximated(
            factors, lambda values: ranks.choose(values, kernel), factors.scale or 1.0
        )

    return each_module(list(file.modules), approximated)
