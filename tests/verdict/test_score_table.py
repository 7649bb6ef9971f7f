"""Scores from a table."""

from pathlib import Path

import pytest

from lora_lab.errors import DataError, RunFolderError
from lora_lab.verdict.evidence import CheckpointEvidence
from lora_lab.verdict.judge import judge
from lora_lab.verdict.score_table import read_score_table, with_score_table
from tests.verdict.made import evidence, of, run


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    return path


def test_columns_may_be_keys_tails_or_labels(tmp_path: Path) -> None:
    head = "run,alpha,train_batch_size,optimizer.name,tool,score\n"
    found = read_score_table(table(tmp_path, head + "a,16,2,lion,other,50\nb,1,,lion,,60\n"))
    a, b = found.runs
    assert a.settings == {
        "network.network_alpha": 16,
        "train.train_batch_size": 2,
        "optimizer.name": "lion",
        "tool": "other",
    }
    assert b.unknown == {"train.train_batch_size", "tool"}
    assert any("settings of their own: tool" in text for text in found.notes)


def test_settings_that_cannot_act_do_not_count(tmp_path: Path) -> None:
    rows = "a,adafactor,1e-4,1,70\nb,adafactor,1e-2,1,72\nc,lion,1e-4,1,60\n"
    a, b, c = read_score_table(table(tmp_path, "run,optimizer,learning_rate,seed,score\n" + rows)).runs
    assert "optimizer.learning_rate" not in a.settings and a.inert[0].key == "optimizer.learning_rate"
    assert b.same_as == "a" and c.settings["optimizer.learning_rate"] == 1e-4


def test_other_seeds_are_replicates(tmp_path: Path) -> None:
    verdict = judge(
        read_score_table(table(tmp_path, "run,alpha,seed,score\na,1,1,70.5\nb,1,2,72\nc,4,1,40\n"))
    )
    assert verdict.noise.groups == (("a", "b"),) and verdict.noise.df == 1


