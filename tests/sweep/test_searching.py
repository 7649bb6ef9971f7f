"""A search as a sweep: rounds by people's scores, interrupted and taken up at any point."""

import json
import re
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from lora_lab.__main__ import main
from lora_lab.errors import ConfigError
from lora_lab.search.spec import read_search
from lora_lab.store import SweepFolder, append_score_line, read_record
from lora_lab.store.rounds import read_rounds
from lora_lab.sweep import launch, read_sweep
from lora_lab.sweep.searching import check_search, look, material_of, overrides_of, with_rounds
from tests.sweep.trained import AtOnce

BASE = ["base_model=demo", "dataset=demo", "optimizer=adamw", "train.max_train_steps=2", "preview=off"]
SEARCH = {
    "space": {
        "network.network_alpha": [1, 4, 16],
        "optimizer": {
            "lion": {"optimizer.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}},
            "adamw": {"optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
        },
    },
    "rounds": 3,
    "per_round": 4,
}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AtOnce:
    made = AtOnce()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "make_engine", lambda _: made)
    return made


def write(name: str = "find", **search: Any) -> Path:
    path = Path(f"{name}.yaml")
    path.write_text(yaml.safe_dump({"base": BASE, "search": {**SEARCH, **search}}, sort_keys=False))
    return path


def sweep(path: Path | str) -> int:
    return main(["sweep", str(path), "--quiet"])


def score(folder: SweepFolder, names: list[str], rater: str = "miko") -> None:
    """Scores as a person gives them: a higher alpha is better, and lion is worse."""
    session = append_score_line(
        folder, "session", rater=rater, mode="score", seed=1, order=[], prompts=[0], shots=[], layout="grid"
    )
    for number, name in enumerate(names):
        record = read_record(folder.run(name))
        value = 40 + 2 * record.resolved["network"]["network_alpha"]
        value -= 20 * (record.resolved["optimizer"]["name"] == "lion")
        own = {"session": session, "rater": rater, "run": name, "tag": record.checkpoints[-1].tag}
        append_score_line(
            folder, "score", **own, position=number, value=value, repeat=False, note="", tags=[], seconds=3.0
        )


def names(folder: SweepFolder) -> list[str]:
    return [item.name for item in read_rounds(folder)]


@pytest.mark.slow
def test_a_round_is_trained_then_people_judge_then_the_next(
    engine: AtOnce, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = write(), SweepFolder(Path("results/find").absolute())
    assert sweep(file) == 0
    assert names(folder) == engine.ran or sorted(names(folder)) == sorted(engine.ran)
    assert "wait for a score" in capsys.readouterr().err
    assert sweep(file) == 0, "nobody has scored: nothing new is trained"
    assert len(engine.ran) == 4
    score(folder, names(folder)[:4])
    assert sweep(folder.path) == 0, "the folder alone is enough to go on"
    assert names(folder) == [f"s{n:02d}" for n in range(1, 9)] and len(engine.ran) == 8
    score(folder, names(folder)[4:])
    assert sweep(file) == 0
    score(folder, names(folder)[8:])
    assert sweep(file) == 0
    said = capsys.readouterr().err
    assert "the search is over" in said and "optimizer=adamw" in said and "network_alpha=16" in said
    assert len(names(folder)) == 12 == len(engine.ran)
    settings = [json.dumps(item.settings, sort_keys=True) for item in read_rounds(folder)]
    assert len(set(settings)) == 12, "nothing is trained twice"


def test_the_journal_opens_in_optuna_and_can_be_thrown_away(engine: AtOnce) -> None:
    file, folder = write(rounds=1), SweepFolder(Path("results/find").absolute())
    sweep(file)
    score(folder, names(folder))
    for _ in range(2):
        assert sweep(file) == 0
        storage = JournalStorage(JournalFileBackend(str(folder.search_journal)))
        study = optuna.load_study(study_name="find", storage=storage)
        assert [trial.user_attrs["run"] for trial in study.trials] == names(folder)
        folder.search_journal.unlink()


def test_what_was_proposed_stands_before_it_is_trained(
    engine: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launcher that dies in between proposes nothing else the next time."""
    file, folder = write(), SweepFolder(Path("results/find").absolute())

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(AtOnce, "run", dies)
        assert sweep(file) == 130
    before = read_rounds(folder)
    assert len(before) == 4
    assert sweep(file) == 0
    assert read_rounds(folder) == before and sorted(engine.ran) == names(folder)


def test_scores_of_an_earlier_sweep_on_the_same_images_count(engine: AtOnce) -> None:
    sweep(write("first"))
    first, second = (SweepFolder(Path(f"results/{name}").absolute()) for name in ("first", "second"))
    score(first, names(first))
    sweep(write("second"))
    spec = read_search(SEARCH)
    seen = look(second, spec, material_of(read_sweep(Path("second.yaml")), spec, []))
    assert seen.of_other_sweeps == 4 and {item.run for item in seen.observations} == {
        f"first/{name}" for name in names(first)
    }
    assert look(second, spec).observations == []
    # Its first round knows them, so it is not the even spread of a search that knows nothing.
    assert all(item.expected is not None for item in read_rounds(second))


def test_a_diverged_run_is_known_to_fail(engine: AtOnce) -> None:
    from lora_lab.store import write_record

    file, folder = write(), SweepFolder(Path("results/find").absolute())
    sweep(file)
    record = read_record(folder.run("s02"))
    record.status, record.reason, record.checkpoints = "diverged", "the loss is nan", []
    write_record(folder.run("s02"), record)
    seen = look(folder, read_search(SEARCH))
    assert [(item.run, item.score) for item in seen.observations] == [("s02", 0.0)]
    assert seen.unjudged == ["s01", "s03", "s04"]


def test_plan_shows_the_first_round_that_will_be_trained(
    engine: AtOnce, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write()
    assert main(["plan", str(file), "--json"]) == 0
    planned = [row["name"] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert planned == ["s01", "s02", "s03", "s04"] and not Path("results/find").exists()
    changes = {row.name: row.overrides for row in with_rounds(read_sweep(file), []).rows}
    assert changes == {}


def test_overrides_choose_a_group_before_its_settings() -> None:
    assert overrides_of({"optimizer.learning_rate": 1e-4, "optimizer": "lion"}) == (
        "optimizer=lion",
        "optimizer.learning_rate=0.0001",
    )


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"space": {"network.dim": [1, 2]}}, "unknown setting network.dim"),
        ({"rounds": 0}, "rounds must be a whole number of at least 1"),
        ({"per_round": "5"}, "per_round must be a whole number"),
        ({"sampler": "annealing"}, "sampler must be one of gp, tpe, random"),
        ({"round": 3}, "unknown key 'round'"),
        ({"judge": ["a"]}, "judge must be score or a metric"),
        (
            {"judge": "likenes"},
            "there is no metric 'likenes'; did you mean likeness? known: score, brightness",
        ),
        ({"judge": "base_distance"}, "a LoRA that does nothing has least"),
        ({"judge": "dino"}, "dino is not measured by this sweep: add dino to metric.names (now basic, "),
        ({"judge": "likeness"}, "preview.seeds=[] turns them off"),
    ],
)
def test_mistakes_are_named_before_anything_runs(
    engine: AtOnce, capsys: pytest.CaptureFixture[str], search: dict[str, Any], said: str
) -> None:
    for command in (["sweep", "--quiet"], ["plan"]):
        assert main([*command, str(write(**search))]) == 2
        assert said in capsys.readouterr().err
    assert engine.ran == []


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"metric": ["models"], "network.network_dim": [1, 2]}, ""),
        ({"metric": ["models", "basic"]}, "(where space sets metric=basic)"),
        (
            {"network.network_dim": {1: {"metric": ["models"]}, 2: {}}},
            "dino is not measured by this sweep: add",
        ),
        (
            {"metric": ["models"], "preview": ["sd15", "off"]},
            "(where space sets metric=models preview=off)",
        ),
    ],
)
def test_a_judge_is_looked_for_in_the_space_too(engine: AtOnce, space: dict[str, Any], said: str) -> None:
    sweep = read_sweep(write(space=space, judge="dino"))
    extra = [] if "preview" in space else ["preview.seeds=[1]"]
    if not said:
        check_search(sweep, extra)
        return
    with pytest.raises(ConfigError, match=re.escape(said)):
        check_search(sweep, extra)


def test_a_space_that_is_used_up_says_so(engine: AtOnce) -> None:
    file = write(space={"network.network_alpha": [1, 4, 16]}, per_round=3)
    folder = SweepFolder(Path("results/find").absolute())
    sweep(file)
    score(folder, names(folder))
    assert sweep(file) == 2
    with pytest.raises(ConfigError):
        read_search({"space": {"network.network_alpha": [4]}})
