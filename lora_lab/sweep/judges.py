"""Who judges runs while a sweep goes on: people, or a metric that every run has a number of."""

from lora_lab.config import RunConfig, nearest
from lora_lab.metrics.registry import LESS_IS_BETTER, NUMBERS, PEOPLE


def wrong_judge(key: str, judge: str, config: RunConfig) -> str:
    """Why nothing can be learnt from a judge, and the way out; '' where it can.

    Args:
        key: Where it is named, such as `search: judge`.
        config: What the runs measure.
    """
    able = [number for number in NUMBERS if number not in LESS_IS_BETTER]
    if judge == PEOPLE:
        return ""
    if judge in LESS_IS_BETTER:
        return (
            f"{key}: {judge}: less of it is better, and a LoRA that does nothing has least: "
            f"judge by {PEOPLE} or another metric; known: {', '.join(able)}"
        )
    if judge not in NUMBERS:
        near = nearest(judge, [PEOPLE, *able]) or ";"
        return f"{key}: there is no metric {judge!r}{near} known: {', '.join([PEOPLE, *able])}"
    if NUMBERS[judge] not in config.metric.names:
        return (
            f"{key}: {judge} is not measured by this sweep: add {NUMBERS[judge]} to metric.names "
            f"(now {', '.join(config.metric.names) or 'none'}), or judge by {PEOPLE}"
        )
    if not config.preview.seeds:
        return (
            f"{key}: {judge} is measured on previews, and preview.seeds=[] turns them off: "
            f"name a seed, or judge by {PEOPLE}"
        )
    return ""