def test_raters_and_checkpoints_have_rows_of_their_own(tmp_path: Path) -> None:
    rows = "a,1,10,anna,80\na,1,20,anna,60\na,1,20,ben,50\nb,4,20,anna,70\nb,4,20,ben,60\n"
    path = table(tmp_path, "run,alpha,tag,rater,score\n" + rows)
    last = read_score_table(path)
    assert last.run("a").chosen == "20" and read_score_table(path, score="best").run("a").chosen == "10"
    assert {rater.name: rater.judgements for rater in last.raters} == {"anna": 3, "ben": 2}
    # Ben gives 10 less; of five scores three are anna's, so that the scale is more hers.
    assert last.run("b").score == pytest.approx((3 * 70 + 2 * 60) / 5)
    assert read_score_table(path, raters=["ben"]).run("a").score == 50
    with pytest.raises(RunFolderError, match="no run of scores has a checkpoint '30'; there are: 10, 20"):
        read_score_table(path, score="30")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "it needs a column run .* and a column score, and has a, b"),
        ("", "has no rows"),
        ("run,score\n,5\n", "line 2: the column run is empty"),
        ("run,score\na,good\n", "run a: score must be a number from 0 to 100, got 'good'"),
        ("run,score\na,101\n", "score must be from 0 to 100, got 101"),
        ("run,score\na,1_0\n", "run a: score must be a number from 0 to 100, got '1_0'"),
        ("run,score\na,<<\n", "run a: score must be a number from 0 to 100, got '<<'"),
        ("run,score\na,<ninety\n", "run a: score must be a number from 0 to 100, got '<ninety'"),
        ("run,minutes,score\na,1_0,50\n", "line 2: minutes must be a finite number of at least 0, got '1_0'"),
        ("run,alpha,score\na,1,50,7\n", "line 2: 4 cells for 3 columns; a number with a comma in it"),
        ("run,alpha,alpha,score\na,1,2,50\n", "the column alpha stands twice"),
        ("run,alpha,network_alpha,score\na,1,2,50\n", "alpha and network_alpha are one setting"),
        ("run,alpha,score\na,1,50\nb,1,2\na,4,60\n", "line 4: run a has alpha 4 here and 1 in line 2"),
        ("run,seed,score\na,x,50\n", "line 2: seed must be a whole number, got 'x'"),
        ("run,seed,score\na,1,50\na,2,50\n", "line 3: run a has seed 2 here and 1 in line 2"),
        ("run;score\na;50,5\n", "run a: score must be a number from 0 to 100, got '50,5'"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_score_table(table(tmp_path, text))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_tables_as_spreadsheets_save_them(tmp_path: Path, separator: str, encoding: str) -> None:
    path = tmp_path / "x.csv"
    text = "run,alpha,note,score\na,1,みこ,50.5\n,,,\na,1.0,,60\nb,4,,70\n".replace(",", separator)
    path.write_bytes(text.encode(encoding))
    if encoding == "utf-16-le":  # without its mark nobody can know
        with pytest.raises(DataError, match="needs a column run|no UTF-8 text"):
            read_score_table(path)
        return
    found = read_score_table(path)
    assert [(run.name, run.settings["network.network_alpha"]) for run in found.runs] == [("a", 1), ("b", 4)]
    assert found.run("a").score == pytest.approx(55.25)


def test_a_table_in_another_encoding_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("run,note,score\na,sch\u00f6n,50\n".encode("cp1252"))
    with pytest.raises(DataError, match="save it as CSV UTF-8"):
        read_score_table(path)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a table of scores"):
        read_score_table(tmp_path / "none.csv")


def test_a_table_may_score_a_sweeps_runs(tmp_path: Path) -> None:
    own = evidence([("a", {"x": 1}, 1, 10.0), ("b", {"x": 2}, 1, 20.0), ("c", {"x": 3}, 1, None)])
    found = with_score_table(own, table(tmp_path, "run,score\na,55\nc,65\n"))
    assert [run.score for run in found.runs] == [55, None, 65]
    with pytest.raises(DataError, match="made has no run 'd'"):
        with_score_table(own, table(tmp_path, "run,score\nd,55\n"))


TAGS = (CheckpointEvidence("000010"), CheckpointEvidence("000020"))


@pytest.mark.parametrize("tag", ["20", "000020", "20.0", "020"])
def test_tags_of_a_table_mean_the_checkpoints_of_the_sweep(tmp_path: Path, tag: str) -> None:
    own = of([run("a", {"x": 1}, checkpoints=TAGS), run("b", {"x": 2}, checkpoints=TAGS)])
    found = with_score_table(own, table(tmp_path, f"run,tag,score\na,{tag},55\nb,000020,65\n"))
    assert [item.score for item in found.runs] == [55, 65]


@pytest.mark.parametrize("tag", ["30", "step20", "last", "20.5"])
def test_a_row_that_fits_no_checkpoint_is_refused_by_its_line(tmp_path: Path, tag: str) -> None:
    own = of([run("a", {"x": 1}, checkpoints=TAGS), run("b", {"x": 2}, checkpoints=TAGS)])
    with pytest.raises(DataError, match=rf"line 3: the run has no checkpoint '{tag}'; it has 000010, 000020"):
        with_score_table(own, table(tmp_path, f"run,tag,score\na,20,55\nb,{tag},65\n"))


def test_tags_of_a_table_alone_are_one_in_all_spellings(tmp_path: Path) -> None:
    found = read_score_table(table(tmp_path, "run,alpha,tag,score\na,1,20,50\na,1,000020,70\nb,2,20,10\n"))
    assert [item.tag for item in found.run("a").checkpoints] == ["20"]
    assert found.run("a").score == 60


@pytest.mark.parametrize("asked", ["anna", "ANNA", " Anna "])
def test_raters_of_a_table_are_one_in_all_spellings(tmp_path: Path, asked: str) -> None:
    path = table(tmp_path, "run,alpha,rater,score\na,1,Anna,50\na,1, anna ,70\nb,2,ANNA,10\nb,2,ben,90\n")
    assert {rater.name: rater.judgements for rater in read_score_table(path).raters} == {"Anna": 3, "ben": 1}
    assert [item.score for item in read_score_table(path, raters=[asked]).runs] == [60, 10]


def test_a_rater_that_cannot_be_seen_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: rater: a name holds a sign that cannot be seen"):
        read_score_table(table(tmp_path, "run,alpha,rater,score\na,1,Anna,50\nb,2,\u200b,70\n"))


@pytest.mark.parametrize("column", ["minutes", "memory_gb", "size_mb"])
@pytest.mark.parametrize("cell", ["inf", "-inf", "nan", "1e999", "-1", "12 min"])
def test_a_cost_is_a_finite_number(tmp_path: Path, column: str, cell: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(f"run,score,{column}\na,1,3\nb,2,{cell}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_score_table(path)
    assert f"line 3: {column} must be a finite number of at least 0, got {cell!r}" in str(caught.value)


def test_costs_may_be_zero_or_unknown(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("run,score,minutes,memory_gb,size_mb\na,1,0,1.5,2\nb,2,,,\n", encoding="utf-8")
    one, other = read_score_table(path).runs
    assert (one.train_minutes, one.peak_memory_bytes, one.file_bytes) == (0.0, 1_500_000_000, 2_000_000)
    assert (other.train_minutes, other.peak_memory_bytes, other.file_bytes) == (None, None, None)


@pytest.mark.parametrize("seeds", [("1", "2", "3"), ("1.0", "2.0", "3.0")])
def test_seeds_of_a_spreadsheet_make_three_replicates(tmp_path: Path, seeds: tuple[str, ...]) -> None:
    rows = "".join(f"r{seed},1,{seed},{60 + place}\n" for place, seed in enumerate(seeds))
    found = read_score_table(table(tmp_path, "run,alpha,seed,score\n" + rows))
    assert [(run.seed, run.same_as) for run in found.runs] == [(1, ""), (2, ""), (3, "")]
    assert judge(found).noise.groups == (tuple(f"r{seed}" for seed in seeds),)


@pytest.mark.parametrize(
    ("cell", "value"),
    [("a: b: c", "a: b: c"), ("x: [", "x: ["), ("'", "'"), ("=", "="), ("<<", "<<"), ("no", "no"),
     ("010", 10), ("12:30", "12:30"), ("2024-01-01", "2024-01-01")],
)  # fmt: skip
def test_a_cell_is_what_it_says(tmp_path: Path, cell: str, value: object) -> None:
    (run,) = read_score_table(table(tmp_path, f"run,tool,score\na,{cell},50\n")).runs
    assert run.settings == {"tool": value}
