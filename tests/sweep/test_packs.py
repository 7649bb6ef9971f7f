"""Which rows train together."""

import pytest

from lora_lab.config import compose
from lora_lab.effective import Facts, Resolved, resolve
from lora_lab.errors import ConfigError
from lora_lab.sweep.pack_size import pack_size
from lora_lab.sweep.packs import balanced, make_packs, pack_key
from lora_lab.sweep.timings import Timing, kinds_of


def effective(*overrides: str, **identities: str) -> Resolved:
    config = compose(["base_model=sd15", "base_model.path=m", "dataset.path=d", *overrides])
    return resolve(config, Facts(), identities or {"base_model": "m"})


class TestPacks:
    SIZES = {"a": 100.0, "b": 400.0, "c": 300.0, "d": 200.0, "e": 50.0}

    def packs(self, pack_size: int, workers: int = 1, keys: str = "x") -> list[list[str]]:
        return make_packs(
            list(self.SIZES),
            lambda name: keys if len(keys) == 1 else keys["abcde".index(name)],
            self.SIZES.__getitem__,
            pack_size=pack_size,
            workers=workers,
        )

    def test_one_pack_longest_first(self) -> None:
        assert self.packs(8) == [["b", "c", "d", "a", "e"]]

    def test_never_larger_than_pack_size_and_even(self) -> None:
        assert self.packs(4) == [["b", "c", "d"], ["a", "e"]]
        assert self.packs(1) == [["b"], ["c"], ["d"], ["a"], ["e"]]

    def test_every_worker_gets_one(self) -> None:
        assert [len(pack) for pack in self.packs(8, workers=2)] == [3, 2]
        assert [len(pack) for pack in self.packs(8, workers=16)] == [1] * 5

    def test_only_equal_keys_share(self) -> None:
        found = self.packs(8, keys="xyxyx")
        assert sorted(map(sorted, found)) == [["a", "c", "e"], ["b", "d"]]
        assert found[0] == ["b", "d"]

    def test_nothing_to_do(self) -> None:
        assert make_packs([], str, float, pack_size=8, workers=2) == []

    def test_what_a_pack_has_in_common(self) -> None:
        config = compose(["base_model=sd15", "base_model.path=m", "dataset.path=d"])
        one = pack_key(config, effective())
        assert one == pack_key(config, effective("network.network_dim=4", "train.train_batch_size=4"))
        assert one != pack_key(config, effective(base_model="m2"))
        assert one != pack_key(config, effective(base_model="m", vae="v"))
        assert one != pack_key(config, effective("train.mixed_precision=bf16"))
        assert one != pack_key(config, effective("base_model.fp8_base=true"))
        assert one != pack_key(config, effective("base_model.nf4_base=true"))
        saving = compose(
            ["base_model=sd15", "base_model.path=m", "dataset.path=d", "train.gradient_checkpointing=true"]
        )
        assert one != pack_key(saving, effective("train.gradient_checkpointing=true"))


class TestBalance:
    """Four runs of 1 and one of 4, in packs that take half a unit a step beside what their runs do."""

    LENGTH = {"a": 4.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 1.0}

    def cost(self, pack) -> float:
        return 0.5 * max(self.LENGTH[name] for name in pack) + sum(self.LENGTH[name] for name in pack)

    def packs(self, start: list[list[str]], size: int = 8, key=lambda name: "x") -> list[list[str]]:
        return balanced(start, key, self.cost, pack_size=size, workers=2)

    def test_the_last_worker_gives_runs_to_the_one_that_would_idle(self) -> None:
        start = [["a", "b", "c"], ["d", "e"]]
        assert [self.cost(pack) for pack in start] == [8.0, 2.5]
        found = self.packs(start)
        assert found == [["a"], ["b", "c", "d", "e"]]
        assert max(map(self.cost, found)) == 6.0, "a alone takes that"

    def test_never_more_than_fit_and_never_beside_what_they_cannot_share_with(self) -> None:
        start = [["a", "b", "c"], ["d", "e"]]
        assert max(map(len, self.packs(start, size=3))) <= 3
        apart = {"a": "x", "b": "x", "c": "x", "d": "y", "e": "y"}
        assert self.packs(start, key=apart.__getitem__) == start

    def test_the_same_input_gives_the_same_packs(self) -> None:
        start = [["a", "b", "c"], ["d", "e"]]
        assert self.packs(start) == self.packs(start)


class TestSize:
    """Workers that hold 4 GB and 2 GB for every run of the pack."""

    def timings(self, *sizes: int) -> list[Timing]:
        kinds = kinds_of(effective())
        return [Timing(kinds, size, 1.0, 0.0, None, "", (4 + 2 * size) * 10**9, 0) for size in sizes]

    def size(self, memory: float | None, *sizes: int, asked: str = "auto") -> int:
        held = None if memory is None else int(memory * 10**9)
        return pack_size(asked, [effective()], self.timings(*sizes), held)

    def test_what_fits_with_room_to_spare(self) -> None:
        # 85 % of 24 GB are 20.4: 4 for the base model leave 16.4, for 8 runs of 2.
        assert self.size(24, 1, 4) == 8
        assert self.size(12, 1, 4) == 3
        assert self.size(5, 1, 4) == 1, "less than the base model: it is tried alone"
        assert self.size(1000, 1, 4) == 16

    def test_where_it_is_not_known(self) -> None:
        assert self.size(24) == self.size(24, 4, 4) == self.size(None, 1, 4) == 8

    def test_what_is_asked_for(self) -> None:
        assert self.size(24, 1, 4, asked="3") == 3
        assert compose(["base_model=demo", "engine.pack_size=3"]).engine.pack_size == "3"
        for wrong in ("0", "many", "-1", "1.5"):
            with pytest.raises(ConfigError, match="engine.pack_size must be auto, or a whole number"):
                compose(["base_model=demo", f"engine.pack_size={wrong}"])
