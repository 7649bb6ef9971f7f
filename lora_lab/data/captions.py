"""From a caption's text to the prompt of one draw.

The rules and the order of random numbers are sd-scripts' (`process_caption`), so that results compare.
Known oddities that are kept: the output is joined by ", " whatever the separator, empty tags survive a
shuffle, a caption that nothing touches keeps its spacing and its `keep_tokens_separator`, prefix and suffix
are glued to the first and last tag and shuffled with them, and epochs count from 1 for
`caption_dropout_every_n_epochs`. Different here: of several lines one is chosen before prefix and suffix
are added (there, they go to the first and last line and can be lost with it)."""

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from lora_lab.data.settings import CaptionSettings

_WILDCARD = re.compile(r"\{([^}]+)\}")


def process(
    caption: str,
    settings: CaptionSettings,
    rng: random.Random,
    epoch: int,
    *,
    step: int = 0,
    max_train_steps: int = 0,
) -> str:
    """The prompt of one draw; "" when the caption is dropped.

    Args:
        rng: The draw's own generator (`order.sample_rng`).
        epoch: Counted from 1.
        step: Updates done so far, and `max_train_steps` all of them: for token warmup only.
    """
    if _is_dropped(settings, rng, epoch):
        return ""
    caption = _chosen_line(caption, settings, rng)
    caption = _with_trigger(caption, settings)
    if settings.caption_prefix:
        caption = f"{settings.caption_prefix} {caption}"
    if settings.caption_suffix:
        caption = f"{caption} {settings.caption_suffix}"
    if settings.enable_wildcard:
        caption = _fill_wildcards(caption, rng)
    if _changes_tags(settings):
        fixed, flexible, tail = _split(caption, settings)
        flexible = _warmed_up(flexible, settings, step, max_train_steps)
        if settings.shuffle_caption:
            rng.shuffle(flexible)
        if settings.caption_tag_dropout_rate > 0:
            flexible = [tag for tag in flexible if rng.random() >= settings.caption_tag_dropout_rate]
        caption = ", ".join(fixed + flexible + tail)
    if settings.secondary_separator:
        caption = caption.replace(settings.secondary_separator, settings.caption_separator)
    return caption


def deterministic(settings: CaptionSettings) -> bool:
    """Whether a caption gives the same prompt at every draw but for being dropped whole.

    Then there are at most two prompts per caption ("" is the other), and text states can be cached.
    """
    return not (settings.enable_wildcard or _changes_tags(settings))


def prompts(caption: str, settings: CaptionSettings) -> list[str] | None:
    """All prompts that a caption can become, or None when there is no short list of them."""
    if not deterministic(settings):
        return None
    drops = settings.caption_dropout_rate > 0 or settings.caption_dropout_every_n_epochs > 0
    always = undropped(caption, settings)
    return [always, ""] if drops and always else [always]


def tag_frequency(captions: Iterable[tuple[str, int]], separator: str = ",") -> dict[str, int]:
    """How many times each tag is drawn per epoch, most frequent first, from (caption, repeats)."""
    counts: Counter[str] = Counter()
    for caption, repeats in captions:
        for tag in _tags(caption.replace("\n", separator), separator):
            if tag:
                counts[tag] += repeats
    return dict(counts.most_common())


