"""Tiny random CLIP and DINO models as folders, made once per test process."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch

SIZE = 32
"""Pixels of the models' images."""


def _place(name: str) -> Path:
    place = Path(tempfile.mkdtemp(prefix="metric-")) / name
    atexit.register(shutil.rmtree, place.parent, ignore_errors=True)
    return place


@cache
def clip_folder(seed: int = 0) -> Path:
    """A CLIP model with both halves, tokenizer and image processor. Treat it as read-only."""
    from transformers import CLIPConfig, CLIPModel

    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    place = _place("clip")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(
            CLIPConfig(
                text_config={
                    **tower,
                    "vocab_size": 600,
                    "max_position_embeddings": 24,
                    "bos_token_id": 0,
                    "eos_token_id": 1,
                    "pad_token_id": 1,
                },
                vision_config={**tower, "image_size": SIZE, "patch_size": 8},
                projection_dim=12,
            )
        )
    model.save_pretrained(place)
    _write_tokenizer(place)
    _write_processor(place, "CLIPImageProcessor")
    return place


@cache
def dino_folder(seed: int = 0, kind: str = "vit") -> Path:
    """A DINO model (ViT, or DINOv2) with its image processor. Treat it as read-only."""
    from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIZE}
    place = _place(kind)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = (
            ViTModel(ViTConfig(**sizes, intermediate_size=32, patch_size=8))
            if kind == "vit"
            else Dinov2Model(Dinov2Config(**sizes, patch_size=8))
        )
    model.save_pretrained(place)
    _write_processor(place, "ViTImageProcessor")
    return place


def _write_tokenizer(place: Path) -> None:
    """A CLIP tokenizer of single bytes: every word is spelled."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    (place / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    (place / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 24})
    )


def _write_processor(place: Path, name: str) -> None:
    size = {"shortest_edge": SIZE} if name.startswith("CLIP") else {"height": SIZE, "width": SIZE}
    (place / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "image_processor_type": name,
                "size": size,
                "crop_size": {"height": SIZE, "width": SIZE},
                "do_resize": True,
                "do_center_crop": name.startswith("CLIP"),
                "do_rescale": True,
                "do_normalize": True,
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.5, 0.5, 0.5],
            }
        )
    )
