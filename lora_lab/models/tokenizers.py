"""Tokenizers: a folder's own, one carried in a file's metadata, or the packaged CLIP vocabulary."""

import tempfile
from pathlib import Path
from typing import Any

from lora_lab.errors import ModelError
from lora_lab.models import folder as folders
from lora_lab.models.clip_bpe import VOCABULARY, ClipBpe
from lora_lab.models.family import EncoderSpec


def folder_tokenizer(folder: Path, spec: EncoderSpec, config: dict[str, Any]) -> Any:
    """The tokenizer of a model folder; without one, the packaged CLIP vocabulary if the encoder has its size.

    Raises:
        ModelError: The tokenizer's files are damaged, or missing where the vocabulary is not CLIP's.
    """
    if folders.tokenizer_files(folder, spec.tokenizer):
        return _read(folder / spec.tokenizer, config)
    return packaged_tokenizer(spec, config, where=folder)


def packaged_tokenizer(spec: EncoderSpec, config: dict[str, Any], where: Path) -> ClipBpe:
    """CLIP's public vocabulary, padded as the family does.

    Raises:
        ModelError: The text encoder has another vocabulary.
    """
    if config.get("vocab_size") != VOCABULARY:
        raise ModelError(
            f"{where} brings no {spec.tokenizer}, and its text encoder has {config.get('vocab_size')} tokens "
            f"instead of CLIP's {VOCABULARY}; give a folder with {spec.tokenizer}/tokenizer.json"
        )
    return ClipBpe(spec.pad_id)


def _read(place: Path, config: dict[str, Any]) -> Any:
    from transformers import CLIPTokenizer

    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(place), local_files_only=True)
    except Exception as error:  # the library raises whatever its parsers do
        raise ModelError(f"{place} holds no readable CLIP tokenizer: {error}") from None
    positions = int(config.get("max_position_embeddings", 77))
    if tokenizer.model_max_length is None or tokenizer.model_max_length > positions:
        tokenizer.model_max_length = positions
    return tokenizer


def tokenizer_texts(tokenizer: Any) -> dict[str, str]:
    """The files of a tokenizer as text, for a checkpoint's metadata; empty for the packaged vocabulary."""
    if isinstance(tokenizer, ClipBpe):
        return {}
    with tempfile.TemporaryDirectory() as place:
        tokenizer.save_pretrained(place)
        return {
            file.name: file.read_text(encoding="utf-8") for file in Path(place).iterdir() if file.is_file()
        }


def carried_tokenizer(texts: dict[str, str], config: dict[str, Any]) -> Any:
    """The tokenizer that `tokenizer_texts` put into a checkpoint."""
    with tempfile.TemporaryDirectory() as place:
        for name, text in texts.items():
            (Path(place) / Path(name).name).write_text(text, encoding="utf-8")
        return _read(Path(place), config)
