"""How many tokens a text has for a base model, and how many it reads: at plan time, without torch."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lora_lab.errors import ModelError
from lora_lab.models import folder as folders
from lora_lab.models.families import FAMILIES
from lora_lab.models.family import EncoderSpec
from lora_lab.models.identify import CONFIG_METADATA, ModelFile
from lora_lab.models.prompt_weights import parse_weights
from lora_lab.models.weight_headers import read_header

_CLIP_POSITIONS = 77
_CHUNK = 75  # what one chunk is called in settings, whatever the tokenizer's real length
_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


@dataclass(frozen=True)
class TokenCounter:
    """Counts as the text encoders' tokenizers do: where they differ, as the one that makes most of a text.

    Attributes:
        count: Tokens of a text, without begin and end.
        room: Tokens that one chunk takes: CLIP's 75, or those of the shortest encoder.
    """

    count: Callable[[str], int]
    room: int

    def limit(self, max_token_length: int) -> int:
        """Tokens that are read under `base_model.max_token_length`; what is over is dropped."""
        return max_token_length // _CHUNK * self.room

    def tokens(self, text: str, weighted: bool = False) -> int:
        """Tokens of a text; `weighted`: the marks of `(word:1.3)` are none."""
        if not weighted:
            return self.count(text)
        return sum(self.count(fragment) for fragment, _ in parse_weights(text))


@lru_cache(maxsize=16)
def token_counter(model: ModelFile) -> TokenCounter | None:
    """The counter of a base model; None where its tokenizer cannot be read here, which loading will tell."""
    try:
        found = [_encoder_counter(model, spec) for spec in FAMILIES[model.family].encoders]
    except (ModelError, OSError, ValueError, TypeError, KeyError):
        return None
    except Exception as error:  # the tokenizers library has one class for all it refuses
        if type(error) is Exception:
            return None
        raise
    return _widest(found)


def _encoder_counter(model: ModelFile, spec: EncoderSpec) -> TokenCounter | None:
    if model.kind == "diffusers" and folders.tokenizer_files(model.path, spec.tokenizer):
        positions = folders.read_json(model.path / spec.component / "config.json")
        return _of_files(_texts(model.path / spec.tokenizer), positions)
    if model.kind == "safetensors":
        own = json.loads(read_header(model.path).metadata.get(CONFIG_METADATA, "{}"))
        if texts := (own.get("files") or {}).get(spec.tokenizer):
            return _of_files(texts, own.get(spec.component, {}))
    return packaged_counter()


def _widest(counters: Sequence[TokenCounter | None]) -> TokenCounter | None:
    """One counter of all encoders: a text is read in full where every one of them reads all of it."""
    known = [counter for counter in counters if counter is not None]
    if len(known) < len(counters):
        return None
    counts = list(dict.fromkeys(counter.count for counter in known))
    room = min(counter.room for counter in known)
    return TokenCounter(lambda text: max(count(text) for count in counts), room)


def _texts(folder: Path) -> dict[str, str]:
    names = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")
    return {n: (folder / n).read_text(encoding="utf-8") for n in names if (folder / n).is_file()}


def _of_files(texts: dict[str, str], encoder: dict[str, Any]) -> TokenCounter:
    tokenizer = _tokenizer(texts)
    told = json.loads(texts.get("tokenizer_config.json", "{}")).get("model_max_length") or _CLIP_POSITIONS
    length = min(int(told), int(encoder.get("max_position_embeddings", _CLIP_POSITIONS)))

    @lru_cache(maxsize=4096)  # the rows of a plan share their prompts
    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return TokenCounter(count, length - 2)


def _tokenizer(texts: dict[str, str]) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    if "tokenizer.json" in texts:
        found = Tokenizer.from_str(texts["tokenizer.json"])
        found.no_truncation()
        found.no_padding()
        return found
    lines = [line.split() for line in texts["merges.txt"].splitlines() if not line.startswith("#version")]
    merges = [(pair[0], pair[1]) for pair in lines if len(pair) == 2]
    bpe = models.BPE(json.loads(texts["vocab.json"]), merges, end_of_word_suffix="</w>")
    found = Tokenizer(bpe)
    found.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return found


@lru_cache(maxsize=1)
def packaged_counter() -> TokenCounter | None:
    """The counter of CLIP's own tokenizer, which most base models have; None where the package is missing."""
    try:
        from instant_clip_tokenizer import Tokenizer
    except ImportError:
        return None
    bpe = Tokenizer()
    return TokenCounter(lambda text: len(bpe.encode(text)), _CLIP_POSITIONS - 2)
