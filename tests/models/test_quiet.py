"""Libraries do not talk into the output of a command: bitsandbytes tells of a kernel unasked."""

import subprocess
import sys

SAYS = """
import logging
import lora_lab.models
theirs = logging.getLogger("bitsandbytes.backends.cpu.ops")
theirs.warning("Failed to load CPU gemm_4bit_forward from kernels-community")
theirs.error("told")
"""


def test_bitsandbytes_says_nothing_of_its_kernels() -> None:
    # No torch: the level is set where `lora_lab.models` is imported, before diffusers imports bitsandbytes.
    done = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, check=True)
    assert "gemm_4bit_forward" not in done.stdout + done.stderr and "told" in done.stderr
