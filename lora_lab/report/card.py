"""The model card of an exported LoRA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from lora_lab.axes import axis, show, show_setting
from lora_lab.counts import counted, whole
from lora_lab.models.families import ASSUMED, FAMILIES
from lora_lab.models.family import Family
from lora_lab.models.lora_family import stated
from lora_lab.report.findings import findings
from lora_lab.report.recommended import copied
from lora_lab.report.runs import ReportData
from lora_lab.report.sections import ALWAYS_SHOWN
from lora_lab.report.webui import Strength, user_metadata
from lora_lab.store import Preview, RunRecord
from lora_lab.verdict.evidence import SCORE, CheckpointEvidence, RunEvidence

UNKNOWN_LICENSE = "unknown"
"""The Hub's word where nobody has said under which license a LoRA may be used."""


@dataclass(frozen=True)
class Shown:
    """One preview on the card."""

    file: str
    prompt: str
    seed: int
    strength: str


@dataclass(frozen=True)
class Exported:
    """A LoRA that is passed on.

    Attributes:
        judged: The checkpoint with what it was given.
        advised: Whether the scores chose it, and not the user.
        config: All settings by dotted key.
        metadata: That of the LoRA file.
        license: Under which license it may be used, as the Hub calls it.
    """

    name: str
    run: RunEvidence
    judged: CheckpointEvidence
    advised: bool
    config: Mapping[str, Any]
    metadata: Mapping[str, str]
    strength: Strength
    license: str = UNKNOWN_LICENSE

    @property
    def family(self) -> Family:
        """The family of base models that the file says, else the usual one."""
        return stated(self.metadata) or FAMILIES[ASSUMED]


def card(data: ReportData, of: Exported, images: Sequence[tuple[Preview, Path]]) -> str:
    """The card as Markdown; `images` lie in a folder beside it that is named as the LoRA."""
    name, run, judged, config, metadata = of.name, of.run, of.judged, of.config, of.metadata
    environment = Environment(
        loader=PackageLoader("lora_lab.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    trigger = _inline(trigger_of(config, data.worker(run).record))
    family = of.family
    shown = [
        Shown(f"{name}/{file.name}", _inline(item.text), item.seed, show(float(item.strength)))
        for item, file in images
    ]
    return environment.get_template("card.md").render(
        name=name,
        front=_front_matter(of, trigger, shown),
        family=family.title,
        pipeline=family.pipeline_classes[0],
        base=_base(metadata, config),
        elsewhere=run.elsewhere,
        trigger=trigger,
        prompt=shown[0].prompt if shown else trigger or "an image",
        previews=shown,
        strength=show(of.strength.value),
        judged=[show(value) for value in of.strength.judged],
        settings=_settings(run, config),
        epoch=judged.epoch,
        images=data.worker(run).record.images,
        exposures=show(float(f"{judged.exposures:.3g}")) if judged.exposures else "",
        rendered=[config.get(f"preview.{key}") for key in ("sampler", "steps", "guidance_scale")],
        support=support(data, run, judged, of.advised),
        fingerprint=metadata.get("lora_lab.fingerprint", "unknown")[:12],
    )  # fmt: skip


def shown_by_webui(data: ReportData, of: Exported) -> dict[str, Any]:
    """What A1111 and Forge show of the LoRA beside its image."""
    trigger = trigger_of(of.config, data.worker(of.run).record)
    negative = str(of.config.get("preview.negative_prompt") or "")
    notes = [f"A LoRA for {of.family.title}.", *support(data, of.run, of.judged, of.advised)]
    return user_metadata(of.family, trigger, of.strength.value, negative, notes)


def _front_matter(of: Exported, trigger: str, shown: Sequence[Shown]) -> str:
    """The front matter, by which the Hub finds and shows a LoRA (huggingface.co/docs/hub/model-cards)."""
    base = _base_name(of.metadata, of.config)
    values = {
        **({"base_model": base, "base_model_relation": "adapter"} if base else {}),
        **({"instance_prompt": trigger} if trigger else {}),
        "license": of.license,
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["text-to-image", "diffusers", "lora", next(iter(of.family.files.architectures.values()))],
        "widget": [{"text": item.prompt, "output": {"url": item.file}} for item in shown],
    }
    filled = {key: value for key, value in values.items() if value != []}
    return yaml.safe_dump(filled, sort_keys=False, allow_unicode=True, width=1000).strip()


def trigger_of(config: Mapping[str, Any], record: RunRecord) -> str:
    """The trigger word that was set, or else what previews took for it; "" where there is none."""
    found = (record.resolved.get("facts") or {}).get("trigger")
    return str(config.get("dataset.trigger_word") or found or "")


def support(data: ReportData, run: RunEvidence, judged: CheckpointEvidence, advised: bool) -> list[str]:
    """What the scores say of this checkpoint, in sentences."""
    lines = [_scored(data, judged)]
    advice = copied(data)
    if advised and advice:
        lines += [
            f"Chosen by these scores out of {counted(len(data.evidence.own), 'run')}.",
            *advice.lines[2:],
        ]
        lines += advice.reasons
    elif data.verdict.recommendation:
        best = data.verdict.recommendation
        lines.append(f"Chosen by hand; the scores recommend {best.run} at checkpoint {best.tag}.")
    open_settings = [item.title for item in findings(data) if item.call == "not decided"]
    if open_settings:
        lines.append(f"Not decided by these scores: {', '.join(open_settings)}.")
    if run.same_as:
        lines.append(f"{run.name} is the same experiment as {run.same_as}.")
    return lines


def _scored(data: ReportData, judged: CheckpointEvidence) -> str:
    if judged.human is not None:
        people = ", ".join(judged.raters)
        count = counted(judged.judgements, "judgement")
        return f"Score {whole(judged.human)} of 100: {count} by {people}."
    if judged.score is not None and data.evidence.criterion != SCORE:
        return f"Nobody has scored it; the automatic metric {data.evidence.criterion} is {judged.score:.4g}."
    return "Nobody has scored it."


def _settings(run: RunEvidence, config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings that people ask for: as they acted, where that is known."""
    acting = {**{key: config.get(key) for key in ALWAYS_SHOWN}, **run.settings}
    keys = [key for key in ALWAYS_SHOWN if acting.get(key) not in (None, "") and not key.endswith(".path")]
    if run.settings:
        keys = [key for key in keys if key in run.settings]
    found = [(axis(key).label, show_setting(key, acting[key])) for key in keys]
    return found + ([("seed", str(run.seed))] if run.seed is not None else [])


def _base_name(metadata: Mapping[str, str], config: Mapping[str, Any]) -> str:
    name = metadata.get("ss_sd_model_name", "")
    return _inline(name if name not in ("", "None") else str(config.get("base_model.path") or ""))


def _base(metadata: Mapping[str, str], config: Mapping[str, Any]) -> str:
    name, digest = _base_name(metadata, config), metadata.get("ss_new_sd_model_hash", "")
    return f"{name} (SHA-256 {digest[:10]})" if digest not in ("", "None") else name


def _inline(text: str) -> str:
    """Text that can stand between backticks or in a table's cell."""
    return " ".join(text.replace("`", "'").replace("|", "/").split())
