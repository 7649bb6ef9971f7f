"""Words that do not act are named, with numbers; what `{trigger}` stands for is found, said or asked for."""

import shutil
from pathlib import Path

import pytest

from lora_lab.config import compose
from lora_lab.data.captions import longest
from lora_lab.data.image_set import CaptionedImage
from lora_lab.data.settings import CaptionSettings, SubsetSettings
from lora_lab.effective import examine
from lora_lab.effective.marks import marks
from lora_lab.effective.texts import (
    caption_mark_warnings,
    caption_warnings,
    found_trigger,
    prompt_warnings,
    shuffled_trigger_warnings,
)
from lora_lab.models import identify, locate
from lora_lab.models.counting import TokenCounter, token_counter
from tests.material import write_images, write_model

TAGS = ", ".join(["blue sky"] * 60)
WORDS = TokenCounter(lambda text: len(text.split()), 75)


def item(caption: str, name: str = "a.png", **settings: object) -> CaptionedImage:
    return CaptionedImage(Path(name), (64, 64), "0" * 64, 1, caption, SubsetSettings(**settings))  # type: ignore[arg-type]


def examined(root: Path, *words: str, folder: str = "10_miko cat", captions: tuple[str, ...] = ()):
    if not (root / "model").is_dir():
        write_images(root / "images", 2, folder)
        write_model(root / "model", "sd1")
    for file, text in zip(sorted((root / "images").rglob("*.png")), captions, strict=False):
        file.with_suffix(".txt").write_text(text, encoding="utf-8")
    own = [f"base_model.path='{root}/model'", f"dataset.path='{root}/images'", f"cache='{root}/cache'"]
    return examine(compose(["base_model=sd15", *own, *words]), "cuda").resolved


# --- tokens ---


def test_the_packaged_vocabulary_is_counted_as_it_is_read(tmp_path):
    write_model(tmp_path / "model", "sd1")
    counter = token_counter(identify(tmp_path / "model"))
    assert counter is not None and counter.room == 75
    assert [counter.limit(length) for length in (75, 150, 225)] == [75, 150, 225]
    assert counter.count("a photo of a cat") == 5
    assert counter.tokens("(glasses:1.4), smile", weighted=True) == counter.count("glasses, smile")


@pytest.mark.parametrize(
    "text", ["", "a photo of a cat", "1girl, don't, blue_hair, 笑顔 :3", "CAFÉ  naïve\n(a:1.2)"]
)
@pytest.mark.parametrize("slow", [False, True])
def test_the_demos_tokenizer_is_counted_as_it_is_read(tmp_path, text, slow):
    import json
    import shutil

    from lora_lab.models import locate
    from lora_lab.models.loading import load

    place = tmp_path / "demo"
    shutil.copytree(locate("demo"), place)
    if slow:  # the older form of the same vocabulary
        vocabulary = json.loads((place / "tokenizer/tokenizer.json").read_text(encoding="utf-8"))["model"]
        (place / "tokenizer/vocab.json").write_text(json.dumps(vocabulary["vocab"]), encoding="utf-8")
        merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in vocabulary["merges"]]
        (place / "tokenizer/merges.txt").write_text("#version: 0.2\n" + "\n".join(merges), encoding="utf-8")
        (place / "tokenizer/tokenizer.json").unlink()
    counter = token_counter(identify(place))
    base = load(str(locate("demo")))
    assert counter is not None and counter.room == base.max_length - 2
    read = base.tokenizers[0](text, add_special_tokens=False).input_ids
    assert counter.count(text) == len(read)


def test_captions_beyond_the_limit_are_named_with_their_counts():
    items = [item("a b c"), item("word " * 80, "long.png"), item("word " * 400, "longer.png")]
    (text,) = caption_warnings(items, WORDS, 75, weighted=False)
    assert text == (
        "captions: 2 of 3 are longer than the 75 tokens that are read (longer.png 400, long.png 80); what is "
        "over has no effect; shorten it (base_model.max_token_length=225 reads most)"
    )
    (text,) = caption_warnings(items[:2], WORDS, 75, weighted=False)
    assert text.endswith("shorten it, or set base_model.max_token_length=150")
    assert [*caption_warnings(items[:2], WORDS, 150, weighted=False)] == []
    assert [*caption_warnings(items, None, 75, weighted=False)] == []


@pytest.mark.parametrize(
    "own", [{"caption_prefix": "p " * 74}, {"caption_suffix": "s " * 75}, {"trigger_word": "t " * 73}]
)
def test_prefix_suffix_and_trigger_count(own):
    found = [*caption_warnings([item("a b c", captions=CaptionSettings(**own))], WORDS, 75, weighted=False)]
    assert len(found) == 1


