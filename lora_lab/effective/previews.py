"""What decides how a checkpoint's previews look, beside its weights."""

from typing import Any

from lora_lab.config import RunConfig, flat
from lora_lab.effective.result import digest
from lora_lab.metrics import set_names

NOT_SEEN = ("preview.batch_size", "preview.anchors")
"""Preview settings that change no picture of a run."""


def preview_fingerprint(config: RunConfig) -> str:
    """Equal for configs whose checkpoints are rendered and measured alike, as 64 hex digits.

    A finished run whose preview fingerprint changed is rendered again, not trained again.
    """
    preview = config.preview
    values = {key: value for key, value in flat(config).items() if key.startswith("preview.")}
    for key in NOT_SEEN:
        del values[key]
    if preview.flow_shift == 1:
        del values["preview.flow_shift"]  # off: the same previews as before there were flows
    values["preview.size"] = preview.size or config.dataset.resolution
    values["preview.clip_skip"] = preview.clip_skip or config.base_model.clip_skip
    if any("{trigger}" in prompt for prompt in preview.prompts):
        values["trigger"] = config.dataset.trigger_word
    if not preview.seeds:
        values = {}
    return digest({**values, **_measured(config)})


def _measured(config: RunConfig) -> dict[str, Any]:
    """What the numbers of previews depend on; models and references count where some metric uses them."""
    metric = config.metric
    values: dict[str, Any] = {"metric.names": metric.names}
    if set_names(metric.names):
        values |= {key: value for key, value in flat(config).items() if key.startswith("metric.")}
    return values
