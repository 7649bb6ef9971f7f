"""What deciding about a config needs to know of the pictures, the base model and the machine."""

from dataclasses import dataclass

from lora_lab.models.families import ASSUMED


@dataclass(frozen=True)
class Facts:
    """The defaults describe one picture in one bucket and a GPU.

    Attributes:
        family: A key of `models.families.FAMILIES`.
        prediction_type: epsilon or v_prediction, as the base model says of itself.
        device_type: cuda, cpu or mps.
        images: Training pictures; `reg_images` are counted apart.
        repeats: Repeats of every training picture; None where they differ.
        buckets: Different batch shapes among the pictures.
        draws_per_epoch: Samples of one epoch, regularisation included.
        batches_per_epoch: Batches of one epoch, before gradient accumulation.
        trigger_missing: Some caption lacks the trigger word, or it cannot be said.
        transparent: Some training picture has an alpha channel.
        text_layers: Layers of the first text encoder, None where that is not known.
        weights_form: What `network.network_weights` is: lora, dora, loha or lokr; None where there is no
            such file, or it cannot be told.
    """

    family: str = ASSUMED
    prediction_type: str = "epsilon"
    device_type: str = "cuda"
    images: int = 1
    reg_images: int = 0
    repeats: int | None = 1
    buckets: int = 1
    draws_per_epoch: int = 1
    batches_per_epoch: int = 1
    trigger_missing: bool = True
    transparent: bool = True
    text_layers: int | None = None
    weights_form: str | None = None
