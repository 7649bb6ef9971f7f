"""What of captions and preview prompts does not act in full: tokens that are over, marks that are words."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from lora_lab.counts import counted
from lora_lab.data.captions import undropped
from lora_lab.data.folder import some
from lora_lab.data.image_set import CaptionedImage, readable
from lora_lab.data.settings import CaptionSettings
from lora_lab.models.counting import TokenCounter
from lora_lab.models.prompt_weights import parse_weights

MOST_TOKENS = 225
"""The most that `base_model.max_token_length` takes."""

_LORA = re.compile(r"<(?:lora|lyco|lyco?ris|hypernet|embedding):[^>]*>", re.IGNORECASE)
_FLAG = re.compile(r"(?:(?<=\s)|^)--[a-z]{1,3}(?:\s+[^\s-][^\s]*)?(?=\s|$)")
_WORD = re.compile(r"\b(?:BREAK|AND|ADDCOMM|ADDBASE|ADDCOL|ADDROW)\b")
_CHOICE = re.compile(r"\{[^{}]*\|[^{}]*\}|__\w+__")
_ESCAPED = re.compile(r"\\[()\[\]]")
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")


def caption_warnings(
    items: Sequence[CaptionedImage], counter: TokenCounter | None, max_token_length: int, weighted: bool
) -> Iterator[str]:
    """Captions of which not every word is read, prefix, suffix and trigger word included."""
    if counter is None:
        return
    limit = counter.limit(max_token_length)
    lengths = [_tokens(item.caption, item.settings.captions, counter, weighted) for item in items]
    long = [(tokens, item.path.name) for tokens, item in zip(lengths, items, strict=True) if tokens > limit]
    if not long:
        return
    worst = sorted(long, reverse=True)
    names = some(f"{name} {tokens}" for tokens, name in worst)
    yield readable(
        f"captions: {len(long)} of {counted(len(items), 'is', 'are')} longer than the {limit} tokens that "
        f"are read ({names}); what is over has no effect; {_way_out(worst[0][0], counter, max_token_length)}"
    )


@lru_cache(maxsize=1 << 16)  # the rows of a plan share their captions
def _tokens(caption: str, settings: CaptionSettings, counter: TokenCounter, weighted: bool) -> int:
    """The most tokens that a draw of this caption can have."""
    lines = caption.split("\n") if settings.enable_wildcard else [caption]
    return max(counter.tokens(undropped(line, settings), weighted) for line in lines)


def mark_warnings(prompts: Sequence[str], negative: str) -> Iterator[str]:
    """Final preview prompts with marks of other programs in them."""
    for name, text in _named(prompts, negative):
        if found := marks(text):
            verb = "is" if len(found) == 1 else "are"
            yield (
                f"{name}: {', '.join(map(repr, found))} {verb} drawn as words: previews know no weights, "
                "flags, LoRA tags or choices in prompts"
            )


def prompt_warnings(
    prompts: Sequence[str], negative: str, counter: TokenCounter | None, max_token_length: int
) -> Iterator[str]:
    """Final preview prompts that are longer than what is read."""
    if counter is None:
        return
    limit = counter.limit(max_token_length)
    for name, text in _named(prompts, negative):
        if (tokens := counter.count(text)) > limit:
            yield (
                f"{name} has {counted(tokens, 'token')}, {limit} are read: what is over has no effect; "
                f"{_way_out(tokens, counter, max_token_length)}"
            )


def _named(prompts: Sequence[str], negative: str) -> list[tuple[str, str]]:
    named = [(f"preview.prompts[{number}]", text) for number, text in enumerate(prompts)]
    return [*named, ("preview.negative_prompt", negative)]


def _way_out(tokens: int, counter: TokenCounter, now: int) -> str:
    wide = next((n for n in (150, MOST_TOKENS) if n > now and counter.limit(n) >= tokens), None)
    if wide:
        return f"shorten it, or set base_model.max_token_length={wide}"
    return "shorten it" + (
        f" (base_model.max_token_length={MOST_TOKENS} reads most)" if now < MOST_TOKENS else ""
    )


@lru_cache(maxsize=4096)  # the rows of a plan share their prompts
def marks(prompt: str) -> tuple[str, ...]:
    """What other programs would read in a prompt as more than words: `(a:1.3)`, `<lora:x:1>`, `--w 512`."""
    found: list[str] = []
    rest = prompt
    for pattern in (_LORA, _FLAG, _WORD, _CHOICE, _ESCAPED):
        found += [match.group(0) for match in pattern.finditer(rest)]
        rest = pattern.sub(" ", rest)
    if any(factor != 1 for _, factor in parse_weights(rest)):
        found += _BRACKETS.findall(rest) or [rest.strip()]
    return tuple(dict.fromkeys(found))


def found_trigger(items: Sequence[CaptionedImage]) -> tuple[str, str]:
    """What `{trigger}` stands for where no trigger word is set, and where it was found; "" twice if nowhere.

    The class tokens of the folders, or else the first tag that all captions have.
    """
    own = [item for item in items if not item.is_reg]
    tokens = {item.settings.class_tokens or "" for item in own}
    if len(tokens) == 1 and (word := tokens.pop()):
        return word, "the class tokens of the images"
    tags = [_tags(item) for item in own]
    common = set.intersection(*map(set, tags)) if tags else set()
    word = next((tag for tag in (tags[0] if tags else []) if tag in common), "")
    return (word, "the first tag that all captions have") if word else ("", "")


def _tags(item: CaptionedImage) -> list[str]:
    captions = item.settings.captions
    line = undropped(item.caption, captions) if not captions.enable_wildcard else item.caption.split("\n")[0]
    return [tag for tag in (part.strip() for part in line.split(captions.caption_separator)) if tag]


def refused_trigger(prompts: Sequence[str]) -> str:
    """Why a run whose prompts ask for a trigger word that is nowhere to be found cannot be planned."""
    first = next(text for text in prompts if "{trigger}" in text)
    return (
        f"preview.prompts asks for a trigger word ({first!r}), but dataset.trigger_word is not set, and "
        "neither folder names nor captions have one word in common; set dataset.trigger_word=WORD, or write "
        "preview.prompts without {trigger}"
    )
