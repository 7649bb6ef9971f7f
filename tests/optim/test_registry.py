"""Names, facts, arguments and checks; facts are held to the classes they speak of."""

import importlib
import inspect
import subprocess
import sys

import pytest
import torch

from lora_lab.config import groups
from lora_lab.errors import ConfigError
from lora_lab.findings import Findings
from lora_lab.optim import registry
from lora_lab.optim.build import build
from lora_lab.optim.entries import ENTRIES, TORCH_CLASSES

ASKED_FOR = """
adamw adamw8bit pagedadamw8bit pagedadamw32bit lion lion8bit pagedlion8bit sgd sgdnesterov sgdnesterov8bit
adafactor dadaptation dadaptadam dadaptadampreprint dadaptadagrad dadaptadan dadaptadanip dadaptlion dadaptsgd
prodigy adamwschedulefree radamschedulefree sgdschedulefree
"""

GUI_NAMES = [
    "AdamW",
    "AdamW8bit",
    "PagedAdamW",
    "PagedAdamW8bit",
    "PagedAdamW32bit",
    "Lion",
    "Lion8bit",
    "PagedLion8bit",
    "SGDNesterov",
    "SGDNesterov8bit",
    "Adafactor",
    "AdaFactor",
    "DAdaptation",
    "DAdaptAdaGrad",
    "DAdaptAdam",
    "DAdaptAdan",
    "DAdaptAdanIP",
    "DAdaptAdamPreprint",
    "DAdaptLion",
    "DAdaptSGD",
    "Prodigy",
    "AdamWScheduleFree",
    "RAdamScheduleFree",
    "SGDScheduleFree",
]


def test_every_name_asked_for_is_known():
    assert set(ASKED_FOR.split()) <= set(registry.names())


def class_of(entry):
    module, _, name = entry.target.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", registry.names())
def test_arguments_are_those_of_the_class(name):
    entry = registry.find(name)
    known = inspect.signature(class_of(entry)).parameters
    assert set(entry.arguments) <= set(known)
    assert set(entry.defaults) <= set(entry.arguments)
    assert set(entry.ignored) <= set(entry.arguments)


@pytest.mark.parametrize("name", registry.names())
def test_the_classes_own_defaults_are_of_the_kinds_named(name):
    entry = registry.find(name)
    known = inspect.signature(class_of(entry)).parameters
    own = {
        key: known[key].default
        for key in entry.arguments
        if known[key].default is not inspect.Parameter.empty
    }
    assert (
        registry.arguments(entry, own).items()
        >= {k: v for k, v in own.items() if k != "relative_step"}.items()
    )


def test_no_torch_is_imported_by_planning():
    code = (
        "import sys; from lora_lab.optim import registry, schedules; from lora_lab.losses import settings; "
        "registry.check('prodigy', 1.0, None, None, {}, 'cpu'); "
        "schedules.check(schedules.LrSchedulerConfig()); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("spelling", ["AdamW8bit", "adamw8bit", "ADAMW8BIT"])
def test_names_are_found_in_any_case(spelling):
    assert registry.find(spelling) is ENTRIES["adamw8bit"]


@pytest.mark.parametrize("name", registry.names())
def test_every_name_has_a_file_under_conf(name):
    assert name in groups()["optimizer"]


@pytest.mark.parametrize("gui", GUI_NAMES)
def test_the_guis_spelling_is_understood(gui):
    assert registry.find(gui).name == gui.lower()


@pytest.mark.parametrize("name", TORCH_CLASSES.values())
def test_a_name_without_a_dot_may_be_a_class_of_torch(name):
    entry = registry.find(name.lower())
    assert entry.target == f"torch.optim.{name}" and registry.find(name).target == entry.target
    parameter = torch.ones(3, requires_grad=True)
    optimizer = build(name, [{"params": [parameter], "lr": 0.1, "part": "unet"}], {})
    assert type(optimizer) is getattr(torch.optim, name)
    parameter.square().sum().backward()
    optimizer.step()
    assert not torch.equal(parameter, torch.ones(3))


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(
        ConfigError, match=r"unknown optimizer 'lionn'; did you mean lion\? known: adafactor, adamw"
    ):
        registry.find("lionn")


def test_dadaptation_is_the_preprint():
    assert ENTRIES["dadaptation"].target == ENTRIES["dadaptadampreprint"].target
    assert ENTRIES["dadaptation"].alias_of == "dadaptadampreprint"


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("adamw", {"betas": "0.9,0.99"}, {"betas": (0.9, 0.99)}),
        (
            "adamw",
            {"betas": [0.9, 0.99], "weight_decay": "1e-2"},
            {"betas": (0.9, 0.99), "weight_decay": 0.01},
        ),
        ("prodigy", {"decouple": "True", "beta3": "None"}, {"decouple": True, "beta3": None}),
        ("prodigy", {"decouple": "true"}, {"decouple": True}),
        ("sgdnesterov", {}, {"nesterov": True, "momentum": 0.9}),
        ("sgdnesterov", {"momentum": 0.5}, {"nesterov": True, "momentum": 0.5}),
        ("adafactor", {}, {"relative_step": True}),
        ("adafactor", {"relative_step": False}, {"relative_step": False}),
        (
            "adafactor",
            {"relative_step": False, "warmup_init": True},
            {"relative_step": True, "warmup_init": True},
        ),
        ("torch.optim.RMSprop", {"alpha": 0.9, "centered": True}, {"alpha": 0.9, "centered": True}),
    ],
)
def test_arguments(name, given, expected):
    assert registry.arguments(registry.find(name), given) == expected


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("adamw", {"weight_decya": 0.1}, "did you mean weight_decay?"),
        ("adamw", {"betas": 0.9}, "two numbers from 0"),
        ("adamw", {"betas": [0.9, 1.0]}, "two numbers from 0"),
        ("dadaptadan", {"betas": [0.9, 0.99]}, "three numbers"),
        ("adamw", {"weight_decay": "much"}, "must be a number"),
        ("adamw", {"weight_decay": -1}, "at least 0"),
        ("adamw", {"amsgrad": 1}, "true or false"),
        ("adamw", {"lr": 1e-3}, "set optimizer.learning_rate"),
        ("torch.optim.RMSprop", {"lr": 1e-3}, "set optimizer.learning_rate"),
        ("adafactor", {"eps": 1e-3}, "two numbers"),
        ("sgd", {"betas": [0.9, 0.99]}, "no such argument"),
    ],
)
def test_bad_arguments(name, given, words):
    with pytest.raises(ConfigError, match=r"optimizer\.args\.") as error:
        registry.arguments(registry.find(name), given)
    assert words in str(error.value)