def test_the_longest_of_what_can_be_drawn_counts():
    """With wildcards the first choice, and the first line, say nothing of the others."""
    own = CaptionSettings(enable_wildcard=True, caption_suffix="{x|" + "word " * 40 + "}")
    caption = "short\na {b|" + "word " * 20 + "} c\n{d|e}"
    assert WORDS.count(longest(caption, own, WORDS.count)) == 2 + 20 + 40
    own = CaptionSettings(shuffle_caption=True, caption_tag_dropout_rate=0.5, token_warmup_step=9,
                          caption_dropout_rate=0.5, caption_dropout_every_n_epochs=1)  # fmt: skip
    assert longest("a, b, c", own, WORDS.count) == "a, b, c"
    items = [item("{a|" + "word " * 80 + "}", captions=CaptionSettings(enable_wildcard=True))]
    assert len([*caption_warnings(items, WORDS, 75, weighted=False)]) == 1


def test_marks_in_captions_are_named():
    items = [item("miko, (glasses:1.4), <lora:x:1>"), item("a {red|blue} hat", "b.png")]
    items += [item("miko (series)"), item(r"miko \(series\), [x]")]
    (text,) = caption_mark_warnings(items, weighted=False)
    assert text == (
        "captions: 2 of 4 have marks that are trained as words (a.png: '<lora:x:1>', '(glasses:1.4)', b.png: "
        "'{red|blue}'); dataset.weighted_captions=true makes (a:1.3) a weight; dataset.enable_wildcard=true "
        "draws one of {a|b}"
    )
    (text,) = caption_mark_warnings(items, weighted=True)
    assert "'<lora:x:1>', b.png" in text
    wild = CaptionSettings(enable_wildcard=True, caption_prefix="BREAK")
    (text,) = caption_mark_warnings([item("a {red|blue} hat", captions=wild)], weighted=False)
    assert text.endswith("(a.png: 'BREAK'); take them out")
    assert not [*caption_mark_warnings(items[2:], weighted=False)]


def test_a_trigger_that_is_not_kept_in_front_is_named():
    own = {"trigger_word": "sks", "shuffle_caption": True, "caption_prefix": "score_9, score_8,"}
    for keep, warned in ((1, True), (2, True), (3, False), (0, False)):
        items = [item("hat, cat", captions=CaptionSettings(keep_tokens=keep, **own))] * 2
        assert bool([*shuffled_trigger_warnings(items)]) == warned
    (text,) = shuffled_trigger_warnings([item("hat", captions=CaptionSettings(keep_tokens=1, **own))])
    assert text == (
        "captions: dataset.keep_tokens=1 keeps 'score_9' in front, and the trigger word 'sks' is shuffled in "
        "1 of 1; dataset.keep_tokens=3 keeps it, too, or write it first in dataset.caption_prefix"
    )
    first = {**own, "caption_prefix": "sks, score_9,"}
    for captions in (first, {**own, "shuffle_caption": False}, {**own, "keep_tokens_separator": "|||"}):
        assert not [
            *shuffled_trigger_warnings([item("hat", captions=CaptionSettings(keep_tokens=1, **captions))])
        ]


def test_every_encoder_counts(tmp_path):
    """SDXL's second tokenizer may be shorter, or make more tokens of a text."""
    import json

    write_model(tmp_path / "model", "sdxl")
    place = tmp_path / "model"
    before = token_counter(identify(place))
    assert before is not None and before.room == 75
    config = place / "text_encoder_2" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_position_embeddings": 40}))
    demo = locate("demo") / "tokenizer"
    shutil.copytree(demo, place / "tokenizer_2", dirs_exist_ok=True)
    after = token_counter.__wrapped__(identify(place))
    assert after is not None and after.room < 75
    text = "photograph of a lighthouse"
    assert after.count(text) == max(before.count(text), token_counter(identify(locate("demo"))).count(text))
    assert after.count(text) > before.count(text)


def test_prompts_beyond_the_limit_are_named():
    found = [*prompt_warnings(["a", "word " * 80], "bad " * 76, WORDS, 75)]
    assert [text.split(":")[0] for text in found] == [
        "preview.prompts[1] has 80 tokens, 75 are read",
        "preview.negative_prompt has 76 tokens, 75 are read",
    ]


def test_a_run_says_what_is_cut_off(tmp_path):
    found = examined(tmp_path, f"preview.prompts=['{TAGS}']", captions=(TAGS, "short"))
    assert [text for text in found.warnings if "tokens" in text] == [
        "captions: 1 of 2 are longer than the 75 tokens that are read (000.png 179); what is over has no "
        "effect; shorten it, or set base_model.max_token_length=225",
        "preview.prompts[0] has 179 tokens, 75 are read: what is over has no effect; "
        "shorten it, or set base_model.max_token_length=225",
    ]
    again = examined(tmp_path, f"preview.prompts=['{TAGS}']", "base_model.max_token_length=225")
    assert not [text for text in again.warnings if "tokens" in text]
    off = examined(tmp_path, f"preview.prompts=['{TAGS}']", "preview.seeds=[]")
    assert len([text for text in off.warnings if "tokens" in text]) == 1


