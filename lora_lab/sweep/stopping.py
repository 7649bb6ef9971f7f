"""What `stop=hopeless` will do to a plan's rows, in words; and where it could do nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lora_lab.config import RunConfig
from lora_lab.errors import ConfigError, LoraLabError
from lora_lab.metrics.registry import OF_100, PEOPLE
from lora_lab.run.save_schedule import SaveSchedule
from lora_lab.store import SweepFolder
from lora_lab.store.scores import read_scores
from lora_lab.sweep.judges import wrong_judge

if TYPE_CHECKING:
    from lora_lab.sweep.plan import PlannedRun


def refuse_judge(config: RunConfig) -> None:
    """Refuse to end runs by a judge that says nothing of them.

    Raises:
        ConfigError: It is no metric, is not measured, or its noise is not known.
    """
    asked = config.stop
    if asked.name == "off":
        return
    text = wrong_judge("stop.judge", asked.judge, config)
    if not text and asked.noise is None and asked.judge not in OF_100:
        text = (
            f"stop.judge={asked.judge} has a scale of its own: set stop.noise to its standard deviation "
            f"between repeats of a run (`lora-lab verdict SWEEP --metric {asked.judge}` measures it), or "
            f"judge by {PEOPLE}"
        )
    if text:
        raise ConfigError(text)


def stopping(rows: Sequence[PlannedRun], folder: SweepFolder) -> list[str]:
    """What is to be known of rows that may be ended early; nothing where none may."""
    able = [row for row in rows if row.config.stop.name == "hopeless" and row.to_do]
    if not able:
        return []
    # With numpy and scipy: who ends nothing does not wait for them.
    from lora_lab.search.hopeless import LOOKS, MEAN_OF, granted, scale_of

    lines = []
    for judge, noise in dict.fromkeys((row.config.stop.judge, row.config.stop.noise) for row in able):
        unit, sd = scale_of(judge, noise)
        quarter, end = (granted(share, MEAN_OF, sd) * unit for share in (0.25, 1))
        lines.append(
            f"stop=hopeless: after each of {LOOKS} parts of its length a run is ended (status stopped) whose "
            f"{judge}, the mean of its last {MEAN_OF} checkpoints, is below the second best's at as much "
            f"training by more than {quarter:.2g} after a quarter to {end:.2g} at the end; "
            "--retry goes on with it, stop=off ends none"
        )
        if judge == PEOPLE and not _scored(folder):
            lines.append(
                "stop=hopeless: nobody has scored a checkpoint yet, so that nothing is ended: score while it "
                "trains, or set stop.judge to a metric"
            )
    once = [row.name for row in able if len(SaveSchedule.of(row.resolved).updates()) < 2]
    if once:
        lines.append(
            f"stop=hopeless cannot end {', '.join(once)}: no checkpoint is saved on the way "
            "(train.save_every_n_epochs)"
        )
    stateless = [row.name for row in able if not row.config.train.save_state]
    if stateless:
        lines.append(
            f"stop=hopeless: with train.save_state=false {', '.join(stateless)} would keep no state: --retry "
            "would train it from the start"
        )
    if able[0].config.engine.rounds == 1:
        lines.append(
            "stop=hopeless: with engine.rounds=1 a run is held against its pack and the packs before; "
            "engine.rounds=4 trains all by quarters, so that all are held against each other"
        )
    return lines


def _scored(folder: SweepFolder) -> bool:
    try:
        return bool(read_scores(folder).scores)
    except LoraLabError:
        return False  # whoever reads the scores says what is wrong with them
