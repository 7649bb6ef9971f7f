"""What a verdict says: plain numbers and calls, for the terminal, plots, the report and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lora_lab.axes import show_setting
from lora_lab.verdict.evidence import Evidence
from lora_lab.verdict.ranking import Ranked
from lora_lab.words import said

if TYPE_CHECKING:
    from lora_lab.verdict.prior import Prior

HELPS, HURTS, MIXED, DEPENDS = "helps", "hurts", "mixed", "depends"
SEEMS_TO_HELP, SEEMS_TO_HURT, SEEMS_MIXED = "seems to help", "seems to hurt", "seems mixed"
NO_DIFFERENCE, NOT_DECIDED = "no difference", "not decided"
CALLS = (
    HELPS, HURTS, MIXED, DEPENDS, NO_DIFFERENCE, NOT_DECIDED, SEEMS_TO_HELP, SEEMS_TO_HURT, SEEMS_MIXED
)  # fmt: skip
"""What can be said of a setting.

`MIXED`: some levels help and some hurt. `DEPENDS`: it makes a difference, and not the same one in all matched
pairs. The `seems` ones describe: nothing was tested, as nothing was repeated.
"""

INTERACTS, SEEMS_TO_INTERACT = "interacts", "seems to interact"

MEASURED, ASSUMED, EARLIER, UNMEASURED = "measured", "assumed", "earlier", "unmeasured"


@dataclass(frozen=True)
class Spread:
    """The variance of one run's score that is reckoned with, and its degrees of freedom.

    Cells whose variances are of one `source` share its error; '' is what most share.
    """

    variance: float
    df: float
    source: str = ""


@dataclass(frozen=True)
class Noise:
    """How much the score moves when a run is repeated with another seed.

    Attributes:
        source: `MEASURED` from replicates, `ASSUMED` by the user, `EARLIER` from the user's earlier sweeps,
        or
            `UNMEASURED`: then `single` is what is expected without having been seen, and nothing is tested.
        sd: Standard deviation of one run as measured or assumed.
        low: Lower end of its 95 % interval (measured only); `high` is the upper one.
        df: Degrees of freedom of `sd`; infinite where it is assumed.
        groups: The runs of each group of replicates.
        smallest: The smallest difference between two single runs that would be called.
        single: What a cell that was run once is reckoned with; `by_cell` those that were repeated, by group.
        prior: What was expected before; None where nothing is known of the scale.
        equal_p: How likely the variances of the groups differ this much by chance; None with one group.
        unequal: Where they do differ: the groups' first runs with their standard deviations, steadiest first.
        alike: Whether enough groups have one variance for cells that were run once to be taken to have it.
        at_the_end: Repeated cells that are no measure, as they reach 0 or 100, by their first runs.
        least: The variance that the raters' own repeatability leaves in a run's score, by cell.
    """

    source: str
    sd: float | None = None
    df: float = 0.0
    low: float | None = None
    high: float | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    smallest: float | None = None
    single: Spread | None = None
    by_cell: Mapping[str, Spread] = field(default_factory=dict)
    prior: Prior | None = None
    equal_p: float | None = None
    unequal: tuple[tuple[str, float], ...] = ()
    alike: bool = False
    at_the_end: tuple[str, ...] = ()
    least: Mapping[str, float] = field(default_factory=dict)

    @property
    def tested(self) -> bool:
        """Whether differences are tested: the noise is known from somewhere."""
        return self.source != UNMEASURED

    @property
    def reckoned(self) -> float | None:
        """The standard deviation that a run that was not repeated is reckoned with."""
        return math.sqrt(self.single.variance) if self.single else None

    def of(self, group: str) -> Spread | None:
        """What a cell is reckoned with."""
        found = self.by_cell.get(group, self.single)
        least = self.least.get(group, 0.0)
        return Spread(least, found.df, found.source) if found and found.variance < least else found


@dataclass(frozen=True)
class MatchedPair:
    """Two groups of runs that differ in one setting alone, by the names of their first runs.

    Attributes:
        reference: The group with the reference level, `other` the one with the other level.
        difference: Other minus reference.
        where: In what the pair differs from the sweep's reference run beside the setting, in words, or ''.
        assumed: Settings of which it is not known whether they are equal.
    """

    reference: str
    other: str
    reference_score: float
    other_score: float
    where: str = ""
    assumed: tuple[str, ...] = ()

    @property
    def difference(self) -> float:
        """What changing the setting did here."""
        return self.other_score - self.reference_score


@dataclass(frozen=True)
class Contrast:
    """One level of a setting against its reference level: the mean over matched pairs.

    Attributes:
        low: Lower end of the 95 % interval, which holds for all contrasts of the setting at once; None
            where run-to-run variation is not measured.
        p: How likely a difference this large is without an effect, all contrasts of the setting counted.
        conflict: The same for the pairs' disagreement with each other; None with one pair.
        holds_up_to: The run-to-run standard deviation above which the difference would not be called.
        conflicting: Whether the pairs disagree beyond chance, or a called interaction says so.
        same_training: Whether all that is compared are checkpoints of the same training: shown, not tested.
        once: Whether one of the levels was run once only, and how much it varies is not known.
        look: The how-many-th verdict this is on growing scores of it; the interval is made wider for that.
        star: Whether the call stands when all settings of the verdict are counted as one family.
    """

    reference: Any
    level: Any
    difference: float
    pairs: tuple[MatchedPair, ...]
    call: str
    low: float | None = None
    high: float | None = None
    p: float | None = None
    conflict: float | None = None
    holds_up_to: float = 0.0
    conflicting: bool = False
    same_training: bool = False
    once: bool = False
    look: int = 1
    star: bool = False


@dataclass(frozen=True)
class Level:
    """One value of a setting: its runs with a score, and their mean (not matched: for an image only)."""

    value: Any
    runs: tuple[str, ...]
    mean: float | None


@dataclass(frozen=True)
class SettingEffect:
    """What the runs say of one setting.

    Attributes:
        key: The dotted key; `label` is what people call it.
        under: The choice that the setting belongs to, such as ("optimizer.name", "lion"), or None: the
            learning rate of Lion is another setting than that of AdamW.
        sentence: The call in words.
        no_larger_than: The bound of a `NO_DIFFERENCE` call.
        more_runs: About how many more runs would decide it, `repeat` which ones; None where it is decided or
            out of reach.
        survives_all: Whether the call stands when all settings of the verdict are counted as one family.
        shape: How the score moves along a numeric setting: rising, falling, best at 16, ...; or ''.
    """

    key: str
    label: str
    under: tuple[str, Any] | None
    levels: tuple[Level, ...]
    contrasts: tuple[Contrast, ...]
    call: str
    sentence: str
    no_larger_than: float | None = None
    more_runs: int | None = None
    repeat: Mapping[str, int] = field(default_factory=dict)
    survives_all: bool = False
    shape: str = ""

    @property
    def title(self) -> str:
        """The label with what it belongs to."""
        if not self.under:
            return self.label
        return said("under_title", label=self.label, value=show_setting(*self.under))

    @property
    def assumed(self) -> tuple[str, ...]:
        """Settings that had to be taken as equal."""
        return tuple(
            dict.fromkeys(key for item in self.contrasts for pair in item.pairs for key in pair.assumed)
        )


@dataclass(frozen=True)
class Interaction:
    """Two settings whose effects depend on each other: squares of matched pairs.

    Attributes:
        one: (key, reference level, other level); `other` alike.
        scores: Means over the squares: reference, one changed, other changed, both changed.
        difference: What changing `one` does with `other` changed, minus what it does without.
        squares: The four groups of each square.
        p: Of one F test of all combinations of levels of the two settings, all pairs of settings counted.
        levels: How many combinations of levels that is.
    """

    one: tuple[str, Any, Any]
    other: tuple[str, Any, Any]
    scores: tuple[float, float, float, float]
    difference: float
    squares: tuple[tuple[str, str, str, str], ...]
    call: str
    sentence: str
    low: float | None = None
    high: float | None = None
    p: float | None = None
    holds_up_to: float = 0.0
    assumed: tuple[str, ...] = ()
    levels: int = 1

    @property
    def crossing(self) -> bool:
        """Whether either setting acts in the one direction here and in the other there."""
        start, one, other, both = self.scores
        return (one - start) * (both - other) < 0 or (other - start) * (both - one) < 0


@dataclass(frozen=True)
class Course:
    """A run's score along its checkpoints, as (tag, epoch, score); `call` is over-trained, still rising, flat
    or up and down."""

    run: str
    points: tuple[tuple[str, int | None, float], ...]
    best: str
    call: str
    sentence: str


@dataclass(frozen=True)
class Cost:
    """What a run cost; `best_for` names the costs for which no cheaper run scored as much."""

    run: str
    score: float
    minutes: float | None
    memory_bytes: int | None
    file_bytes: int | None
    best_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class UsableShare:
    """How many runs of one level ended with images that show something, with a 95 % Wilson interval."""

    key: str
    value: Any
    usable: int
    of: int
    low: float
    high: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Agreement:
    """Spearman's correlation of an automatic metric with people's scores over runs, with a 95 % interval.

    Attributes:
        above: The same among the runs above the median score, with its interval `among`; None with too few.
        tried: How many metrics were looked at; the intervals hold for all of them at once.
    """

    metric: str
    runs: int
    rho: float
    low: float
    high: float
    sentence: str
    above: float | None = None
    among: tuple[float, float] | None = None
    tried: int = 1


@dataclass(frozen=True)
class Importance:
    """Share of the score's variance by setting (fANOVA), beside what shuffled scores give."""

    key: str
    label: str
    share: float
    null: float
    p: float


