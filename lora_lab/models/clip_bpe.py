"""The public CLIP vocabulary, from `instant-clip-tokenizer`, for checkpoints that bring no tokenizer."""

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch

from lora_lab.errors import ModelError

VOCABULARY = 49408
_LENGTH = 77


@cache
def _encoder() -> Any:
    try:
        from instant_clip_tokenizer import Tokenizer
    except ImportError:
        raise ModelError(
            "a single-file checkpoint brings no tokenizer, and the package instant-clip-tokenizer is not "
            "installed (it needs Python 3.11 or 3.12); install it, or give the model as a diffusers folder"
        ) from None
    return Tokenizer()


class ClipBpe:
    """CLIP's tokenizer with the part of the transformers interface that prompts need."""

    def __init__(self, pad_token_id: int | None = None) -> None:
        self._bpe = _encoder()
        self.bos_token_id = int(self._bpe.start_of_text())
        self.eos_token_id = int(self._bpe.end_of_text())
        self.pad_token_id = self.eos_token_id if pad_token_id is None else pad_token_id
        self.model_max_length = _LENGTH

    def __len__(self) -> int:
        return VOCABULARY

    def __call__(self, text: str | Sequence[str], **options: Any) -> SimpleNamespace:
        """Ids of one text or of several; options as transformers has them (`padding`, `return_tensors`)."""
        if isinstance(text, str):
            return SimpleNamespace(input_ids=self._ids(text, options))
        rows = [self._ids(item, options) for item in text]
        return SimpleNamespace(
            input_ids=torch.tensor(rows) if options.get("return_tensors") == "pt" else rows
        )

    def _ids(self, text: str, options: dict[str, Any]) -> list[int]:
        ids = [int(token) for token in self._bpe.encode(text)]
        if options.get("add_special_tokens", True):
            room = (options.get("max_length") or self.model_max_length) - 2
            ids = [self.bos_token_id, *(ids[:room] if options.get("truncation") else ids), self.eos_token_id]
        if options.get("padding") == "max_length":
            length = options.get("max_length") or self.model_max_length
            ids += [self.pad_token_id] * (length - len(ids))
        return ids

    def batch_decode(self, rows: Any, **_: Any) -> list[str]:
        """Texts of rows of ids."""
        return [self._bpe.decode([int(token) for token in row]) for row in rows]
