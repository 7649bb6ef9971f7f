"""From configs to what the loop needs: the base model in memory, cached latents and texts, jobs and sources.

Shapes: C latent channels, h x w latent pixels, T text positions, D text width.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from lora_lab import models
from lora_lab.config import RunConfig
from lora_lab.data.buckets import Assignment, crop_top_left, random_crop
from lora_lab.data.cache import LatentCache, TextCache, TextKey, latent_key, open_latents, open_texts
from lora_lab.data.captions import undropped
from lora_lab.data.image_set import CaptionedImage, refuse_errors
from lora_lab.data.pixels import load_mask, load_pixels
from lora_lab.data.verify import verify
from lora_lab.effective import facts_of, resolve
from lora_lab.errors import ConfigError
from lora_lab.losses.process import NoiseProcess
from lora_lab.models import BaseModel, ModelFile, TextStates
from lora_lab.models.text import chunks_of
from lora_lab.networks.pack import Pack
from lora_lab.resolved import Resolved
from lora_lab.run.adapter import adapter_spec, merge_base_weights
from lora_lab.train import HeldBack, Job, Source, Validation
from lora_lab.train.source import Latent
from lora_lab.training_data import TrainingData, gather

DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def pick_device(asked: str) -> torch.device:
    """The device a config asks for; 'auto' is CUDA if there, then MPS, then the CPU.

    Raises:
        ConfigError: The device is not on this machine.
    """
    if asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind = asked.split(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in there:
        raise ConfigError(f"device must be auto, cpu, cuda, cuda:N or mps, got {asked!r}")
    if not there[kind]:
        raise ConfigError(f"device={asked}: this machine has none; use device=auto")
    return torch.device(asked)


def load_base(resolved: Resolved, device: torch.device) -> BaseModel:
    """Load the base model of a pack, with `network.base_weights` merged into it.

    Raises:
        ModelError: The file or folder is missing, damaged or not a model that can be trained on.
    """
    own, train = resolved.base_model, resolved.train
    # SDXL's VAE overflows in half precision; previews and latents are a small part of the work.
    base = models.load(
        own.path,
        family=own.family,
        vae=own.vae,
        dtype=DTYPES[train.mixed_precision],
        vae_dtype=torch.float32,
        device=str(device),
        attention=train.attention,
    )
    merge_base_weights(base, resolved.network)
    if own.fp8_base or own.nf4_base:
        models.compress(base, "fp8" if own.fp8_base else "nf4")
    models.set_gradient_checkpointing(base, train.gradient_checkpointing)
    return base


def load_further(resolved: Resolved, path: str, device: torch.device) -> BaseModel:
    """Load a model of `preview.base_model` as the run's own is loaded, with its own VAE.

    Raises:
        ModelError: The file or folder is missing or damaged.
    """
    own = replace(resolved.base_model, path=path, vae=None)
    return load_base(replace(resolved, base_model=own), device)


@dataclass
class Caches:
    """The caches that the runs of a pack share, by cache folder."""

    base: BaseModel
    latents: dict[str, LatentCache] = field(default_factory=dict)
    texts: dict[str, TextCache] = field(default_factory=dict)

    def latents_in(self, folder: str) -> LatentCache:
        """The latent cache under a cache folder."""
        return self.latents.setdefault(folder, open_latents(Path(folder).expanduser()))

    def texts_in(self, folder: str) -> TextCache:
        """The text cache under a cache folder."""
        return self.texts.setdefault(folder, open_texts(Path(folder).expanduser()))


@dataclass(frozen=True)
class Prepared:
    """One run, ready to take part in a pack.

    `texts` is there where its text encoders stay frozen, `validation` where images are held back.
    """

    base: BaseModel
    training_data: TrainingData
    job: Job
    source: Source
    texts: "Texts | None"
    validation: Validation | None = None


def prepare(
    task: "ToPrepare", caches: Caches, on_image: Callable[[int, int], None] | None = None
) -> Prepared:
    """Check the images, fill the caches and describe the run to the loop.

    Args:
        caches: Shared by the pack.
        on_image: Called with (done, total) while images are encoded.

    Raises:
        DataError: An image does not decode.
    """
    base, resolved, training_data = caches.base, task.resolved, task.training_data
    data, length = resolved.dataset, resolved.base_model.max_token_length
    held_back = [item for item, _ in training_data.validation]
    refuse_errors(
        verify(
            [*training_data.items, *held_back],
            cache=Path(task.cache).expanduser() / "verified",
            max_pixels=data.max_image_pixels,
        )
    )
    images = Images(base, training_data, caches.latents_in(task.cache), data.cache_latents)
    if data.cache_latents:
        images.fill(on_image)
    job = job_of(task.name, resolved, base)
    texts = None
    if not job.trains_text_encoder:
        texts = Texts(base, caches.texts_in(task.cache), job.clip_skip, length, data.weighted_captions)
    source = Source(
        training_data.stream,
        training_data.items,
        images.latent,
        texts.states if texts else None,
        process_of(resolved, base),
        job.loss,
        job.seed,
        length,
        job.total_updates,
        base.device,
    )
    return Prepared(
        base, training_data, job, source, texts, _validation(resolved, source, images, training_data)
    )


@dataclass(frozen=True)
class ToPrepare:
    """What preparing a run takes: its name, what it does, its images, and the folder of its caches."""

    name: str
    resolved: Resolved
    training_data: TrainingData
    cache: str


def on_base(config: RunConfig, base: BaseModel) -> ToPrepare:
    """What preparing a run takes, on a base model that is in memory already, whatever the config names."""
    model = ModelFile(
        path=Path(base.name),
        kind="loaded",
        family=base.family,
        prediction_type=base.prediction_type,
        prediction_stated=True,
        zero_terminal_snr=base.zero_terminal_snr,
        size=0,
        problems=(),
    )
    training_data = gather(config)
    resolved = resolve(config, facts_of(config, training_data, model, base.device.type))
    return ToPrepare(config.name, resolved, training_data, config.cache)


def _validation(
    resolved: Resolved, source: Source, images: "Images", training_data: TrainingData
) -> Validation | None:
    """What the run is measured on; None where no images are held back."""
    if not training_data.validation:
        return None
    held = []
    for item, place in training_data.validation:
        latent = images.whole(item, place)
        caption = undropped(item.caption, item.settings.captions)
        held.append(HeldBack(item.sha256, caption, latent.mean_Chw, latent.sizes))
    timesteps = sorted(set(resolved.train.validation_timesteps))
    return Validation(
        held, timesteps, source.process, source.text_of, resolved.preview.batch_size, source.device
    )


def process_of(resolved: Resolved, base: BaseModel) -> NoiseProcess:
    """The noise process of a run: the model's own, as what it is trained on is resolved."""
    return base.process(resolved.prediction_type, resolved.loss.zero_terminal_snr)


