"""What a sweep may cost at most."""

from dataclasses import dataclass

from lora_lab.config.fields import at_least, setting


@dataclass
class BudgetConfig:
    """What a sweep may cost at most; a plan that is expected to cost more is refused."""

    hours: float = setting(
        0.0,
        "hours that a sweep may take, by the plan's estimate; 0 = any",
        at_least(0),
        trains=False,
        unit="hours",
        source="ours",
    )
    disk_gb: float = setting(
        0.0,
        "GB that its checkpoints and previews may take, by the plan's estimate; 0 = any",
        at_least(0),
        trains=False,
        unit="GB",
        source="ours",
    )
