"""What is rendered from every checkpoint."""

from dataclasses import dataclass

from lora_lab.config.fields import above, at_least, between, each, not_empty, one_of, seed, setting


@dataclass
class PreviewConfig:
    """What is rendered from every checkpoint."""

    prompts: list[str] = setting(
        [],
        "prompts; {trigger} stands for the trigger word",
        trains=False,
        peer="--sample_prompts",
        source="sd-scripts (sample prompts)",
    )
    negative_prompt: str = setting(
        "",
        "negative prompt of all previews",
        trains=False,
        peer="--n",
        source="sd-scripts (sample prompts)",
    )
    seeds: list[int] = setting(
        [1234],
        "noise seeds",
        each(seed),
        trains=False,
        peer="--d",
        source="sd-scripts (sample prompts)",
    )
    strengths: list[float] = setting(
        [1.0],
        "LoRA strengths",
        not_empty,
        trains=False,
        source="the article's previews (LoRA multiplier)",
    )
    steps: int = setting(
        20,
        "sampling steps",
        between(1, 1000),
        trains=False,
        peer="--s",
        source="sd-scripts (sample prompts)",
    )
    guidance_scale: float = setting(
        7.0,
        "classifier-free guidance, 1 = off",
        at_least(0),
        trains=False,
        peer="--l",
        source="arXiv 2207.12598",
    )
    sampler: str = setting(
        "ddim",
        "sampler",
        one_of("ddim", "euler", "euler_a", "dpm++_2m", "unipc"),
        trains=False,
        peer="--sample_sampler --ss",
        source="sd-scripts (sample prompts)",
    )
    flow_shift: float = setting(
        1.0,
        "shift of a flow's times in previews: above 1 more steps near noise",
        above(0),
        trains=False,
        scale="log",
        peer="--fs",
        source="arXiv 2403.03206, equation 23; sd-scripts (sample prompts)",
    )
    size: str | None = setting(
        None,
        "pixels as in dataset.resolution; null = that",
        trains=False,
        peer="--w --h",
        source="sd-scripts (sample prompts)",
    )
    clip_skip: int | None = setting(
        None,
        "clip skip of previews; null = as trained",
        between(1, 24),
        trains=False,
        source="A1111 counting",
    )
    batch_size: int = setting(
        8,
        "images rendered at once",
        at_least(1),
        trains=False,
        source="ours",
    )
    anchors: bool = setting(
        True,
        "render the base model without LoRA once per sweep, too",
        trains=False,
        peer="--sample_at_first",
        source="ours: the base model without LoRA beside every run",
    )
    stop_black: bool = setting(
        True,
        "end a run at a checkpoint whose previews are all black or flat, unlike the base model's",
        trains=False,
        source="ours: a run that renders nothing any more learns nothing by going on",
    )
