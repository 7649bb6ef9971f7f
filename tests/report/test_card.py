"""The model card names the word that calls the LoRA."""

import pytest

from lora_lab.report.card import trigger_of
from lora_lab.store import RunRecord


@pytest.mark.parametrize(
    ("asked", "resolved", "trigger"),
    [
        ("zyx", {"facts": {"trigger": None}}, "zyx"),
        (None, {"facts": {"trigger": "miko cat"}}, "miko cat"),
        ("zyx", {"facts": {"trigger": "miko cat"}}, "zyx"),
        (None, {"facts": {"trigger": ""}}, ""),
        (None, {}, ""),
    ],
)
def test_a_trigger_word_that_was_found_is_on_the_card(asked, resolved, trigger):
    config = {"dataset.trigger_word": asked}
    assert trigger_of(config, RunRecord("done", resolved=resolved)) == trigger