def test_all_bad_arguments_are_in_one_message():
    with pytest.raises(ConfigError, match=r"args\.a: .*args\.b: "):
        registry.arguments(registry.find("adamw"), {"a": 1, "b": 2})


def check(name, rate=1e-4, unet=None, text_encoder=None, args=None, device="cuda"):
    return registry.check(name, rate, unet, text_encoder, args or {}, device)


def test_an_ordinary_choice_gives_no_findings():
    assert check("adamw", 1e-4, 1e-4, 5e-5) == Findings()
    assert check("prodigy", 1.0, 1.0, 1.0) == Findings()
    assert check("lion", 1e-4) == Findings()
    assert check("adafactor", 1e-4, args={"relative_step": False}) == Findings()


def test_adafactor_ignores_rates_and_schedule():
    found = check("adafactor", 1e-4, 1e-3)
    keys = [one.key for one in found.inert]
    assert keys == [
        "optimizer.learning_rate",
        "optimizer.unet_lr",
        "optimizer.loraplus_lr_ratio",
        "lr_scheduler",
    ]
    assert check("adafactor", None).refusals == ()


def test_a_rate_of_zero_under_adafactor_still_leaves_a_part_out():
    assert "optimizer.text_encoder_lr" not in [one.key for one in check("adafactor", 1e-4, None, 0.0).inert]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "lionn"}, "did you mean lion?"),
        ({"name": "adamw", "args": {"betas": 3}}, "optimizer.args.betas=3"),
        ({"name": "adamw", "rate": None}, "optimizer.learning_rate: not set"),
        ({"name": "adamw", "rate": 0.0}, "nothing would be trained"),
        ({"name": "adafactor", "rate": 1.0, "unet": 0.0, "text_encoder": 0.0}, "nothing would be trained"),
        ({"name": "prodigy", "unet": 1.0, "text_encoder": 0.5}, "one rate for all parts"),
        ({"name": "no_such_package.Optimizer"}, "not installed"),
        ({"name": ".Optimizer"}, "unknown optimizer '.Optimizer'"),
    ],
)
def test_refusals(given, words):
    (text,) = check(**given).refusals
    assert words in text


def test_an_old_package_is_refused(monkeypatch):
    monkeypatch.setattr(registry.importlib.metadata, "version", lambda _: "0.49.2")
    (text,) = check("adamw8bit").refusals
    assert "needs bitsandbytes>=0.50, found 0.49.2" in text


def test_a_missing_package_is_refused(monkeypatch):
    monkeypatch.setattr(registry, "_installed", set())
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda _: None)
    (text,) = check("prodigy", 1.0).refusals
    assert "pip install 'prodigyopt>=1.1'" in text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "prodigy", "rate": 1e-4}, "the usual value is 1"),
        ({"name": "lion", "rate": 1e-2}, "black images"),
        ({"name": "pagedadamw8bit", "device": "cpu"}, "degraded"),
        ({"name": "sgdnesterov8bit"}, "plain momentum"),
        ({"name": "adafactor", "args": {"relative_step": False, "warmup_init": True}}, "turns it on"),
    ],
)
def test_warnings(given, words):
    (text,) = check(**given).warnings
    assert words in text


def test_inert_under_the_others():
    assert [one.key for one in check("adamwschedulefree").inert] == ["lr_scheduler"]
    assert [one.key for one in check("sgdnesterov8bit", args={"nesterov": True}).inert] == [
        "optimizer.args.nesterov"
    ]


def test_one_part_alone_may_have_any_rate():
    assert check("prodigy", 1.0, 1.0, 0.0) == Findings()


def test_loraplus_needs_two_rates():
    (text,) = registry.check("prodigy", 1.0, None, None, {}, "cpu", 16.0).refusals
    assert "optimizer.loraplus_lr_ratio=16" in text
    assert registry.check("adamw", 1e-4, None, None, {}, "cpu", 16.0) == Findings()


def test_layouts():
    assert registry.find("prodigy").layout_for({}) == "flat"
    assert registry.find("prodigy").layout_for({"slice_p": 11}) == "tensors"
    assert registry.find("adafactor").layout_for({}) == "stacked"
    assert registry.find("torch.optim.RMSprop").layout_for({}) == "tensors"
    assert registry.find("adamw8bit").layout_for({}) == "tensors"
