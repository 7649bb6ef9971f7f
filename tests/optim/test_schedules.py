"""Schedules against the reference's recorded rates, and torch and transformers where there is no record."""

import json
from pathlib import Path

import pytest
import torch
from diffusers.optimization import get_piecewise_constant_schedule
from transformers import optimization as peer

from lora_lab.config.schema import LrSchedulerConfig
from lora_lab.errors import ConfigError
from lora_lab.optim import schedules
from lora_lab.optim.schedules import depends_on_total, lr_factor

RECORD = json.loads((Path(__file__).parents[1] / "golden" / "lr_schedules.json").read_text())
CASES = {case["tag"]: case for case in RECORD["cases"]}
FIELDS = {
    "lr_scheduler": "name",
    "lr_warmup_steps": "lr_warmup_steps",
    "lr_decay_steps": "lr_decay_steps",
    "lr_scheduler_num_cycles": "num_cycles",
    "lr_scheduler_power": "power",
    "lr_scheduler_min_lr_ratio": "min_lr_ratio",
    "lr_scheduler_timescale": "timescale",
}


def settings_of(case):
    values = {FIELDS[name]: value for name, value in case["args"].items()}
    values["lr_warmup_steps"] = str(values["lr_warmup_steps"])
    return LrSchedulerConfig(**values)


@pytest.mark.parametrize("tag", [tag for tag, case in CASES.items() if "lr" in case])
def test_rates_equal_the_reference(tag):
    case = CASES[tag]
    base = case["base_lr"]
    ours = [base * lr_factor(i, settings_of(case), case["steps"], base) for i in range(case["steps"])]
    assert ours == pytest.approx(case["lr"], abs=1e-9)


@pytest.mark.parametrize("tag", [tag for tag, case in CASES.items() if "error" in case])
def test_warmup_that_the_reference_dies_of_is_named_at_plan_time(tag):
    settings = settings_of(CASES[tag])
    found = schedules.check(settings, CASES[tag]["steps"])
    assert [one.key for one in found.inert] == ["lr_scheduler.lr_warmup_steps"]
    assert {lr_factor(i, settings, 200) for i in range(200)} == {1.0}


def rates_of(make, steps=60, lr=1.0):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


