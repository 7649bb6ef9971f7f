"""What of captions and preview prompts does not act in full: tokens that are over, marks that are words."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from lora_lab.counts import counted
from lora_lab.data.captions import has_word, longest, undropped
from lora_lab.data.folder import some
from lora_lab.data.image_set import CaptionedImage, readable
from lora_lab.data.settings import CaptionSettings
from lora_lab.effective.marks import caption_marks, marks, ways_out
from lora_lab.models.counting import TokenCounter

MOST_TOKENS = 225
"""The most that `base_model.max_token_length` takes."""
_FILLED = "; {trigger} is the one name in braces that is filled in"


def caption_warnings(
    items: Sequence[CaptionedImage], counter: TokenCounter | None, max_token_length: int, weighted: bool
) -> Iterator[str]:
    """Captions of which not every word is read, prefix, suffix and trigger word included."""
    if counter is None:
        return
    limit = counter.limit(max_token_length)
    lengths = [most_tokens(item.caption, item.settings.captions, counter, weighted) for item in items]
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
def most_tokens(caption: str, settings: CaptionSettings, counter: TokenCounter, weighted: bool) -> int:
    """The most tokens that a draw of this caption can have."""

    def count(text: str) -> int:
        return counter.tokens(text, weighted)

    return count(longest(caption, settings, count))


def caption_mark_warnings(items: Sequence[CaptionedImage], weighted: bool) -> Iterator[str]:
    """Captions with marks of other programs in them, prefix and suffix included."""
    found: list[str] = []
    named = []
    for item in items:
        own = item.settings.captions
        whole = f"{own.caption_prefix} {item.caption} {own.caption_suffix}"
        if marked := caption_marks(whole, weighted, own.enable_wildcard):
            found += marked
            named.append(f"{item.path.name}: {', '.join(map(repr, marked))}")
    if named:
        yield readable(
            f"captions: {len(named)} of {len(items)} have marks that are trained as words ({some(named)}); "
            f"{ways_out(found)}"
        )


def shuffled_trigger_warnings(items: Sequence[CaptionedImage]) -> Iterator[str]:
    """Where `keep_tokens` keeps something else in front than the trigger word, which is shuffled then."""
    places = []
    for item in items:
        own, tags = item.settings.captions, _tags(item)
        if own.keep_tokens <= 0 or not own.shuffle_caption or own.keep_tokens_separator:
            continue
        trigger = own.trigger_word.strip()
        place = next((n for n, tag in enumerate(tags) if trigger and has_word(tag, trigger)), 0)
        if place >= own.keep_tokens:
            places.append((place, own, tags))
    if places:
        place, own, tags = max(places, key=lambda one: one[0])
        front = ", ".join(tags[: own.keep_tokens])
        yield readable(
            f"captions: dataset.keep_tokens={own.keep_tokens} keeps {front!r} in front, and the trigger word "
            f"{own.trigger_word!r} is shuffled in {len(places)} of {len(items)}; "
            f"dataset.keep_tokens={place + 1} keeps it, too, or write it first in dataset.caption_prefix"
        )


def mark_warnings(prompts: Sequence[str], negative: str) -> Iterator[str]:
    """Final preview prompts with marks of other programs in them."""
    for name, text in _named(prompts, negative):
        if found := marks(text):
            verb = "is" if len(found) == 1 else "are"
            yield (
                f"{name}: {', '.join(map(repr, found))} {verb} drawn as words: previews know no weights, "
                f"flags, LoRA tags or choices in prompts{_FILLED if any(map(_is_name, found)) else ''}"
            )


def _is_name(mark: str) -> bool:
    return mark.startswith("{") and "|" not in mark


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