# --- marks ---


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("miko, (glasses:1.4), smile", ["(glasses:1.4)"]),
        ("((smile)), [hat]", ["(smile)", "[hat]"]),
        ("miko <lora:miko:0.8>, smile", ["<lora:miko:0.8>"]),
        ("miko, smile --w 512 --h 768 --n", ["--w 512", "--h 768", "--n"]),
        ("a BREAK b", ["BREAK"]),
        ("{red|blue} hat, __colour__", ["{red|blue}", "__colour__"]),
        (r"miko \(series\)", [r"\(", r"\)"]),
        ("(unclosed", ["(unclosed"]),
        ("a cat --n low quality, blurry --s 20", ["--n low quality, blurry", "--s 20"]),
        ("{triger}, smile", ["{triger}"]),
        (
            "__hair/colour__, <ti:miko>, <hypernet:a:0.5>",
            ["<ti:miko>", "<hypernet:a:0.5>", "__hair/colour__"],
        ),
        ("smile++, (hat)--", ["smile++", "(hat)"]),
        ("embedding:miko, smile", ["embedding:miko"]),
        ("[red:blue:0.5] hat, [a|b]", ["[red:blue:0.5]", "[a|b]"]),
        ("a AND b :0.5", ["AND"]),
        ("band, sand, BRANDY, <3, o_o", []),
        ("a well-known girl, 3-4 cats, smile :) and hands", []),
        ("1girl, t-shirt, x-ray -- dash", []),
        ("", []),
    ],
)
def test_marks_of_other_programs_are_found(prompt, found):
    assert [*marks(prompt)] == found


def test_marks_in_prompts_are_warned_of(tmp_path):
    found = examined(
        tmp_path, "preview.prompts=['{trigger}, (glasses:1.4), smile']", "dataset.trigger_word=x"
    )
    assert [text for text in found.warnings if "words" in text] == [
        "preview.prompts[0]: '(glasses:1.4)' is drawn as words: previews know no weights, flags, LoRA tags "
        "or choices in prompts"
    ]


# --- the trigger word ---


@pytest.mark.parametrize(
    ("items", "word"),
    [
        ([item("miko cat", class_tokens="miko cat")] * 2, "miko cat"),
        ([item("sks, smile", class_tokens=""), item("sks, hat", class_tokens="")], "sks"),
        ([item("smile, sks", class_tokens="a"), item("hat, sks", class_tokens="b")], "sks"),
        ([item("sks girl", class_tokens=""), item("a sks", class_tokens="")], ""),
        ([item("", class_tokens="")], ""),
        ([item("sks"), item("x", class_tokens="girl", is_reg=True)], "sks"),
        ([], ""),
    ],
)
def test_the_trigger_is_found_in_folders_and_captions(items, word):
    assert found_trigger(items)[0] == word


ASKS = "preview.prompts=['{trigger}, smile','{trigger}']"


def test_the_folders_class_tokens_stand_for_the_trigger(tmp_path):
    found = examined(tmp_path, ASKS)
    assert found.preview.prompts == ["miko cat, smile", "miko cat"]
    assert any("{trigger} in preview.prompts stands for 'miko cat'" in text for text in found.warnings)
    other = examined(tmp_path, ASKS, "dataset.class_tokens=other")
    assert other.anchors != found.anchors and other.preview_fingerprint != found.preview_fingerprint


def test_a_tag_that_all_captions_have_stands_for_the_trigger(tmp_path):
    found = examined(tmp_path, ASKS, folder="1_", captions=("zyx, hat", "zyx, smile"))
    assert found.preview.prompts == ["zyx, smile", "zyx"]


def test_a_trigger_that_is_nowhere_is_refused(tmp_path):
    found = examined(tmp_path, ASKS, folder="1_", captions=("hat", "smile"))
    (text,) = found.refusals
    assert "'{trigger}, smile'" in text and "dataset.trigger_word=WORD" in text
    for words in (["dataset.trigger_word=zyx"], ["preview=off"], ["preview.prompts=['a girl']"]):
        assert examined(tmp_path, ASKS, *words, folder="1_", captions=("hat", "smile")).refusals == ()


def test_what_is_rendered_once_though_asked_for_twice_is_named(tmp_path):
    words = ["preview.seeds=[1,1,2,1]", "preview.strengths=[0.5,1,0.5]", "dataset.trigger_word=x"]
    found = examined(tmp_path, *words, "preview.prompts=['{trigger}, a','x, a','b']")
    assert [text for text in found.warnings if "rendered once" in text] == [
        "preview.seeds: 1 stands there 3 times, and is rendered once",
        "preview.strengths: 0.5 stands there 2 times, and is rendered once",
        "preview.prompts: 'x, a' stands there 2 times, and is rendered once",
    ]
    once = examined(tmp_path, "preview.seeds=[1,2]", "preview.prompts=[a]")
    assert not [text for text in once.warnings if "rendered once" in text]
