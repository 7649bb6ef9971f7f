"""The networks of a base model without their weights, and where each weight stands in its files.

For work that goes through a model tensor by tensor, and never holds it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lab.models import folder as folders
from lora_lab.models import single_file as names
from lora_lab.models.families import FAMILIES
from lora_lab.models.family import Denoiser, EncoderSpec
from lora_lab.models.identify import ModelFile, own_config
from lora_lab.models.networks import make_clip, make_denoiser
from lora_lab.models.unet_sizes import sized
from lora_lab.models.weight_headers import read_header
from lora_lab.models.weights import Change, Tensors, open_tensors

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Part:
    """The U-Net or a text encoder."""

    name: str
    """`unet`, `te1`, `te2`, ..."""
    network: Any
    """On the meta device."""
    files: tuple[Path, ...]
    sources: Mapping[str, tuple[str, Change | None]]
    """Parameter name to the name of the tensor in the files, and what makes it the parameter."""

    @contextmanager
    def open(self) -> Iterator[Tensors]:
        """The part's files, to read tensors from."""
        with open_tensors(self.files, self.files[0].parent) as tensors:
            yield tensors


def parts(found: ModelFile) -> list[Part]:
    """The U-Net and the text encoders of a model, in this order.

    Raises:
        ModelError: A file is damaged, or a config does not describe a network.
    """
    facts = FAMILIES[found.family]
    encoders, denoiser = facts.encoders, facts.denoiser
    if found.kind == "diffusers":
        return [
            _folder_part(found.path, "unet", denoiser),
            *(_folder_part(found.path, f"te{n}", spec) for n, spec in enumerate(encoders, 1)),
        ]
    own = own_config(read_header(found.path).metadata) if found.kind == "safetensors" else {}
    shipped = CONFIGS / facts.configs[found.prediction_type]

    def config(component: str) -> dict[str, Any]:
        value = own.get(component)
        return value if isinstance(value, dict) else folders.read_json(shipped / component / "config.json")

    with open_tensors([found.path], found.path) as tensors:
        held = tensors.names
    unet = make_denoiser(denoiser, sized(config(denoiser.component), held))
    made = [Part("unet", unet, (found.path,), names.unet_sources(unet.state_dict(), unet.config))]
    for number, spec in enumerate(encoders, 1):
        encoder = make_clip(config(spec.component), spec.pooled)
        sources = encoder_sources(list(encoder.state_dict()), held, spec)
        made.append(Part(f"te{number}", encoder, (found.path,), sources))
    return made


def _folder_part(folder: Path, name: str, spec: EncoderSpec | Denoiser) -> Part:
    part = folders.component(folder, spec.component)
    if isinstance(spec, Denoiser):
        network = make_denoiser(spec, part.config)
    else:
        network = make_clip(part.config, spec.pooled)
    with open_tensors(part.weights, part.config_file.parent) as tensors:
        sources = component_sources(list(network.state_dict()), tensors.names)
    return Part(name, network, part.weights, sources)


def component_sources(keys: list[str], held: frozenset[str]) -> names.Sources:
    """Where parameters stand in a component's own folder: names differ at most by the `text_model` level."""
    if set(keys) <= held:
        return {key: (key, None) for key in keys}
    return names.clip_sources(keys, held, "")


def encoder_sources(keys: list[str], held: frozenset[str], spec: EncoderSpec) -> names.Sources:
    """Where a text encoder's parameters stand in a single file that holds these tensors."""
    prefix = next((p for p in spec.prefixes if any(name.startswith(p) for name in held)), spec.prefixes[0])
    if spec.layout == "hf":
        return names.clip_sources(keys, held, prefix)
    return names.open_clip_sources(keys, prefix)
