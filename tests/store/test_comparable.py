"""Judgements are combined where they are of equal images, and named where they are not."""

from itertools import count

from lora_lab.store import Pair, Score, comparable_pairs, comparable_scores

LINES = count(1)
SHOTS = ((0, 7, 1.0),)
A, B = ("a", "000010"), ("b", "000010")


def score(
    value: float, run: str, session: str, drawn: str = "", shots: tuple[tuple[int, int, float], ...] = SHOTS
) -> Score:
    line = next(LINES)
    return Score(
        str(line), session, "anna", run, "000010", 0, value, line=line, shots=shots,
        drawn=(drawn,) if drawn else (),
    )  # fmt: skip


def values(*given: Score) -> tuple[list[float], list[str]]:
    kept, notes = comparable_scores(given)
    return [item.value for item in kept], [str(note) for note in notes]


def test_other_prompts_of_the_same_numbers_are_other_images() -> None:
    kept, notes = values(score(10, "a", "1", "old"), score(20, "b", "1", "old"), score(30, "a", "2", "new"))
    assert kept == [10, 20], "most checkpoints have those"
    assert notes == ["1 score of images that other prompts or preview settings drew left out"]
    kept, _ = values(score(10, "a", "1", "old"), score(30, "a", "2", "new"), score(40, "b", "2", "new"))
    assert kept == [30, 40]


def test_runs_drawn_in_their_own_ways_are_comparable_where_they_were_shown_together() -> None:
    together = [score(10, "a", "1", "clip skip 1"), score(20, "b", "1", "clip skip 2")]
    assert values(*together) == ([10, 20], [])
    assert values(*together, score(30, "b", "2", "clip skip 2")) == ([10, 20, 30], [])
    apart = [score(10, "a", "1", "clip skip 1"), score(20, "b", "2", "clip skip 2")]
    assert values(*apart)[0] == [20]


def test_a_prompt_that_has_another_number_now_is_the_same_image() -> None:
    moved = ((1, 7, 1.0),)
    assert values(score(10, "a", "1", "smile"), score(20, "b", "2", "smile", moved)) == ([10, 20], [])
    assert values(score(10, "a", "1", "smile"), score(20, "a", "2", "hat", moved))[0] == [20]


def test_scores_that_do_not_say_what_drew_their_images_go_with_the_first_that_do() -> None:
    early = score(5, "c", "0")
    kept, notes = values(early, score(10, "a", "1", "old"), score(20, "a", "2", "new"))
    assert kept == [5, 10] and len(notes) == 1
    assert values(early, score(6, "d", "0")) == ([5, 6], [])


def pair(
    line: int, session: str, drawn: str = "", shown: tuple[str, str] = ("", ""), prompt: int = 0
) -> Pair:
    looks = ((drawn,), (drawn,)) if drawn else ((), ())
    return Pair(
        str(line), session, "anna", A, B, line, "left", line=line, shots=((prompt, 7, 1.0),), shown=shown,
        drawn=looks,
    )  # fmt: skip


def test_one_ranking_is_of_comparisons_of_equal_images() -> None:
    kept, notes = comparable_pairs([pair(1, "1"), pair(2, "1"), pair(3, "2", prompt=1)])
    assert [item.line for item in kept] == [3], "of equally many checkpoints the later ones"
    assert [str(note) for note in notes] == [
        "2 comparisons of other images (prompt 1, seed 7, strength 1) left out: those of prompt 2, seed 7, "
        "strength 1 are taken"
    ]
    kept, notes = comparable_pairs([pair(1, "1", "old"), pair(2, "2", "new")])
    assert [item.line for item in kept] == [2]
    assert [str(note) for note in notes] == [
        "1 comparison of images that other prompts or preview settings drew left out"
    ]


def test_comparisons_of_images_that_were_rendered_anew_are_left_out() -> None:
    kept, notes = comparable_pairs(
        [pair(1, "1", "x", ("a1", "b1")), pair(2, "1", "x", ("a1", "b1")), pair(3, "1", "x", ("a2", "b1"))]
    )
    assert [item.line for item in kept] == [3]
    assert "2 comparisons of images that were rendered anew and judged again since" in str(notes[0])
