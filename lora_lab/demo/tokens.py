"""The base model's tokenizer: a real `CLIPTokenizer` with a small byte-level vocabulary of its own."""

from __future__ import annotations

from random import Random
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from lora_lab.demo.portraits import sample, tags, vocabulary

MAX_LENGTH = 48
MERGES = 600
START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer() -> CLIPTokenizer:
    """Learns merges on captions and random syllables; a word it has not seen becomes several pieces.

    Layout as in CLIP: 256 bytes, 256 bytes that end a word, the merges, then the two special tokens.
    """
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(" ", "removed"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + MERGES,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(_corpus(), trainer)
    merges = [tuple(pair) for pair in _merges(learner)][:MERGES]
    pieces = [*alphabet, *(c + "</w>" for c in alphabet), *(a + b for a, b in merges), START, END]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    # Tuples, which the class takes, though its annotation does not say so.
    pairs: Any = merges
    return CLIPTokenizer(vocab=vocab, merges=pairs, model_max_length=MAX_LENGTH)


def _merges(learner: Tokenizer) -> list[list[str]]:
    import json

    return json.loads(learner.to_str())["model"]["merges"]


def _corpus() -> list[str]:
    rng = Random("corpus")
    captions = [", ".join(tags(sample(rng))) for _ in range(2000)]
    syllables = [a + b for a in "bdfghjklmnprstvwyz" for b in ("a", "e", "i", "o", "u", "an", "or", "en")]
    words = ["".join(rng.choices(syllables, k=rng.randint(2, 4))) for _ in range(6000)]
    return [*captions, *vocabulary() * 20, *words]
