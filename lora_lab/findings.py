"""What a check found before anything runs: what is refused, what is doubtful, what cannot act."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Inert:
    """A setting that cannot act.

    `key` is a full setting key (`optimizer.learning_rate`) or a whole group of settings (`lr_scheduler`).
    """

    key: str
    reason: str


@dataclass(frozen=True)
class Findings:
    """The result of a check. Refusals stop a run from being planned; warnings and inert settings do not."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    inert: tuple[Inert, ...] = ()

    def __add__(self, other: "Findings") -> "Findings":
        """Everything that either check found, in order."""
        if not (other.refusals or other.warnings or other.inert):
            return self
        return Findings(
            self.refusals + other.refusals, self.warnings + other.warnings, self.inert + other.inert
        )


def refused(*texts: str) -> Findings:
    """Findings of refusals alone."""
    return Findings(refusals=texts)


def warned(*texts: str) -> Findings:
    """Findings of warnings alone."""
    return Findings(warnings=texts)


def cannot_act(reason: str, *keys: str) -> Findings:
    """Findings that say of each key that it cannot act, for the one reason."""
    return Findings(inert=tuple(Inert(key, reason) for key in keys))
