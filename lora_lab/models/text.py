"""Captions to token ids to text states: ours, since the library's clip skip is broken with transformers 5.

Clip skip is counted as the field does: N is `final_layer_norm(hidden_states[-N])`, 1 the last layer
(diffusers counts from 0). SDXL takes `hidden_states[-2]` of both encoders without norm and ignores clip skip.

Shape legend: B samples, N chunks, M = B N, L tokens of a chunk, T = N (L - 2) + 2 text positions, D width,
P pooled width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lora_lab.errors import ConfigError
from lora_lab.models.base import BaseModel, TextStates
from lora_lab.models.family import EncoderSpec
from lora_lab.models.prompt_weights import parse_weights

_CHUNK_TOKENS = 75
"""What one chunk is called in settings, whatever the tokenizer's real length."""


def chunks_of(max_token_length: int) -> int:
    """Chunks that `base_model.max_token_length` asks for.

    Raises:
        ConfigError: It is not 75, 150 or 225.
    """
    if max_token_length not in (75, 150, 225):
        raise ConfigError(f"base_model.max_token_length must be 75, 150 or 225, not {max_token_length}")
    return max_token_length // _CHUNK_TOKENS


def tokenize(base: BaseModel, captions: Sequence[str], max_token_length: int = _CHUNK_TOKENS) -> list[Tensor]:
    """Token ids of captions for each text encoder, (B, N, L) each, int64.

    Every chunk is begin, up to L - 2 tokens, end, padding; tokens beyond the last chunk are dropped.
    """
    chunks = chunks_of(max_token_length)
    return [
        torch.tensor(
            [_chunked(tokenizer, _content(tokenizer, text), base.max_length, chunks) for text in captions]
        )
        for tokenizer in base.tokenizers
    ]


def tokenize_weighted(
    base: BaseModel, captions: Sequence[str], max_token_length: int = _CHUNK_TOKENS
) -> tuple[list[Tensor], list[Tensor]]:
    """Like `tokenize`, reading `(word:1.3)`, `(word)`, `[word]`; and the tokens' weights, (B, N, L) each."""
    chunks = chunks_of(max_token_length)
    all_ids, all_weights = [], []
    for tokenizer in base.tokenizers:
        ids, weights = [], []
        for text in captions:
            content: list[int] = []
            factors: list[float] = []
            for fragment, factor in parse_weights(text):
                tokens = _content(tokenizer, fragment)
                content += tokens
                factors += [factor] * len(tokens)
            ids.append(_chunked(tokenizer, content, base.max_length, chunks))
            weights.append(_chunked_weights(factors, base.max_length, chunks))
        all_ids.append(torch.tensor(ids))
        all_weights.append(torch.tensor(weights, dtype=torch.float32))
    return all_ids, all_weights


def _content(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids)


def _chunked(tokenizer: Any, content: list[int], length: int, chunks: int) -> list[list[int]]:
    room = length - 2
    rows = []
    for start in range(0, chunks * room, room):
        row = [tokenizer.bos_token_id, *content[start : start + room], tokenizer.eos_token_id]
        rows.append(row + [tokenizer.pad_token_id] * (length - len(row)))
    return rows


def _chunked_weights(factors: list[float], length: int, chunks: int) -> list[list[float]]:
    room = length - 2
    rows = []
    for start in range(0, chunks * room, room):
        row = [1.0, *factors[start : start + room]]
        rows.append(row + [1.0] * (length - len(row)))
    return rows


def encode_captions(
    base: BaseModel,
    captions: Sequence[str],
    clip_skip: int | Sequence[int] = 1,
    max_token_length: int = _CHUNK_TOKENS,
    weighted: bool | Sequence[bool] = False,
) -> TextStates:
    """Text states of captions.

    Args:
        weighted: Whether `(word:1.3)` is read as a weight, or is text; one answer, or one per caption.
    """
    flags = [weighted] * len(captions) if isinstance(weighted, bool) else list(weighted)
    if not any(flags):
        return encode_text(base, tokenize(base, captions, max_token_length), clip_skip)
    ids, weights = tokenize_weighted(base, captions, max_token_length)
    plain = tokenize(base, captions, max_token_length)
    read_B11 = torch.tensor(flags)[:, None, None]
    mixed = [torch.where(read_B11, one, other) for one, other in zip(ids, plain, strict=True)]
    factors = [torch.where(read_B11, one, torch.ones_like(one)) for one in weights]
    return encode_text(base, mixed, clip_skip, factors)


