"""What decides how a checkpoint's previews look, beside its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lora_lab.metrics import set_names
from lora_lab.resolved import PreviewBase, Resolved, digest

NOT_SEEN = ("preview.batch_size", "preview.anchors", "preview.stop_black")
"""Preview settings that change no image of a run."""


def asks_for_trigger(asked: Mapping[str, Any]) -> bool:
    """Whether something is rendered whose prompt has `{trigger}` in it."""
    return bool(asked["preview.seeds"]) and any("{trigger}" in text for text in asked["preview.prompts"])


def _sampler(asked: Mapping[str, Any]) -> str:
    """The sampler, and its steps where they have changed: images of another spacing are other images."""
    name = str(asked["preview.sampler"])
    return f"{name} trailing" if name in ("dpm++_2m", "unipc") else name


def final_prompts(prompts: Sequence[str], trigger: str | None) -> list[str]:
    """The preview prompts with the trigger word filled in."""
    return [text.replace("{trigger}", trigger or "").strip(", ") for text in prompts]


def anchors_name(
    asked: Mapping[str, Any], trigger: str | None, further: Sequence[PreviewBase] | None = None
) -> str:
    """The folder of the base model's own images: another one for everything that they depend on.

    Args:
        further: The models of `preview.base_model`; without them, no files were looked at.
    """
    strengths = [*asked["network.base_weights_multiplier"], *[1.0] * len(asked["network.base_weights"])]
    parts = [
        final_prompts(asked["preview.prompts"], trigger),
        *(asked[f"preview.{name}"] for name in ("negative_prompt", "seeds", "steps", "guidance_scale")),
        _sampler(asked),
        asked["preview.size"] or asked["dataset.resolution"],
        asked["preview.clip_skip"] or asked["base_model.clip_skip"],
        *(asked[f"base_model.{name}"] for name in ("path", "vae", "max_token_length")),
        asked["base_model.v_parameterization"],
        asked["loss.zero_terminal_snr"],
        *zip(asked["network.base_weights"], strengths, strict=False),
        *([asked["preview.flow_shift"]] if asked["preview.flow_shift"] != 1 else []),
        *(name for name in ("fp8_base", "nf4_base") if asked[f"base_model.{name}"]),
        *(item.identity for item in further or ()),
    ]
    return f"base-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]}"


def class_prompts(asked: Mapping[str, Any], trigger: str | None) -> tuple[str, ...]:
    """The preview prompts with the class word in place of the trigger word."""
    word = asked["metric.class_word"]
    texts = [text.replace("{trigger}", word) for text in asked["preview.prompts"]]
    return tuple((text.replace(trigger, word) if trigger else text).strip(", ") for text in texts)


def preview_fingerprint(
    asked: Mapping[str, Any], trigger: str | None, further: Sequence[PreviewBase] = ()
) -> str:
    """Equal for runs whose checkpoints are rendered and measured alike, as 64 hex digits.

    A finished run whose preview fingerprint changed gets the previews that are missing, and is not trained
    again.

    Args:
        asked: The flat values of a config.
        trigger: What stands for `{trigger}` in prompts.
        further: The models of `preview.base_model`.
    """
    values = {key: asked[key] for key in asked if key.startswith("preview.") and key not in NOT_SEEN}
    values["preview.sampler"] = _sampler(asked)
    if asked["preview.flow_shift"] == 1:
        del values["preview.flow_shift"]  # off: the same previews as before there were flows
    values["preview.base_model"] = [item.identity for item in further]
    if not further:
        del values["preview.base_model"]  # off: the same previews as before there was the setting
    values["preview.size"] = asked["preview.size"] or asked["dataset.resolution"]
    values["preview.clip_skip"] = asked["preview.clip_skip"] or asked["base_model.clip_skip"]
    if any("{trigger}" in prompt for prompt in asked["preview.prompts"]):
        values["trigger"] = trigger
    if not asked["preview.seeds"]:
        values = {}
    return digest({**values, **_measured(asked)})


def drawn(resolved: Resolved, prompt: int, seed: int, strength: float) -> str:
    """What draws one preview beside the weights, as 16 hex digits: its text, seed and strength, and all that
    a run's previews share.

    Two previews of a checkpoint that agree in it have the same pixels, whichever number their prompt has.

    Args:
        prompt: Its number in `resolved.shown_prompts`.
    """
    own, further = resolved.preview, resolved.shown_on(prompt)
    shared = {
        "negative_prompt": own.negative_prompt,
        "steps": own.steps,
        "guidance_scale": own.guidance_scale,
        "sampler": own.sampler,
        "flow_shift": own.flow_shift,
        "size": own.size,
        "clip_skip": own.clip_skip or 1,
        "max_token_length": resolved.base_model.max_token_length,
        "zero_terminal_snr": resolved.loss.zero_terminal_snr,
        "prediction_type": resolved.prediction_type,
    }
    if further:
        shared |= {"base_model": further.identity, "zero_terminal_snr": None, "prediction_type": ""}
    return digest([resolved.shown_text(prompt), seed, strength, shared])[:16]


def wanted_shots(resolved: Resolved) -> dict[str, tuple[int, int, float]]:
    """The previews that every checkpoint of a run is to have: prompt, seed, strength by what draws them.

    Of prompts that come to the same text, the first one has the image.
    """
    own = resolved.preview
    found: dict[str, tuple[int, int, float]] = {}
    for prompt in resolved.shown_prompts:
        for seed in own.seeds:
            for strength in own.strengths:
                found.setdefault(drawn(resolved, prompt, seed, strength), (prompt, seed, strength))
    return found


def _measured(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the numbers of previews depend on; models and references count where some metric uses them."""
    values: dict[str, Any] = {"metric.names": asked["metric.names"]}
    if set_names(asked["metric.names"]):
        values |= {key: value for key, value in asked.items() if key.startswith("metric.")}
    return values
