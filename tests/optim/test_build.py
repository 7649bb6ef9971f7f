"""Every optimizer of the registry is trained, saved, resumed and steered."""

import io
import math
import warnings

import bitsandbytes
import dadaptation
import prodigyopt
import pytest
import torch
from dadaptation.experimental import DAdaptAdamPreprint
from transformers.optimization import Adafactor as PeerAdafactor

from lora_lab.errors import ConfigError
from lora_lab.optim import build as optim
from lora_lab.optim import registry
from lora_lab.optim.build import build, effective_lrs, eval_mode, set_lrs, train_mode
from tests.optim.toy import Toy

NAMES = (*registry.names(), "torch.optim.RMSprop", "bitsandbytes.optim.AdEMAMix8bit")


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Paged optimizers are not supported on CPU")
        yield


def rate_of(name):
    entry = registry.find(name)
    return 1.0 if entry.learning_rate_about_one else 1e-3


def arguments_of(name):
    """8-bit rows get a threshold under the size of the test's tensors, or their state would be fp32."""
    return {"min_8bit_size": 16} if "8bit" in name.lower() else {}


def made(name, dtype=torch.float32, args=None, rates=None):
    args = arguments_of(name) | (args or {})
    toy = Toy(optim.layout(name, args), dtype)
    return toy, build(name, toy.groups(*(rates or [rate_of(name)] * 2)), args)


def state_tensors(optimizer):
    def tensors(value):
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict):
            for inner in value.values():
                yield from tensors(inner)

    return [t for state in optimizer.state_dict()["state"].values() for t in tensors(state)]


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16], ids=["fp32", "bf16", "fp16"]
)
@pytest.mark.parametrize("name", NAMES)
def test_trains_and_resumes_exactly(name, dtype):
    toy, optimizer = made(name, dtype)
    before = toy.weights()
    count = 3 if "8bit" in name.lower() else 10  # 8 bits are slow on a CPU
    toy.train(optimizer, count)
    halfway = toy.weights()
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    losses = toy.train(optimizer, count)
    assert toy.weights().isfinite().all()
    assert all(map(math.isfinite, losses))
    assert state_tensors(optimizer) or name == "sgd"
    assert not torch.equal(toy.weights(), before)

    resumed, fresh = made(name, dtype)
    resumed.load(halfway)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert resumed.train(fresh, count) == losses
    assert torch.equal(resumed.weights(), toy.weights())


@pytest.mark.parametrize("name", [name for name in registry.names() if "8bit" in name])
def test_8bit_state_is_8bit(name):
    toy, optimizer = made(name)
    toy.train(optimizer, 1)
    assert {t.dtype for t in state_tensors(optimizer) if t.dim() == 2} == {torch.uint8}


# relative-step Adafactor hardly moves, DAdaptSGD diverges (its own trait), and 8 bits take seconds on a CPU
DECREASING = [n for n in NAMES if n not in ("adafactor", "dadaptsgd") and "8bit" not in n.lower()]


@pytest.mark.parametrize("name", DECREASING)
def test_learns(name):
    toy, optimizer = made(name, rates=None if rate_of(name) == 1 else [4e-2, 4e-2])
    losses = toy.train(optimizer, 150)
    assert losses[-1] < 0.5 * losses[0]


ORACLES = {
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.1, "betas": (0.8, 0.9)}),
    "sgd": (torch.optim.SGD, {"momentum": 0.5, "weight_decay": 0.1}),
    "sgdnesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "pagedadamw32bit": (torch.optim.AdamW, {"weight_decay": 0.1}),
    "lion": (bitsandbytes.optim.Lion, {"weight_decay": 0.1}),
    "prodigy": (prodigyopt.Prodigy, {"d_coef": 2.0}),
    "dadaptadam": (dadaptation.DAdaptAdam, {"decouple": True}),
    "dadaptadan": (dadaptation.DAdaptAdan, {}),
    "dadaptlion": (dadaptation.DAdaptLion, {}),
    "dadaptation": (DAdaptAdamPreprint, {}),
}


