"""Every file under conf/ composes, holds to the rules, and says in its first line what it is for."""

import pytest

from lora_lab.config import CONF_DIR, check, compose, groups, settings

FILES = [(group, name) for group, names in groups().items() for name in names]


@pytest.mark.parametrize(("group", "name"), FILES, ids=lambda value: str(value))
def test_file_composes(group: str, name: str) -> None:
    config = compose([f"{group}={name}", "base_model.path=some.safetensors", "dataset.path=images"])
    check(config)


@pytest.mark.parametrize(("group", "name"), FILES, ids=lambda value: str(value))
def test_file_begins_with_a_comment(group: str, name: str) -> None:
    lines = (CONF_DIR / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    # Hydra wants its own line to be the first of all.
    first = lines[1] if lines[0].startswith("# @package") else lines[0]
    assert first.startswith("# ") and len(first) > 12


def test_table_of_contents_names_every_group() -> None:
    text = (CONF_DIR / "config.yaml").read_text(encoding="utf-8")
    for group in groups():
        assert f"- {group}: " in text


@pytest.mark.parametrize("name", groups()["optimizer"])
def test_optimizer_files_are_known_to_the_registry(name: str) -> None:
    from lora_lab.optim.registry import check as check_optimizer

    own = compose([f"optimizer={name}"], checked=False).optimizer
    found = check_optimizer(own.name, own.learning_rate, None, None, own.args, "cuda")
    assert found.refusals == ()


@pytest.mark.parametrize("name", groups()["lr_scheduler"])
def test_schedule_files_set_nothing_that_cannot_act(name: str) -> None:
    from lora_lab.optim.schedules import LrSchedulerConfig
    from lora_lab.optim.schedules import check as check_schedule

    own = compose([f"lr_scheduler={name}"], checked=False).lr_scheduler
    found = check_schedule(LrSchedulerConfig(**vars(own)), 1000, 1e-4)
    assert (found.refusals, found.inert) == ((), ())


def test_every_setting_has_a_line_of_documentation() -> None:
    for key, setting in settings().items():
        assert len(setting.doc) > 3, key
