"""What the runs of trials share, and the trials of the settings (`fields.Trial`) by what they show.

`{...}` stands for a place that the test makes: see trial_places.py.
"""

from lora_lab.config import settings
from lora_lab.config.fields import OWN_PACK, PACKED, SAME_WEIGHTS, UNTRIED, Trial

BASE = (
    "base_model=sd15",
    "base_model.path={base}",
    "base_model.family=auto",
    "dataset.path={images}",
    "cache={cache}",
    "results={results}",
    "device=cpu",
    "dataset.resolution='32'",
    "dataset.min_bucket_reso=64",
    "dataset.max_bucket_reso=128",
    "dataset.bucket_reso_steps=8",
    "dataset.enable_bucket=false",
    "dataset.trigger_word=zz",
    "network.network_dim=4",
    "network.network_alpha=4",
    "optimizer.learning_rate=1e-2",
    "train.train_batch_size=1",
    "train.max_train_epochs=null",
    "train.max_train_steps=4",
    "train.save_every_n_epochs=0",
    "train.mixed_precision='no'",
    "train.save_precision=fp32",
    "preview=off",
)
"""What all runs share; a context comes after it."""

TRIALS: dict[str, Trial] = {key: item.trial for key, item in settings().items() if item.trial}
"""By dotted setting."""

PREVIEWS = {
    "preview.prompts": "['another one']",
    "preview.negative_prompt": "hat",
    "preview.seeds": "[4]",
    "preview.strengths": "[0.2]",
    "preview.steps": "3",
    "preview.guidance_scale": "1.5",
    "preview.sampler": "euler_a",
    "preview.size": "'48'",
    "preview.clip_skip": "2",
}
"""Setting: a value other than the bench's; it changes no weight, but every preview."""


def showing(what: str) -> list[str]:
    """The settings whose trial shows PACKED, OWN_PACK, SAME_WEIGHTS or UNTRIED."""
    return [key for key, trial in TRIALS.items() if trial.shows == what]


__all__ = ["BASE", "OWN_PACK", "PACKED", "PREVIEWS", "SAME_WEIGHTS", "TRIALS", "UNTRIED", "showing"]
