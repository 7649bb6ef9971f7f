"""Embeddings of images and texts by CLIP and DINO models, computed once for each content.

Models come from a local folder, or from the hub's cache by name. Nothing here needs torchvision: image
processors are asked for their PIL form, whose numbers differ from the other one's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from lora_lab.errors import ModelError
from lora_lab.files import replacing
from lora_lab.models.content_hash import file_hash
from lora_lab.models.folder import read_json

BATCH = 16
"""Images that are embedded at once."""
KINDS = {
    "clip": ("clip",),
    "dino": ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit"),
}
"""Model types (`model_type` of config.json) that serve as each kind."""

Vectors = npt.NDArray[np.float32]
"""Embeddings (N, D) of length 1."""


class Embedder:
    """One model, loaded when something is not in the cache yet.

    Args:
        kind: A key of `KINDS`.
        folder: The model's folder.
        cache: Folder of all embeddings; they lie there by model content and image content.
        device: Where the model runs.
    """

    def __init__(self, kind: str, folder: Path, cache: Path, device: torch.device) -> None:
        self._kind = kind
        self._folder = folder
        self._device = device
        self._cache = cache / "embeddings" / f"{kind}-{identity(folder)[:16]}"

    def images(self, images: Sequence[Image.Image]) -> Vectors:
        """The embeddings of images.

        Raises:
            ModelError: The model cannot be loaded.
        """
        plain = [image.convert("RGB") for image in images]
        return self._cached([_content(image) for image in plain], plain, self._embed_images)

    def texts(self, texts: Sequence[str]) -> Vectors:
        """The embeddings of texts, by a CLIP model; what is too long for it is cut off.

        Raises:
            ModelError: The model cannot be loaded, or has no text half.
        """
        keys = ["text-" + hashlib.sha256(text.encode()).hexdigest() for text in texts]
        return self._cached(keys, list(texts), self._embed_texts)

    def _cached(
        self, keys: Sequence[str], items: Sequence[Any], embed: Callable[[Sequence[Any]], Vectors]
    ) -> Vectors:
        found = {key: vector for key in keys if (vector := _read(self._cache / f"{key}.npy")) is not None}
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in found}
        names = list(missing)
        for start in range(0, len(names), BATCH):
            part = names[start : start + BATCH]
            for key, vector in zip(part, embed([missing[key] for key in part]), strict=True):
                found[key] = vector
                _write(self._cache / f"{key}.npy", vector)
        return np.stack([found[key] for key in keys])

    @torch.no_grad()
    def _embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        inputs = self._processor(images=list(images), return_tensors="pt").to(self._device)
        if self._kind == "dino":
            return _of_length_one(self._model(**inputs).last_hidden_state[:, 0])
        pooled = self._model.vision_model(pixel_values=inputs["pixel_values"]).pooler_output
        return _of_length_one(self._model.visual_projection(pooled))

    @torch.no_grad()
    def _embed_texts(self, texts: Sequence[str]) -> Vectors:
        tokens = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        pooled = self._model.text_model(**tokens.to(self._device)).pooler_output
        return _of_length_one(self._model.text_projection(pooled))

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoImageProcessor

        return self._load(AutoImageProcessor, backend="pil")

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._load(AutoTokenizer)

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModel, CLIPModel

        return self._load(CLIPModel if self._kind == "clip" else AutoModel).to(self._device).eval()

    def _load(self, cls: Any, **choices: Any) -> Any:
        try:
            return cls.from_pretrained(self._folder, local_files_only=True, **choices)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(
                f"metric.{self._kind}_model={self._folder}: cannot be loaded ({str(error).splitlines()[0]})"
            ) from error


def find_model(kind: str, where: str) -> Path:
    """The folder of a model that a setting names: a folder, or a name on the hub.

    A name is looked up in the hub's cache first, and fetched only where it is not there.

    Raises:
        ModelError: There is none, or it is of another kind.
    """
    setting = f"metric.{kind}_model"
    folder = Path(where).expanduser()
    if not folder.is_dir():
        folder = _of_hub(setting, where)
    try:
        model_type = read_json(folder / "config.json").get("model_type")
    except (OSError, ValueError, ModelError) as error:
        raise ModelError(f"{setting}={where}: there is no model in it (no config.json)") from error
    if model_type not in KINDS[kind]:
        raise ModelError(
            f"{setting}={where}: its config.json says model_type {model_type!r}, it must be one of "
            f"{', '.join(KINDS[kind])}"
        )
    return folder


def _of_hub(setting: str, name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    help_ = f"{setting}={name}: there is no such folder"
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"{help_}; give the model's folder, or its name on the hub")
    wanted = ["*.json", "*.txt", "*.safetensors", "*.model"]
    for local in (True, False):
        try:
            return Path(snapshot_download(name, local_files_only=local, allow_patterns=wanted))
        except HFValidationError as error:
            raise ModelError(f"{help_}, and it is no name of the hub") from error
        except Exception as error:
            # Whatever the network says, the way out is the same.
            reason = type(error).__name__
    raise ModelError(
        f"{help_}, it is not in this machine's hub cache, and it cannot be fetched ({reason}): fetch it "
        "where there is a network, and give the folder"
    )


def identity(folder: Path) -> str:
    """The content of a model: its settings and weights, as 64 hex digits.

    Raises:
        ModelError: There are no weights.
    """
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not weights:
        raise ModelError(f"{folder} holds no weights (.safetensors)")
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.json")):
        digest.update(file.name.encode() + file.read_bytes())
    for file in weights:
        digest.update(file.name.encode() + file_hash(file).encode())
    return digest.hexdigest()


def _content(image: Image.Image) -> str:
    digest = hashlib.sha256(repr(image.size).encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def _of_length_one(vectors: torch.Tensor) -> Vectors:
    plain = torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()
    return np.asarray(plain, dtype=np.float32)


def _read(path: Path) -> Vectors | None:
    try:
        found: Vectors = np.load(path)
        return found
    except (OSError, ValueError, EOFError):
        return None


def _write(path: Path, vector: Vectors) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, vector)