WSD = {"num_warmup_steps": 6, "num_stable_steps": 34, "num_decay_steps": 20}
ELSEWHERE = {
    "cosine": (LrSchedulerConfig("cosine", "7"), lambda o: peer.get_cosine_schedule_with_warmup(o, 7, 60)),
    "cosine, three half waves": (
        LrSchedulerConfig("cosine", args={"num_cycles": 1.5}),
        lambda o: peer.get_cosine_schedule_with_warmup(o, 0, 60, num_cycles=1.5),
    ),
    "warmup": (
        LrSchedulerConfig("constant_with_warmup", "10%"),
        lambda o: peer.get_constant_schedule_with_warmup(o, 6),
    ),
    "restarts": (
        LrSchedulerConfig("cosine_with_restarts", "5", num_cycles=3),
        lambda o: peer.get_cosine_with_hard_restarts_schedule_with_warmup(o, 5, 60, num_cycles=3),
    ),
    "polynomial": (
        LrSchedulerConfig("polynomial", "5", power=2.5, args={"lr_end": 1e-3}),
        lambda o: peer.get_polynomial_decay_schedule_with_warmup(o, 5, 60, lr_end=1e-3, power=2.5),
    ),
    "min lr": (
        LrSchedulerConfig("cosine_with_min_lr", "5", num_cycles=2, min_lr_ratio=0.2),
        lambda o: peer.get_cosine_with_min_lr_schedule_with_warmup(o, 5, 60, num_cycles=1.0, min_lr_rate=0.2),
    ),
    "inverse sqrt": (LrSchedulerConfig("inverse_sqrt"), lambda o: peer.get_inverse_sqrt_schedule(o, 0)),
    "inverse sqrt, scale": (
        LrSchedulerConfig("inverse_sqrt", "5", timescale=30),
        lambda o: peer.get_inverse_sqrt_schedule(o, 5, timescale=30),
    ),
    "wsd": (
        LrSchedulerConfig("warmup_stable_decay", "6", "20", min_lr_ratio=0.1),
        lambda o: peer.get_wsd_schedule(o, **WSD, min_lr_ratio=0.1, num_cycles=0.5),
    ),
    "wsd, shapes": (
        LrSchedulerConfig(
            "warmup_stable_decay", "10%", "20", args={"warmup_type": "cosine", "decay_type": "1-sqrt"}
        ),
        lambda o: peer.get_wsd_schedule(o, **WSD, warmup_type="cosine", decay_type="1-sqrt"),
    ),
    "wsd, other shapes": (
        LrSchedulerConfig(
            "warmup_stable_decay", "0.1", "20", args={"warmup_type": "1-sqrt", "decay_type": "linear"}
        ),
        lambda o: peer.get_wsd_schedule(o, **WSD, warmup_type="1-sqrt", decay_type="linear"),
    ),
    "piecewise": (
        LrSchedulerConfig("piecewise_constant", step_rules="1:10,0.1:20,0.01:30,0.005"),
        lambda o: get_piecewise_constant_schedule(o, "1:10,0.1:20,0.01:30,0.005"),
    ),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_rates_equal_the_libraries(case):
    settings, make = ELSEWHERE[case]
    ours = [lr_factor(i, settings, 60, 1.0) for i in range(60)]
    assert ours == pytest.approx(rates_of(make), abs=1e-12)


@pytest.mark.parametrize("name", schedules.FORMULAS)
def test_a_schedule_that_does_not_depend_on_the_total_is_a_prefix(name):
    settings = LrSchedulerConfig(name, "4", "5", step_rules="1:10,0.1")
    short = [lr_factor(i, settings, 20, 1e-3) for i in range(20)]
    long = [lr_factor(i, settings, 55, 1e-3) for i in range(20)]
    assert depends_on_total(settings) == (short != long)


def test_a_fractional_warmup_depends_on_the_total():
    assert depends_on_total(LrSchedulerConfig("constant_with_warmup", "10%"))
    assert depends_on_total(LrSchedulerConfig("inverse_sqrt", "0.1"))
    assert not depends_on_total(LrSchedulerConfig("constant_with_warmup", "0%"))
    assert not depends_on_total(LrSchedulerConfig("warmup_stable_decay", "5"))


@pytest.mark.parametrize(
    ("text", "steps"),
    [("100", 100), ("0", 0), ("0.1", 20), ("10%", 20), ("100%", 200), (0.25, 50), ("0.999", 199)],
)
def test_lengths(text, steps):
    assert schedules.steps_of(text, 200) == steps


@pytest.mark.parametrize("text", ["-1", "1.5", "ten", "101%", ""])
def test_lengths_that_are_none(text):
    with pytest.raises(ConfigError, match="lr_warmup_steps"):
        schedules.steps_of(text, 200)


def test_a_class_by_its_dotted_path_runs_and_gets_the_length():
    settings = LrSchedulerConfig("torch.optim.lr_scheduler.OneCycleLR", args={"max_lr": 2.0})
    factor = schedules.factor_function(settings, 60, 1.0)

    def one_cycle(_):
        stand_in = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
        return stand_in, torch.optim.lr_scheduler.OneCycleLR(stand_in, max_lr=2.0, total_steps=60)

    optimizer, scheduler = one_cycle(None)
    for step in range(60):
        assert factor(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        if step < 59:
            scheduler.step()
    assert depends_on_total(settings)


@pytest.mark.parametrize("name", ["torch.optim.lr_scheduler.Nothing", "no_such_package.Schedule"])
def test_a_dotted_class_that_is_not_there(name):
    with pytest.raises(ConfigError, match=r"lr_scheduler\.name"):
        schedules.factor_function(LrSchedulerConfig(name), 10, 1.0)


def test_a_class_that_follows_a_metric_is_refused():
    with pytest.raises(ConfigError, match="metric"):
        schedules.factor_function(LrSchedulerConfig("torch.optim.lr_scheduler.ReduceLROnPlateau"), 10, 1.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (LrSchedulerConfig("cosin"), "did you mean cosine?"),
        (LrSchedulerConfig("linear", "-3"), "must be a number of steps"),
        (LrSchedulerConfig("piecewise_constant"), "step_rules"),
        (LrSchedulerConfig("linear", args={"num_cycles": 2}), "it takes none"),
        (LrSchedulerConfig("polynomial", args={"lr_stop": 2}), "it takes lr_end"),
        (LrSchedulerConfig("warmup_stable_decay", args={"decay_type": "steep"}), "1-sqrt"),
        (LrSchedulerConfig("polynomial"), "must begin above"),
    ],
)
def test_refusals(settings, words):
    (text,) = schedules.check(
        settings, 100, 1e-8 if settings == LrSchedulerConfig("polynomial") else 1.0
    ).refusals
    assert words in text


def test_warnings_and_inert_settings():
    assert "never ends" in schedules.check(LrSchedulerConfig("linear", "300"), 200).warnings[0]
    assert (
        "more than" in schedules.check(LrSchedulerConfig("warmup_stable_decay", "60", "60"), 100).warnings[0]
    )
    found = schedules.check(LrSchedulerConfig("constant", num_cycles=3.0, power=2.0), 100)
    assert [one.key for one in found.inert] == ["lr_scheduler.num_cycles", "lr_scheduler.power"]
    assert (
        schedules.check(LrSchedulerConfig("cosine_with_restarts", "10%", num_cycles=3.0), 100)
        == schedules.Findings()
    )