@pytest.mark.parametrize("name", ORACLES)
def test_flat_parameters_give_what_separate_tensors_give(name):
    maker, args = ORACLES[name]
    dtype = (
        torch.float32 if "bitsandbytes" in maker.__module__ + registry.find(name).target else torch.float64
    )
    toy, optimizer = made(name, dtype, args)
    assert toy.layout == "flat"
    other = Toy("tensors", dtype)
    theirs = maker(other.parameters(), lr=rate_of(name), **args)
    toy.train(optimizer, 15), other.train(theirs, 15)
    rtol = 1e-5 if dtype == torch.float32 else 1e-8
    torch.testing.assert_close(toy.weights(), other.weights(), rtol=rtol, atol=rtol)


def test_adafactor_stacks_give_what_separate_tensors_give():
    toy, optimizer = made("adafactor")
    other = Toy("tensors")
    theirs = PeerAdafactor(other.parameters(), relative_step=True, scale_parameter=True, warmup_init=False)
    toy.train(optimizer, 15), other.train(theirs, 15)
    torch.testing.assert_close(toy.weights(), other.weights(), rtol=1e-5, atol=1e-7)


def test_nesterov_has_momentum_unless_told_otherwise():
    _, optimizer = made("sgdnesterov")
    assert (optimizer.defaults["nesterov"], optimizer.defaults["momentum"]) == (True, 0.9)
    _, optimizer = made("sgdnesterov", args={"momentum": 0.5})
    assert optimizer.defaults["momentum"] == 0.5


@pytest.mark.parametrize("argument", registry.find("sgdnesterov8bit").ignored)
def test_arguments_named_as_ignored_are(argument):
    ends = []
    for value in {"nesterov": (True, False), "dampening": (0.0, 0.5)}[argument]:
        toy, optimizer = made("sgdnesterov8bit", args={argument: value})
        toy.train(optimizer, 5)
        ends.append(toy.weights())
    assert torch.equal(*ends)


def test_views_that_are_not_contiguous_are_trained():
    """bitsandbytes works on `p.data.contiguous()`, which would leave the pack's own weights as they were."""
    toy, optimizer = made("adamw8bit")
    straight = toy.train(optimizer, 5)
    other = Toy("tensors")
    flat_parameters = torch.zeros(len(other.parameters()), 6, 6)
    for index, parameter in enumerate(other.parameters()):
        view = flat_parameters[index].T[: parameter.shape[0], : parameter.shape[1]]
        view.copy_(parameter.detach())
        parameter.data = view
    assert not other.parameters()[0].is_contiguous()
    mirrored = build("adamw8bit", other.groups(1e-3, 1e-3), arguments_of("adamw8bit"))
    assert other.train(mirrored, 5) == straight
    torch.testing.assert_close(flat_parameters[0].T[:4, :6], toy.parameters()[0].detach(), rtol=0, atol=0)


def test_groups_of_rate_zero_or_none_are_left_out():
    for off in (0, 0.0, None):
        _, optimizer = made("adamw", rates=(1e-3, off))
        assert [group["part"] for group in optimizer.param_groups] == ["unet"]
    _, optimizer = made("adafactor", rates=(None, 0))
    assert [group["part"] for group in optimizer.param_groups] == ["unet"]
    with pytest.raises(ConfigError, match="nothing would be trained"):
        made("adamw", rates=(0, None))


@pytest.mark.parametrize("name", [n for n in registry.names() if registry.find(n).one_lr_only])
def test_two_rates_are_refused_where_there_is_one(name):
    with pytest.raises(ConfigError, match="one rate"):
        made(name, rates=(1.0, 0.5))