def encode_text(
    base: BaseModel,
    ids: Sequence[Tensor],
    clip_skip: int | Sequence[int] = 1,
    weights: Sequence[Tensor] | None = None,
) -> TextStates:
    """Text states of tokenized captions. Differentiable; no gradient mode or autocast is set here.

    Args:
        ids: One (B, N, L) per text encoder, from `tokenize`.
        clip_skip: 1 is the last layer, 2 the one before; one number, or one per sample. Ignored by SDXL.
        weights: One (B, N, L) per text encoder, from `tokenize_weighted`: factors of the states.
    Raises:
        ConfigError: `base_model.clip_skip` is larger than the number of layers.
    """
    hidden, pooled = [], None
    for index, spec in enumerate(base.spec.encoders):
        factors = None if weights is None else weights[index]
        states, pool = encode_one(
            base.text_encoders[index], spec, ids[index], clip_skip, base.tokenizers[index].eos_token_id
        )
        hidden.append(_joined(states, ids[index].shape, factors))
        pooled = pool if spec.pooled else pooled
    return TextStates(torch.cat(hidden, dim=-1) if len(hidden) > 1 else hidden[0], pooled)


def encode_one(
    encoder: Any, spec: EncoderSpec, ids_BNL: Tensor, clip_skip: int | Sequence[int], eos_id: int
) -> tuple[Tensor, Tensor | None]:
    """States (M, L, D) of one encoder, and the first chunk's pooled state (B, P) if the family wants it."""
    trunk = getattr(encoder, "text_model", encoder)  # CLIPTextModel lost this level in transformers 5.6
    layers = len(trunk.encoder.layers)
    samples, chunks, length = ids_BNL.shape
    ids_ML = ids_BNL.reshape(samples * chunks, length).to(encoder.device)
    depths = [layers - 1] * samples if spec.penultimate else _depths(clip_skip, samples, layers)
    wanted = set(depths) | ({layers} if spec.pooled else set())
    by_depth = _run_layers(trunk, ids_ML, wanted)
    states = _pick(by_depth, depths, chunks)
    if not spec.penultimate:
        states = trunk.final_layer_norm(states)
    if not spec.pooled:
        return states, None
    first_chunks = slice(None, None, chunks)
    last = trunk.final_layer_norm(by_depth[layers][first_chunks])
    ends = (ids_ML[first_chunks] == eos_id).int().argmax(dim=-1)
    pooled = last[torch.arange(samples, device=last.device), ends]
    return states, encoder.text_projection(pooled)


def _depths(clip_skip: int | Sequence[int], samples: int, layers: int) -> list[int]:
    skips = [clip_skip] * samples if isinstance(clip_skip, int) else [int(skip) for skip in clip_skip]
    if len(skips) != samples:
        raise ValueError(f"{len(skips)} clip skips for {samples} samples")
    for skip in skips:
        if not 1 <= skip <= layers:
            raise ConfigError(
                f"base_model.clip_skip must be 1 to {layers}, the layers of this text encoder, not {skip}"
            )
    return [layers - skip + 1 for skip in skips]


def _run_layers(trunk: Any, ids_ML: Tensor, wanted: set[int]) -> dict[int, Tensor]:
    """Hidden states after the wanted numbers of layers; stops at the deepest."""
    states = trunk.embeddings(input_ids=ids_ML)
    length = ids_ML.shape[1]
    lowest = torch.finfo(states.dtype).min
    causal = torch.full((length, length), lowest, dtype=states.dtype, device=states.device).triu(1)[
        None, None
    ]
    kept = {0: states} if 0 in wanted else {}
    for depth, layer in enumerate(trunk.encoder.layers[: max(wanted)], start=1):
        states = layer(states, causal, is_causal=False)
        if depth in wanted:
            kept[depth] = states
    return kept


def _pick(by_depth: dict[int, Tensor], depths: list[int], chunks: int) -> Tensor:
    """Each sample's rows from its own depth; by indexing, so that no sample reaches another one's states."""
    if len(set(depths)) == 1:
        return by_depth[depths[0]]
    rows = [by_depth[depth][sample * chunks : (sample + 1) * chunks] for sample, depth in enumerate(depths)]
    return torch.cat(rows)


def _joined(states_MLD: Tensor, shape: torch.Size, weights_BNL: Tensor | None) -> Tensor:
    """(B, T, D): begin of the first chunk, the contents of all, end of the last; weighted if asked."""
    samples, chunks, length = shape
    states = states_MLD.reshape(samples, chunks, length, -1)
    if weights_BNL is not None:
        states = states * weights_BNL.to(states)[..., None]
    if chunks == 1:
        return states[:, 0]
    contents = states[:, :, 1:-1].flatten(1, 2)
    return torch.cat([states[:, 0, :1], contents, states[:, -1, -1:]], dim=1)
