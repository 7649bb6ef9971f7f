"""The study that Optuna and its dashboard read."""

import json
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from lora_lab.errors import RunFolderError
from lora_lab.search import Observation, read_space
from lora_lab.search.journal import tpe, write_journal

SPACE = read_space(
    {
        "network.network_dim": [4, 16, 64],
        "optimizer": {
            "lion": {"optimizer.learning_rate": {"low": 1e-6, "high": 1e-4, "log": True}},
            "adafactor": {},
        },
    }
)
SEEN = [
    Observation(
        {"network.network_dim": 4, "optimizer": "lion", "optimizer.learning_rate": 1e-5}, 60.0, run="a"
    ),
    Observation({"network.network_dim": 64, "optimizer": "adafactor"}, 75.5, run="b"),
    Observation({"network.network_dim": 16, "optimizer": "sgd"}, 10.0, run="c"),
]


def test_optuna_reads_the_journal_with_names_and_scores(tmp_path: Path) -> None:
    file = tmp_path / "study.journal"
    for _ in range(2):  # it is made anew, not added to
        assert write_journal(file, SPACE, SEEN, "article") == 2
    study = optuna.load_study(study_name="article", storage=JournalStorage(JournalFileBackend(str(file))))
    assert [(trial.value, trial.user_attrs["run"]) for trial in study.trials] == [(60.0, "a"), (75.5, "b")]
    assert study.trials[0].params == {
        "network.network_dim": 4.0,
        "optimizer": "lion",
        "optimizer.learning_rate": 1e-5,
    }
    assert study.trials[1].params == {"network.network_dim": 64.0, "optimizer": "adafactor"}
    assert study.best_trial.user_attrs["run"] == "b"
    assert [item.name for item in tmp_path.iterdir()] == ["study.journal"]


@pytest.mark.slow
def test_the_dashboard_shows_the_journal(tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    write_journal(tmp_path / "study.journal", SPACE, SEEN, "article")
    app = dashboard.wsgi(JournalStorage(JournalFileBackend(str(tmp_path / "study.journal"))))

    def asked(path: str) -> Any:
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        environ["PATH_INFO"] = path
        return json.loads(b"".join(app(environ, lambda *_: None)))

    (study,) = asked("/api/studies")["study_summaries"]
    assert (study["study_name"], study["directions"]) == ("article", ["maximize"])
    trials = asked(f"/api/studies/{study['study_id']}")["trials"]
    assert [trial["values"] for trial in trials] == [[60.0], [75.5]]


def test_tpe_keeps_a_rate_to_its_optimizer_and_to_values_of_the_space() -> None:
    found = [item.settings for seed in range(4) for item in tpe(SPACE, SEEN * 4, 5, seed)]
    assert {item["optimizer"] for item in found} == {"lion", "adafactor"}
    for item in found:
        assert item["network.network_dim"] in (4, 16, 64)
        assert ("optimizer.learning_rate" in item) == (item["optimizer"] == "lion")
        assert 1e-6 <= item.get("optimizer.learning_rate", 1e-5) <= 1e-4


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot write"):
        write_journal(tmp_path / "none" / "study.journal", SPACE, SEEN, "article")
