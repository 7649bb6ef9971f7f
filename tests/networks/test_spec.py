import subprocess
import sys

import pytest

from lora_lab.errors import ConfigError
from lora_lab.networks.spec import AdapterSpec


def test_alpha_zero_means_dim():
    spec = AdapterSpec(16, 0, conv_dim=4, conv_alpha=0)
    assert (spec.alpha("linear"), spec.alpha("conv"), spec.scale("linear"), spec.scale("conv")) == (
        16,
        4,
        1,
        1,
    )


def test_convolutions_have_their_own_dim_and_alpha():
    spec = AdapterSpec(16, 8, conv_dim=4, conv_alpha=1)
    assert [spec.rank(kind) for kind in ("linear", "conv1x1", "conv")] == [16, 16, 4]
    assert [spec.scale(kind) for kind in ("linear", "conv1x1", "conv")] == [0.5, 0.5, 0.25]


def test_lycoris_presets_default_to_the_network_dim():
    spec = AdapterSpec(16, 8, preset="full")
    assert (spec.rank("conv"), spec.alpha("conv")) == (16, 8)


def test_all_problems_in_one_message():
    with pytest.raises(ConfigError) as error:
        AdapterSpec(0, -1, preset="ful", rank_dropout=1.0, train_unet=False, train_text_encoder=False)
    for part in (
        "network.preset='ful'",
        "network_dim=0",
        "network_alpha=-1",
        "rank_dropout=1.0",
        "nothing to train",
    ):
        assert part in str(error.value)


def test_importable_without_torch():
    code = "import sys; import lora_lab.networks.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
