"""Which rows train together."""

from lora_lab.config import compose
from lora_lab.effective import Facts, Resolved, resolve
from lora_lab.sweep.packs import make_packs, pack_key


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
