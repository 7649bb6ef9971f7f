"""LoHa, LoKr, DoRA and block weights through the training loop: packed equals alone, stops are exact."""

import pytest

from lora_lab.networks.blocks import block_weights, weight_of
from tests.train.conftest import ROWS, Bench
from tests.train.test_loop import largest_difference

ADAMW = ["optimizer=adamw", "optimizer.learning_rate=1e-3"]
TYPES = {
    "loha": ["network=loha", "network.network_dim=2", "network.conv_dim=1", "network.rank_dropout=0.2",
             *ADAMW],
    "lokr": ["network=lokr", "network.network_dim=2", "network.factor=4", "optimizer=adafactor"],
    "dora": ["network=dora", "network.network_dim=3", "network.module_dropout=0.2", "optimizer=lion",
             "network.scale_weight_norms=0.01"],
    "blocks": ["network.up_lr_weight=sine+0.1", "network.mid_lr_weight='0'", *ADAMW],
}  # fmt: skip
SHORT = ["train.max_train_steps=3"]


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, overrides in TYPES.items():
        monkeypatch.setitem(ROWS, name, overrides)


def test_types_share_a_pack(bench: Bench) -> None:
    _, packed, _ = bench.train([*TYPES, "locon"], SHORT)
    for name in (*TYPES, "locon"):
        _, alone, _ = bench.train([name], SHORT)
        assert max(float(tensor.abs().max()) for tensor in alone[name].values()) > 1e-3
        assert largest_difference(packed[name], alone[name]) < 1e-9, name


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPES)
def test_resuming_is_bit_for_bit(bench: Bench, name: str) -> None:
    _, straight, _ = bench.train([name], SHORT)
    bench.train([name], SHORT, until=lambda runner: runner.update >= 2)
    _, resumed, _ = bench.train([name], SHORT, states=bench.states)
    assert largest_difference(straight[name], resumed[name]) == 0.0


@pytest.mark.slow
def test_resuming_in_another_pack(bench: Bench) -> None:
    """A state does not depend on which forms and dims a pack was built for."""
    _, straight, _ = bench.train(["loha", "dora"], SHORT)
    bench.train(["loha", "dora"], SHORT, until=lambda runner: runner.update >= 2)
    states = dict(bench.states)
    bench.train(["lokr"], SHORT, until=lambda runner: runner.update >= 1)
    states["lokr"] = bench.states["lokr"]
    _, resumed, _ = bench.train(["dora", "lokr", "loha"], SHORT, states=states)
    for name in ("loha", "dora"):
        assert largest_difference(straight[name], resumed[name]) < 1e-9


def test_blocks_learn_at_their_own_rates(bench: Bench) -> None:
    """The rates that really acted: shares of the U-Net's blocks, and all of it elsewhere."""
    _, weights, records = bench.train(["blocks"], ["train.max_train_steps=1"])
    blocks = block_weights("sd1", "", "0", "sine+0.1", 0.0)
    names = {key.split(".")[0] for key in weights["blocks"]}
    shares = {weight_of(name, blocks) for name in names if "unet" in name}
    rates = records[0].learning_rates
    of_unet = {round(rate / 1e-3, 9) for part, rate in rates.items() if part.startswith("unet")}
    assert rates["text_encoder"] == 1e-3
    assert of_unet == {round(share, 9) for share in shares} and len(shares) > 2
    assert not any("mid_block" in name for name in names)
