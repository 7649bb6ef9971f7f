"""Which runs of a sweep are ended early."""

from dataclasses import dataclass

from lora_lab.config.fields import above, one_of, setting


@dataclass
class StopConfig:
    """Which runs of a sweep are ended early."""

    name: str = setting(
        "off",
        "off trains every run to its end; hopeless ends those that lie far behind the others",
        one_of("off", "hopeless"),
        trains=False,
        source="successive halving, arXiv 1502.07943",
    )
    judge: str = setting(
        "score",
        "what a run is held against the others by: score (people's, as they come in), or a metric such as "
        "likeness",
        trains=False,
        source="ours",
    )
    noise: float | None = setting(
        None,
        "standard deviation of the judge's number between repeats of a run; null = 5 points of 100",
        above(0),
        trains=False,
        source="ours",
    )
