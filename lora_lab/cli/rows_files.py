"""Commands over LoRA files."""

from __future__ import annotations

from lora_lab.cli.command import Command

FILES: tuple[Command, ...] = ()