def has_word(text: str, word: str) -> bool:
    """Whether a word, or several in a row, stands in a text by itself; case does not count."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


@lru_cache(maxsize=1 << 16)
def undropped(caption: str, settings: CaptionSettings) -> str:
    """The prompt with what is fixed about it alone: nothing dropped, shuffled or held back."""
    plain = replace(
        settings,
        caption_dropout_rate=0.0,
        caption_dropout_every_n_epochs=0,
        caption_tag_dropout_rate=0.0,
        token_warmup_step=0.0,
        shuffle_caption=False,
    )
    return process(caption, plain, random.Random(0), 1)


class _Longest(random.Random):
    """In place of chance: the longest of what can be drawn, everything kept, nothing moved."""

    def __init__(self, length: Callable[[str], int]) -> None:
        super().__init__(0)
        self._length = length

    def choice(self, options: Any) -> Any:
        return max(options, key=self._length)

    def random(self) -> float:
        return 1.0

    def shuffle(self, options: Any) -> None:
        pass


def longest(caption: str, settings: CaptionSettings, length: Callable[[str], int]) -> str:
    """The longest prompt that a draw of a caption can give, by the `length` of a text."""
    whole = replace(
        settings, caption_dropout_rate=0.0, caption_dropout_every_n_epochs=0, token_warmup_step=0.0
    )
    lines = caption.split("\n") if settings.enable_wildcard else [caption]
    drawn = [process(line, whole, _Longest(length), 1) for line in lines]
    return max(drawn, key=length)


def _changes_tags(settings: CaptionSettings) -> bool:
    return settings.shuffle_caption or settings.token_warmup_step > 0 or settings.caption_tag_dropout_rate > 0


def _is_dropped(settings: CaptionSettings, rng: random.Random, epoch: int) -> bool:
    rate, every = settings.caption_dropout_rate, settings.caption_dropout_every_n_epochs
    if rate > 0 and rng.random() < rate:
        return True
    return every > 0 and epoch % every == 0


def _chosen_line(caption: str, settings: CaptionSettings, rng: random.Random) -> str:
    if "\n" not in caption:
        return caption
    lines = caption.split("\n")
    return rng.choice(lines) if settings.enable_wildcard else lines[0]


def lacks_trigger(caption: str, settings: CaptionSettings) -> bool:
    """Whether the trigger word is put in front of a caption; prefix and suffix may hold it, too."""
    trigger = settings.trigger_word.strip()
    whole = f"{settings.caption_prefix} {caption} {settings.caption_suffix}"
    return bool(trigger) and not has_word(whole, trigger)


def _with_trigger(caption: str, settings: CaptionSettings) -> str:
    if not lacks_trigger(caption, settings):
        return caption
    trigger = settings.trigger_word.strip()
    return f"{trigger}{settings.caption_separator} {caption}" if caption.strip() else trigger


def _fill_wildcards(caption: str, rng: random.Random) -> str:
    """Draw one of `{a|b}`; `{{` and `}}` stand for braces."""
    opened, closed = "\ue000", "\ue001"  # private characters, which no caption means anything by
    caption = caption.replace("{{", opened).replace("}}", closed)
    caption = _WILDCARD.sub(lambda match: rng.choice(match[1].split("|")), caption)
    return caption.replace(opened, "{").replace(closed, "}")


def _tags(text: str, separator: str) -> list[str]:
    return [tag.strip() for tag in text.strip().split(separator)]


def _split(caption: str, settings: CaptionSettings) -> tuple[list[str], list[str], list[str]]:
    """(fixed head, flexible, fixed tail) tags."""
    separator, marker = settings.caption_separator, settings.keep_tokens_separator
    if marker and marker in caption:
        parts = caption.split(marker, 2)
        head, flexible, tail = (
            [tag for tag in _tags(part, separator) if tag] for part in (*parts, "", "")[:3]
        )
        return head, flexible, tail
    tags = _tags(caption, separator)
    keep = max(settings.keep_tokens, 0)
    return tags[:keep], tags[keep:], []


def _warmed_up(tags: list[str], settings: CaptionSettings, step: int, max_train_steps: int) -> list[str]:
    """The first tags only while `step` is in the warmup, growing linearly."""
    length = settings.token_warmup_step
    steps = math.floor(length * max_train_steps) if length < 1 else math.floor(length)
    if steps < 1 or step >= steps:
        return tags
    shown = math.floor(step * ((len(tags) - settings.token_warmup_min) / steps)) + settings.token_warmup_min
    return tags[:shown]