@dataclass(frozen=True)
class Recommendation:
    """The run to copy.

    Attributes:
        run: Its name; `tag` is the checkpoint to take.
        best: The best-scored run, which may be another one.
        overrides: Settings in which it differs from the sweep's reference run, as overrides.
        reasons: What supports it, and what does not, in words.
        rivals: Runs that these scores cannot tell from the best.
    """

    run: str
    tag: str
    score: float
    best: str
    overrides: tuple[str, ...]
    reasons: tuple[str, ...]
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Everything that a sweep's scores support.

    Attributes:
        relevant: The difference that is worth knowing of; below it "no difference" may be said.
        together: Groups of settings that always changed together, so that nothing tells them apart.
        comparisons: How many settings and interactions were looked at.
        missing: Runs without a score, with the reason.
        reference: The run that the others are compared with.
        rater_alpha: Krippendorff's alpha of the raters; None with fewer than two.
        ranking: Checkpoints by blind comparisons, apart from the scores; empty without comparisons.
        importance: None unless it was asked for and can be had; the reason is then in `notes`.
    """

    evidence: Evidence
    noise: Noise
    relevant: float
    reference: str
    settings: tuple[SettingEffect, ...]
    interactions: tuple[Interaction, ...]
    together: tuple[tuple[str, ...], ...]
    courses: tuple[Course, ...]
    costs: tuple[Cost, ...]
    usable: tuple[UsableShare, ...]
    agreement: tuple[Agreement, ...]
    recommendation: Recommendation | None
    missing: Mapping[str, str]
    comparisons: int
    rater_alpha: float | None = None
    ranking: tuple[Ranked, ...] = ()
    importance: tuple[Importance, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def look(self) -> int:
        """The how-many-th verdict on changed scores of these settings this is."""
        return max((each.look for item in self.settings for each in item.contrasts), default=1)