def job_of(name: str, resolved: Resolved, base: BaseModel) -> Job:
    """The flat values that the loop needs of a run."""
    own, train = resolved.optimizer, resolved.train
    return Job(
        name=name,
        seed=train.seed,
        adapter=adapter_spec(resolved, base),
        total_updates=resolved.total_steps,
        updates_per_epoch=resolved.updates_per_epoch,
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        optimizer=own.name,
        optimizer_args=dict(own.args),
        unet_lr=own.unet_lr,
        text_encoder_lr=own.text_encoder_lr,
        loraplus_lr_ratio=own.loraplus_lr_ratio,
        schedule=resolved.lr_scheduler,
        loss=resolved.loss,
        clip_skip=resolved.base_model.clip_skip,
        max_grad_norm=train.max_grad_norm,
        scale_weight_norms=resolved.network.scale_weight_norms,
        loss_scaling=base.dtype == torch.float16,
        weighted_captions=resolved.dataset.weighted_captions,
    )


class Images:
    """Latents of a run's images, from the cache or made on the spot."""

    def __init__(
        self, base: BaseModel, training_data: TrainingData, cache: LatentCache, cached: bool
    ) -> None:
        self._base = base
        self._training_data = training_data
        self._cache = cache
        self._cached = cached
        self._ready: dict[tuple[int, bool], Latent] = {}

    def fill(self, on_image: Callable[[int, int], None] | None = None) -> None:
        """Encode every image (and its mirror image under flip_aug) that the cache does not hold."""
        items = self._training_data.items
        for number, item in enumerate(items):
            for mirrored in (False, True) if item.settings.flip_aug else (False,):
                self._ready[number, mirrored] = self._make(number, mirrored, None)
            if on_image:
                on_image(number + 1, len(items))

    def latent(self, image: int, mirrored: bool, rng: random.Random) -> Latent:
        """The latent of one draw; a random crop is drawn from `rng`, and only where nothing is cached."""
        if self._cached:
            return self._ready[image, mirrored]
        return self._make(
            image, mirrored, rng if self._training_data.items[image].settings.random_crop else None
        )

    def _make(self, image: int, mirrored: bool, crop: random.Random | None) -> Latent:
        item, place = self._training_data.items[image], self._training_data.assignments[image]
        return self.whole(item, place if crop is None else random_crop(place, crop), mirrored)

    def whole(self, item: CaptionedImage, place: Assignment, mirrored: bool = False) -> Latent:
        """The latent of an image resized and cut as `place` says."""
        mean, logvar = self._distribution(item, place, mirrored)
        scale = self._base.scaling_factor
        return Latent(
            (torch.from_numpy(mean.copy()) - self._base.shift_factor) * scale,
            torch.from_numpy(np.exp(0.5 * logvar.clip(-30, 20))) * scale,
            _sizes(place, mirrored),
            _mask(item, place, mirrored, mean.shape[1:]) if item.settings.alpha_mask else None,
        )

    def _distribution(
        self, item: CaptionedImage, place: Assignment, mirrored: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        dtype = str(self._base.vae.dtype).removeprefix("torch.")
        key = latent_key(item, place, flip=mirrored, vae=self._base.vae_identity, dtype=dtype)
        found = self._cache.get(key) if self._cached else None
        if found is None:
            pixels_CHW = torch.from_numpy(load_pixels(item, place, flip=mirrored))
            with torch.no_grad():
                mean_BChw, logvar_BChw = models.encode_images(self._base, pixels_CHW[None])
            found = mean_BChw[0].cpu().numpy(), logvar_BChw[0].cpu().numpy()
            if self._cached:
                self._cache.put(key, *found)
        return found


def _mask(
    item: CaptionedImage, place: Assignment, mirrored: bool, size: Sequence[int]
) -> torch.Tensor | None:
    """The image's opacity at the latent's size, (h, w): area means, as sd-scripts has it."""
    mask_HW = load_mask(item, place, flip=mirrored) if item.transparent else None
    if mask_HW is None:
        return None
    return torch.nn.functional.interpolate(torch.from_numpy(mask_HW)[None, None], tuple(size), mode="area")[
        0, 0
    ]


def _sizes(place: Assignment, mirrored: bool) -> tuple[int, int, int, int, int, int]:
    top, left = crop_top_left(place, flip=mirrored)
    return place.original[1], place.original[0], top, left, place.bucket[1], place.bucket[0]


class Texts:
    """States of captions where the text encoders are frozen, kept by content.

    `pack` is the pack that is attached to the base model, if any: captions are encoded past its adapters.
    """

    pack: Pack | None = None

    def __init__(
        self, base: BaseModel, cache: TextCache, clip_skip: int, max_token_length: int, weighted: bool = False
    ) -> None:
        self._base = base
        self._cache = cache
        self._clip_skip = clip_skip
        self._max_token_length = max_token_length
        self._weighted = weighted

    def states(self, captions: Sequence[str]) -> TextStates:
        """States of captions in their order, on the base model's device."""
        found = [self._one(caption) for caption in captions]
        hidden = torch.stack([torch.from_numpy(item["hidden"].copy()) for item in found])
        pooled = None
        if "pooled" in found[0]:
            pooled = torch.stack([torch.from_numpy(item["pooled"].copy()) for item in found])
            pooled = pooled.to(self._base.device, self._base.dtype)
        return TextStates(hidden.to(self._base.device, self._base.dtype), pooled)

    def _one(self, caption: str) -> dict[str, np.ndarray]:
        dtype = str(self._base.dtype).removeprefix("torch.")
        key = TextKey(
            self._base.text_identity, caption, self._clip_skip, self._max_token_length, dtype, self._weighted
        )
        found = self._cache.get(key)
        if found is None:
            found = self._encode(caption)
            self._cache.put(key, found)
        return dict(found)

    @torch.no_grad()
    def _encode(self, caption: str) -> dict[str, np.ndarray]:
        if self.pack is not None:
            self.pack.route([-1] * chunks_of(self._max_token_length), parts=self._base.spec.text_parts)
        length = self._max_token_length
        states = models.encode_captions(self._base, [caption], self._clip_skip, length, self._weighted)
        made = {"hidden": states.hidden[0].float().cpu().numpy()}
        if states.pooled is not None:
            made["pooled"] = states.pooled[0].float().cpu().numpy()
        return made