def test_what_a_class_refuses_is_a_config_error():
    with pytest.raises(ConfigError, match="momentum"):
        made("sgdnesterov", args={"momentum": 0.0})
    with pytest.raises(ConfigError, match="no class NoSuch"):
        made("torch.optim.NoSuch")
    with pytest.raises(ConfigError, match="cannot import no_such_package"):
        made("no_such_package.Optimizer")
    with pytest.raises(ConfigError, match="is not a class of"):
        made("collections.Counter")


def test_set_lrs_multiplies_base_rates():
    _, optimizer = made("adamw", rates=(1e-3, 1e-4))
    set_lrs(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [5e-4, 5e-5]
    set_lrs(optimizer, [1.0, 0.1])
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3, 1e-5])
    _, optimizer = made("adafactor")
    set_lrs(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [None, None]


@pytest.mark.parametrize("name", registry.names())
def test_a_warmup_from_zero_runs(name):
    toy, optimizer = made(name)
    before = toy.weights()
    set_lrs(optimizer, 0.0)
    toy.train(optimizer, 1)
    if not registry.find(name).ignores_learning_rate({"relative_step": True}):
        assert torch.equal(toy.weights(), before)
    set_lrs(optimizer, 1.0)
    toy.train(optimizer, 2 if "8bit" in name else 8)  # RAdam's first five steps are silent
    assert toy.weights().isfinite().all()
    assert not torch.equal(toy.weights(), before)


def test_effective_rates():
    _, optimizer = made("adamw", rates=(1e-3, 1e-4))
    assert effective_lrs(optimizer) == {"unet": 1e-3, "text_encoder": 1e-4}
    toy, optimizer = made("prodigy", rates=(0.5, 0.5))
    toy.train(optimizer, 30)
    d = optimizer.param_groups[0]["d"]
    assert d > 1e-5
    assert effective_lrs(optimizer)["unet"] == 0.5 * d
    toy, optimizer = made("adamwschedulefree", args={"warmup_steps": 10})
    toy.train(optimizer, 5)
    assert effective_lrs(optimizer)["unet"] == pytest.approx(0.5e-3)


def test_effective_rate_of_adafactor_is_the_mean_over_tensors():
    toy, optimizer = made("adafactor")
    assert all(map(math.isnan, effective_lrs(optimizer).values()))
    down = toy.parameters()[0].detach().clone()
    toy.train(optimizer, 1)
    expected = 1e-2 * down.square().mean(dim=(1, 2)).sqrt().mean()
    assert effective_lrs(optimizer)["unet"] == pytest.approx(float(expected), rel=1e-5)


def test_groups_of_one_part_are_numbered():
    toy = Toy("flat")
    groups = [dict(group, part="unet") for group in toy.groups(1e-3, 1e-2)]
    assert effective_lrs(build("adamw", groups, {})) == {"unet": 1e-3, "unet.1": 1e-2}


@pytest.mark.parametrize("name", [n for n in registry.names() if registry.find(n).schedule_free])
def test_schedule_free_weights_come_back_bit_for_bit(name):
    toy, optimizer = made(name, rates=(1e-2, 1e-2))
    toy.train(optimizer, 20)
    training = toy.weights()
    eval_mode(optimizer)
    eval_mode(optimizer)
    assert not torch.equal(toy.weights(), training)
    train_mode(optimizer)
    assert torch.equal(toy.weights(), training)
    toy.train(optimizer, 1)


def test_schedule_free_weights_reach_parameters_that_have_copies():
    """fp16 weights are trained as fp32 copies; switching must show in the weights themselves."""
    toy, optimizer = made("adamwschedulefree", torch.float16, rates=(1e-2, 1e-2))
    toy.train(optimizer, 20)
    training = toy.weights()
    eval_mode(optimizer)
    assert not torch.equal(toy.weights(), training)
    train_mode(optimizer)
    assert torch.equal(toy.weights(), training)


def test_modes_do_nothing_to_the_others():
    toy, optimizer = made("adamw")
    toy.train(optimizer, 1)
    before = toy.weights()
    eval_mode(optimizer), train_mode(optimizer)
    assert torch.equal(toy.weights(), before)
