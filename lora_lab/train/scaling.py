"""Loss scaling for fp16, one scale per run: an overflow in one run never costs its pack-mates a step."""

from dataclasses import asdict, dataclass

INITIAL, GROWTH, BACKOFF, GROWTH_INTERVAL = 65536.0, 2.0, 0.5, 2000
"""The constants of torch.amp.GradScaler."""
GIVE_UP_BELOW = 1e-3
"""A scale this small means that the gradients are not finite at any scale."""


@dataclass
class LossScale:
    """The scale of one run and the updates since it last changed."""

    enabled: bool
    scale: float = INITIAL
    good_updates: int = 0

    @property
    def factor(self) -> float:
        """What the loss is multiplied by before the backward pass."""
        return self.scale if self.enabled else 1.0

    def update(self, finite: bool) -> None:
        """Follow an update: halve the scale after an overflow, double it after 2000 good ones."""
        if not finite:
            self.scale *= BACKOFF
            self.good_updates = 0
            return
        self.good_updates += 1
        if self.good_updates == GROWTH_INTERVAL:
            self.scale *= GROWTH
            self.good_updates = 0

    @property
    def hopeless(self) -> bool:
        """Whether lowering the scale has stopped helping."""
        return not self.enabled or self.scale < GIVE_UP_BELOW

    def state(self) -> dict[str, float]:
        """Plain values to store."""
        return asdict(self)
