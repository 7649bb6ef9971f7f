"""What acts and what cannot: every setting of the schema is decided, and the fingerprint follows."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lora_lab.config import RunConfig, compose, settings
from lora_lab.effective import (
    BY_CONTENT,
    SAME_RESULT,
    Facts,
    Resolved,
    differences,
    fingerprint,
    resolve,
)
from lora_lab.losses.settings import FLOW, OF_FLOW
from tests.run.acting import BASE, TRIALS

FACTS = Facts(images=30, repeats=15, draws_per_epoch=450, batches_per_epoch=450)


def config(*overrides: str) -> RunConfig:
    return compose(["base_model=sd15", "base_model.path=m.safetensors", "dataset.path=images", *overrides])


def of(*overrides: str, facts: Facts = FACTS) -> Resolved:
    return resolve(config(*overrides), facts)


def mark(*overrides: str, facts: Facts = FACTS) -> str:
    return resolve(config(*overrides), facts, {"base_model": "m", "dataset": "d"}).fingerprint


def inert(*overrides: str, facts: Facts = FACTS) -> set[str]:
    return {item.key for item in of(*overrides, facts=facts).inert}


# Decided outside of the settings: by the model's headers, or by the images' identity.
BY_FACTS = {"base_model.family", "dataset.repeats", "dataset.balance"}

ON_FLOW = replace(FACTS, prediction_type=FLOW)

FROM_FILE = ["network.network_weights=x.safetensors", "network.dim_from_weights=true"]
# Settings that cannot act: the circumstances, and a value that therefore changes nothing.
INERT: list[tuple[list[str], str, str]] = [
    (["optimizer=adafactor"], "optimizer.learning_rate", "1e-3"),
    (["optimizer=adafactor"], "optimizer.unet_lr", "1e-3"),
    (["optimizer=adafactor"], "optimizer.text_encoder_lr", "1e-3"),
    (["optimizer=adafactor"], "optimizer.loraplus_lr_ratio", "4"),
    (["optimizer=adafactor"], "lr_scheduler.name", "cosine"),
    (["optimizer=adafactor", "lr_scheduler=cosine"], "lr_scheduler.lr_warmup_steps", "10%"),
    (["optimizer=adamwschedulefree"], "lr_scheduler.name", "linear"),
    (["optimizer=adamwschedulefree", "lr_scheduler=polynomial"], "lr_scheduler.power", "2"),
    (["dataset.enable_bucket=false"], "dataset.min_bucket_reso", "128"),
    (["dataset.enable_bucket=false"], "dataset.max_bucket_reso", "2048"),
    (["dataset.enable_bucket=false"], "dataset.bucket_reso_steps", "32"),
    (["dataset.enable_bucket=false"], "dataset.bucket_no_upscale", "true"),
    (["dataset.bucket_no_upscale=true"], "dataset.min_bucket_reso", "128"),
    (["dataset.bucket_no_upscale=true"], "dataset.max_bucket_reso", "2048"),
    ([], "dataset.balance", "folders"),
    ([], "dataset.keep_tokens", "1"),
    ([], "dataset.keep_tokens_separator", "'|||'"),
    ([], "dataset.caption_separator", "';'"),
    ([], "dataset.token_warmup_min", "3"),
    ([], "dataset.caption_dropout_every_n_epochs", "11"),
    (["dataset.caption_dropout_rate=1"], "dataset.shuffle_caption", "true"),
    (["dataset.caption_dropout_rate=1"], "dataset.weighted_captions", "true"),
    ([], "train.validation_seed", "3"),
    (["dataset.caption_dropout_rate=1"], "dataset.caption_prefix", "photo"),
    ([], "network.conv_dim", "8"),
    ([], "network.conv_alpha", "8"),
    (["network=locon", "network.preset=unet-transformer-only"], "network.conv_dim", "8"),
    (["network.preset=unet-transformer-only"], "network.type", "locon"),
    (["network=lokr"], "network.conv_alpha", "8"),
    (["network=loha", "network.preset=attn-mlp"], "network.conv_dim", "8"),
    ([], "network.dim_from_weights", "true"),
    ([], "network.block_lr_zero_threshold", "0.1"),
    (["network.train_unet=false"], "network.up_lr_weight", "sine"),
    (["network=locon", "network.preset=full-lin"], "network.conv_dim", "8"),
    (["network.preset=full-lin"], "network.type", "locon"),
    (["network=loha", "network.preset=attn-only"], "network.conv_alpha", "8"),
    ([], "network.base_weights_multiplier", "[0.5]"),
    (FROM_FILE, "network.network_dim", "64"),
    (FROM_FILE, "network.network_alpha", "4"),
    (FROM_FILE, "network.conv_dim", "4"),
    (FROM_FILE, "network.conv_alpha", "4"),
    (FROM_FILE, "network.preset", "unet-only"),
    ([], "network.factor", "4"),
    (["network=dora"], "network.decompose_both", "true"),
    (["network=loha"], "network.wd_on_output", "false"),
    (["network=loha"], "network.network_dropout", "0.1"),
    (["network=lokr"], "network.network_dropout", "0.1"),
    (["network=dora"], "network.network_dropout", "0.1"),
    (["network=loha"], "optimizer.loraplus_lr_ratio", "4"),
    (["network=lokr", "optimizer=adamwschedulefree"], "optimizer.loraplus_lr_ratio", "4"),
    (["network.train_text_encoder=false"], "optimizer.text_encoder_lr", "1e-3"),
    (["network.preset=unet-only"], "optimizer.text_encoder_lr", "1e-3"),
    (["network.train_unet=false"], "optimizer.unet_lr", "1e-3"),
    ([], "optimizer.unet_lr", "1e-4"),
    ([], "optimizer.text_encoder_lr", "1e-4"),
    (["optimizer.unet_lr=1e-4", "optimizer.text_encoder_lr=5e-5"], "optimizer.learning_rate", "1e-2"),
    ([], "lr_scheduler.lr_warmup_steps", "100"),
    ([], "lr_scheduler.num_cycles", "3"),
    (["lr_scheduler=cosine"], "lr_scheduler.power", "2"),
    (["lr_scheduler=cosine"], "lr_scheduler.min_lr_ratio", "0.1"),
    (["lr_scheduler=cosine"], "lr_scheduler.timescale", "50"),
    (["lr_scheduler=cosine"], "lr_scheduler.lr_decay_steps", "50"),
    (["lr_scheduler=cosine"], "lr_scheduler.step_rules", "'1:10,0.1'"),
    ([], "loss.huber_c", "0.2"),
    ([], "loss.huber_schedule", "constant"),
    ([], "loss.huber_scale", "2"),
    (["loss.loss_type=huber"], "loss.huber_scale", "2"),
    ([], "loss.noise_offset_random_strength", "true"),
    ([], "loss.adaptive_noise_scale", "0.1"),
    ([], "loss.multires_noise_discount", "0.5"),
    ([], "loss.ip_noise_gamma_random_strength", "true"),
    ([], "loss.prior_loss_weight", "0.5"),
    ([], "train.max_train_steps", "4500"),
    ([], "train.max_train_steps", "100000"),
    (["train.max_train_steps=450"], "train.max_train_epochs", "7"),
    (["optimizer=sgdnesterov8bit"], "optimizer.args.nesterov", "false"),
]


def acting() -> list[str]:
    """The settings that count by what they are, not by what they lead to."""
    other = {*BY_FACTS, *BY_CONTENT, *SAME_RESULT}
    return [key for key, item in settings().items() if item.trains and key not in other]


PLACES = dict.fromkeys(
    ("base", "base_2", "family", "images", "others", "glass", "silent", "lora", "cache", "results"), "here"
)
"""What stands for the places that trials name; fingerprints take identities in their stead."""


def of_trial(facts: Facts, *words: str) -> Resolved:
    """The runs of trials, as far as settings go."""
    return resolve(compose([word.format(**PLACES) for word in (*BASE, *words)]), facts)


def test_what_counts_otherwise_is_a_setting_that_trains() -> None:
    assert all(settings()[key].trains for key in (*BY_FACTS, *BY_CONTENT, *SAME_RESULT))


@pytest.mark.parametrize("key", acting())
def test_acting_setting_changes_the_fingerprint(key: str) -> None:
    trial = TRIALS[key]
    facts = replace(FACTS, reg_images=4) if any("reg_path" in word for word in trial.beside) else FACTS
    facts = ON_FLOW if key.removeprefix("loss.") in OF_FLOW else facts
    before, after = of_trial(facts, *trial.beside), of_trial(facts, *trial.beside, f"{key}={trial.value}")
    assert before.key != after.key
    assert key not in {item.key for item in after.inert}


@pytest.mark.parametrize(("company", "key", "value"), INERT, ids=lambda value: str(value))
def test_inert_setting_changes_nothing_and_is_named(company: list[str], key: str, value: str) -> None:
    assert mark(*company) == mark(*company, f"{key}={value}")
    found = {item.key: item.reason for item in of(*company, f"{key}={value}").inert}
    assert len(found[key]) > 10
    assert differences(of(*company), of(*company, f"{key}={value}")) == {}


def test_settings_that_are_not_set_are_not_named() -> None:
    assert of().inert == ()
    assert of("optimizer=adafactor").inert == ()


@pytest.mark.parametrize("key", [key for key, item in settings().items() if not item.trains])
def test_settings_that_do_not_train_stay_out(key: str) -> None:
    assert key not in of().acting
    assert key not in of().key


def test_places_leave_for_identities() -> None:
    moved = resolve(config("base_model.path=other", "dataset.path=elsewhere"), FACTS)
    key = moved.key
    same, different = {"base_model": "m", "dataset": "d"}, {"base_model": "m2", "dataset": "d"}
    assert fingerprint(key, same) == mark()
    assert fingerprint(key, different) != mark()


def test_gradient_checkpointing_is_the_same_experiment_and_no_mistake() -> None:
    assert mark("train.gradient_checkpointing=true") == mark()
    assert inert("train.gradient_checkpointing=true") == set()


def test_sdxl_fixes_clip_skip() -> None:
    sdxl = replace(FACTS, family="sdxl")
    assert mark("base_model.clip_skip=2", facts=sdxl) == mark(facts=sdxl)
    assert inert("base_model.clip_skip=2", facts=sdxl) == {"base_model.clip_skip"}
    assert inert("base_model.clip_skip=2") == set()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["network.network_alpha=0"], ["network.network_alpha=32"]),
        (["network=locon", "network.conv_dim=0"], ["network=locon", "network.conv_dim=64"]),
        (["network=locon", "network.conv_alpha=0"], ["network=locon", "network.conv_alpha=32"]),
        (["dataset.resolution=512"], ["dataset.resolution=512x512"]),
        (["dataset.resolution='512,768'"], ["dataset.resolution=768x512"]),
        (["optimizer.unet_lr=null"], ["optimizer.unet_lr=1e-4"]),
        (["optimizer.learning_rate=5e-5"], ["optimizer.unet_lr=5e-5", "optimizer.text_encoder_lr=5e-5"]),
        (["network.train_text_encoder=false"], ["optimizer.text_encoder_lr=0"]),
        (["network.preset=unet-only"], ["network.preset=unet-only", "network.train_text_encoder=false"]),
        (["optimizer=dadaptation"], ["optimizer=dadaptation", "optimizer.name=dadaptadampreprint"]),
        (["optimizer.name=AdamW"], ["optimizer.name=adamw"]),
        (["lr_scheduler=linear", "lr_scheduler.lr_warmup_steps=10%"],
         ["lr_scheduler=linear", "lr_scheduler.lr_warmup_steps=450"]),
        (["lr_scheduler.name=constant_with_warmup"], ["lr_scheduler.name=constant"]),
        (["train.max_train_epochs=10"], ["train.max_train_epochs=null", "train.max_train_steps=4500"]),
        (["base_model.v_parameterization=null"], ["base_model.v_parameterization=false"]),
        (["base_model.family=auto"], ["base_model.family=sd1"]),
        (["optimizer.args.weight_decay=1"], ["optimizer.args.weight_decay=1.0"]),
        (["optimizer.args.betas=[0.9,0.99]"], ["optimizer.args.betas='0.9,0.99'"]),
    ],
    ids=lambda value: ",".join(value),
)  # fmt: skip
def test_two_spellings_are_one_experiment(one: list[str], other: list[str]) -> None:
    assert mark(*one) == mark(*other)


def test_without_buckets_the_sides_of_the_resolution_count() -> None:
    off = "dataset.enable_bucket=false"
    assert mark(off, "dataset.resolution=512x768") != mark(off, "dataset.resolution=768x512")


def test_a_trigger_word_that_every_caption_has_is_no_setting() -> None:
    has = replace(FACTS, trigger_missing=False)
    assert mark("dataset.trigger_word=miko", facts=has) == mark(facts=has)
    assert inert("dataset.trigger_word=miko", facts=has) == set()


def test_adafactors_own_schedule_is_constant_and_for_it_alone() -> None:
    fixed = ["optimizer=adafactor_fixed"]
    assert mark(*fixed, "lr_scheduler=adafactor") == mark(*fixed)
    (text,) = of("lr_scheduler=adafactor").refusals
    assert "goes with optimizer=adafactor alone, not with adamw" in text


def test_a_mask_needs_transparency() -> None:
    opaque = replace(FACTS, transparent=False)
    assert mark("dataset.alpha_mask=true", facts=opaque) == mark(facts=opaque)
    assert inert("dataset.alpha_mask=true", facts=opaque) == {"dataset.alpha_mask"}


@pytest.mark.parametrize(
    ("overrides", "device", "words"),
    [
        (["base_model.fp8_base=true", "base_model.nf4_base=true"], "cuda", "exclude each other"),
        (["base_model.fp8_base=true"], "mps", "base_model.fp8_base=true: Apple's GPUs"),
        (["train.attention=xformers"], "cuda", "train.attention=xformers: the package xformers is not"),
    ],
)
def test_what_saves_memory_is_refused_where_it_cannot(
    overrides: list[str], device: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "xformers" else name)
    (text,) = of(*overrides, facts=replace(FACTS, device_type=device)).refusals
    assert words in text


def test_attention_is_the_same_experiment() -> None:
    assert mark("train.attention=xformers") == mark()


def test_cached_latents_are_the_same_experiment() -> None:
    assert mark("dataset.cache_latents=false") == mark()
    assert inert("dataset.cache_latents=false") == set()


class TestLength:
    def test_the_cap_bites(self) -> None:
        found = of("train.max_train_epochs=10", "train.max_train_steps=1000")
        assert (found.total_steps, found.updates_per_epoch) == (1000, 450)
        assert found.epochs == pytest.approx(2.222, abs=1e-3)
        assert {item.key for item in found.inert} == {"train.max_train_epochs"}

    def test_accumulation_ends_with_the_epoch(self) -> None:
        facts = replace(FACTS, batches_per_epoch=7)
        assert of("train.gradient_accumulation_steps=2", facts=facts).total_steps == 40


class TestRepeatsAreALabel:
    """15 repeats x 20 epochs against 5 x 60 on thirty images."""

    @staticmethod
    def marks(*overrides: str, batch: int = 1, buckets: int = 1) -> tuple[str, str]:
        found = []
        for repeats, epochs in ((15, 20), (5, 60)):
            draws = 30 * repeats
            facts = Facts(
                images=30,
                repeats=repeats,
                buckets=buckets,
                draws_per_epoch=draws,
                batches_per_epoch=-(-draws // batch),
            )
            length = [f"train.max_train_epochs={epochs}", f"train.train_batch_size={batch}"]
            found.append(mark(*length, *overrides, facts=facts))
        return found[0], found[1]

    @pytest.mark.parametrize(
        "overrides", [(), ("lr_scheduler=cosine",), ("dataset.token_warmup_step=0.2",)], ids=str
    )
    def test_one_experiment(self, overrides: tuple[str, ...]) -> None:
        one, other = self.marks(*overrides)
        assert one == other

    def test_batches_that_divide_evenly(self) -> None:
        one, other = self.marks(batch=2)
        assert one == other

    def test_a_smaller_last_batch_shows_where_epochs_end(self) -> None:
        one, other = self.marks(batch=4)
        assert one != other

    def test_many_buckets_with_a_batch(self) -> None:
        one, other = self.marks(batch=2, buckets=3)
        assert one != other

    def test_many_buckets_with_single_samples(self) -> None:
        one, other = self.marks(buckets=3)
        assert one == other

    def test_a_setting_that_counts_epochs(self) -> None:
        one, other = self.marks("dataset.caption_dropout_every_n_epochs=2")
        assert one != other

    def test_the_stream_agrees(self) -> None:
        """The claim itself, on the order of draws."""
        from lora_lab.data.order import Entry, Stream

        def draws(repeats: int, epochs: int, batch: int) -> list[tuple[int, ...]]:
            stream = Stream([Entry(str(n), "bucket", repeats) for n in range(30)], batch, 23)
            return [tuple(d.image for d in b.draws) for e in range(epochs) for b in stream.epoch(e + 1)]

        for batch, same in ((1, True), (2, True), (4, False)):
            assert (draws(3, 2, batch) == draws(1, 6, batch)) is same


class TestDevice:
    def test_fp16_on_a_cpu_is_a_stated_fallback(self) -> None:
        cpu = replace(FACTS, device_type="cpu")
        found = of("train.mixed_precision=fp16", "train.full_fp16=true", facts=cpu)
        assert len(found.fallbacks) == 1 and "train.mixed_precision=fp16" in found.fallbacks[0]
        assert mark("train.mixed_precision=fp16", facts=cpu) == mark("train.mixed_precision='no'", facts=cpu)
        assert of("train.mixed_precision=fp16").fallbacks == ()

    def test_unknown_optimizer_is_refused_with_the_nearest(self) -> None:
        assert any("did you mean lion" in text for text in of("optimizer.name=lionn").refusals)

    def test_clip_skip_beyond_the_encoder(self) -> None:
        found = of("base_model.clip_skip=3", facts=replace(FACTS, text_layers=2))
        assert any("base_model.clip_skip=3" in text for text in found.refusals)

    def test_family_that_the_model_is_not(self) -> None:
        assert any("base_model.family=sdxl" in text for text in of("base_model.family=sdxl").refusals)


class TestDifferences:
    def test_one_setting(self) -> None:
        assert differences(of(), of("network.network_alpha=1")) == {"network.network_alpha": (16.0, 1.0)}

    def test_what_follows_from_another_does_not_count(self) -> None:
        """Adafactor against Lion: the learning rate comes with the optimizer."""
        found = differences(
            of("optimizer=adafactor", "lr_scheduler=cosine"), of("optimizer=lion", "lr_scheduler=cosine")
        )
        assert found == {"optimizer.name": ("adafactor", "lion")}

    def test_arguments_count_within_an_optimizer(self) -> None:
        found = differences(of(), of("optimizer.args.weight_decay=0.1"))
        assert found == {"optimizer.args.weight_decay": (None, 0.1)}

    def test_a_rate_of_its_own(self) -> None:
        found = differences(of(), of("optimizer.text_encoder_lr=5e-5"))
        assert found == {"optimizer.text_encoder_lr": (None, 5e-5)}

    def test_runs_of_different_length_with_a_share_of_warmup(self) -> None:
        warm = ["lr_scheduler=cosine", "lr_scheduler.lr_warmup_steps=10%"]
        assert list(differences(of(*warm), of(*warm, "train.max_train_epochs=20"))) == [
            "train.max_train_epochs"
        ]


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("preview.steps=9", True),
        ("preview.size=256", True),
        ("preview.clip_skip=2", True),
        ("base_model.clip_skip=2", True),
        ("dataset.trigger_word=miko", True),
        ("metric.names=[]", True),
        ("preview.batch_size=3", False),
        ("preview.anchors=false", False),
        ("preview.stop_black=false", False),
        ("preview.size=512", False),
        ("network.network_dim=8", False),
        ("train.save_precision=fp32", False),
    ],
)
def test_preview_fingerprint(override: str, changes: bool) -> None:
    assert (of(override).preview_fingerprint != of().preview_fingerprint) is changes


def test_fingerprint_is_a_plain_hash() -> None:
    """It must not change with versions of anything, or finished runs would look like other experiments."""
    values: dict[str, Any] = {"network.network_dim": 4.0, "optimizer.args.betas": (0.9, 0.99)}
    text = (
        '{"identities":{"dataset":"d"},'
        '"settings":{"network.network_dim":4,"optimizer.args.betas":[0.9,0.99]},"version":2}'
    )
    found = fingerprint(values, {"dataset": "d"})
    assert found == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["network.down_lr_weight='1,2'"], "network.down_lr_weight='1,2' must be 12 numbers"),
        (["network.mid_lr_weight=sine"], "network.mid_lr_weight='sine' must be 1 numbers"),
        (["network.up_lr_weight=slope"], "or one of cosine, sine, linear"),
        (["optimizer=prodigy", "network.up_lr_weight=sine"], "give every block 1 or 0"),
        (["optimizer=adafactor", "network.mid_lr_weight='0.5'"], "give every block 1 or 0"),
    ],
)
def test_block_weights_that_cannot_be(overrides: list[str], part: str) -> None:
    (text,) = of(*overrides).refusals
    assert part in text


def test_blocks_can_be_left_out_under_any_optimizer() -> None:
    assert not of("optimizer=prodigy", "network.mid_lr_weight='0'").refusals


def test_block_weights_follow_the_family() -> None:
    facts = replace(FACTS, family="sdxl")
    nine = ",".join(["0.5"] * 9)
    model = "base_model.family=auto"
    mid = "network.mid_lr_weight='1,0,1'"
    assert not of(model, f"network.down_lr_weight='{nine}'", mid, facts=facts).refusals
    assert of(f"network.down_lr_weight='{nine}'").refusals


@pytest.mark.parametrize(("asked", "applied"), [("false", True), ("true", False)])
def test_who_applies_the_magnitudes_of_dora_is_said_once(asked: str, applied: bool) -> None:
    text = " ".join(of("network=dora", f"network.wd_on_output={asked}").warnings)
    assert "diffusers loads such files without their magnitudes" in text
    assert ("A1111, Forge and ComfyUI apply them" in text) is applied
    assert ("A1111 wrongly" in text) is not applied


@pytest.mark.parametrize("type_", ["loha", "lokr"])
def test_who_refuses_loha_and_lokr_is_said_once(type_: str) -> None:
    (text,) = [text for text in of(f"network={type_}").warnings if "diffusers" in text]
    assert text.startswith(f"network.type={type_}: A1111, Forge and ComfyUI load such files")
    assert "diffusers refuses them" in text
    assert "lora-lab lora merge" in text


@pytest.mark.parametrize("type_", ["lora", "locon"])
def test_types_that_all_programs_load_are_not_warned_of(type_: str) -> None:
    assert not [text for text in of(f"network={type_}").warnings if "diffusers" in text]


def test_the_readme_says_who_loads_what_where_a_type_is_chosen() -> None:
    root = Path(__file__).parents[2]
    lines = (root / "README.md").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if "network=loha" in line]
    assert "diffusers" in line and "#which-program-loads-which-network-type" in line
    page = (root / "docs" / "lora_files.md").read_text(encoding="utf-8")
    table = page.split("## Which program loads which network type")[1].split("\n## ")[0]
    for part in ("| `loha`, `lokr` | exact | refused", "| `dora` | ", "without the magnitudes"):
        assert part in table
