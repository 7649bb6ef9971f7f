"""The sweep files that ship: each composes, plans, and says what it is meant to say."""

from pathlib import Path

import pytest

from lora_lab.sweep import Plan, plan, read_sweep
from tests.material import write_images, write_model

SWEEPS = Path(__file__).parents[2] / "sweeps"
FILES = sorted(SWEEPS.glob("*.yaml"))
FAMILY = {"style_locon": "sdxl"}


def planned(path: Path, root: Path, *extra: str) -> Plan:
    write_images(root / "images")
    family = FAMILY.get(path.stem, "sd1")
    write_model(root / "model", family)
    where = [f"dataset.path='{root}/images'", f"base_model.path='{root}/model'"]
    where += [f"results='{root}/results'", f"cache='{root}/cache'", "device=cuda", "engine.workers=1"]
    return plan(read_sweep(path), [*where, *extra])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_plans(path: Path, tmp_path: Path) -> None:
    found = planned(path, tmp_path)
    assert found.question.endswith("?")
    assert all(row.status in ("planned", "same") for row in found.rows)


@pytest.fixture(scope="module")
def article(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return planned(SWEEPS / "article25.yaml", tmp_path_factory.mktemp("article"))


class TestArticle:
    # Epochs, repeats, batch, alpha, clip skip and optimizer, as the article states them.
    STATED = {
        "03": (20, 15, 1, 1, 1, "adafactor"),
        "04": (20, 15, 1, 1, 2, "adafactor"),
        "05": (20, 15, 1, 64, 1, "adafactor"),
        "06": (20, 15, 1, 16, 1, "adafactor"),
        "07": (20, 15, 2, 1, 1, "adafactor"),
        "08": (20, 15, 1, 1, 1, "adafactor"),
        "10": (40, 15, 1, 1, 1, "adafactor"),
        "11": (20, 5, 1, 1, 1, "adafactor"),
        "12": (20, 25, 1, 1, 1, "adafactor"),
        "13": (20, 15, 4, 1, 1, "adafactor"),
        "17": (20, 15, 4, 1, 1, "dadaptation"),
        "23": (20, 15, 4, 1, 1, "adafactor"),
        "24": (20, 15, 4, 1, 1, "adafactor"),
        "25": (20, 15, 4, 1, 1, "lion"),
    }

    def test_twenty_five_patterns(self, article: Plan) -> None:
        assert [row.name for row in article.rows] == [f"{number:02d}" for number in range(1, 26)]

    def test_what_all_share(self, article: Plan) -> None:
        for row in article.rows:
            config = row.config
            assert (config.network.network_dim, config.train.mixed_precision) == (128, "fp16")
            assert config.train.save_every_n_epochs == 10
            assert config.preview == article.rows[0].config.preview

    @pytest.mark.parametrize("name", STATED)
    def test_stated_settings(self, article: Plan, name: str) -> None:
        config = article.row(name).config
        found = (
            config.train.max_train_epochs,
            config.dataset.repeats,
            config.train.train_batch_size,
            config.network.network_alpha,
            config.base_model.clip_skip,
            config.optimizer.name,
        )
        assert found == self.STATED[name]

    def test_stated_learning_rates(self, article: Plan) -> None:
        rates = {name: article.row(name).config.optimizer.learning_rate for name in ("13", "23", "24", "25")}
        assert rates == {"13": 1e-4, "23": 1e-3, "24": 0.1, "25": 0.01}

    def test_alpha_under_lion(self, article: Plan) -> None:
        """Patterns 2 and 9 are compared by alpha alone."""
        alpha = next(item for item in article.comparisons.settings if item.key == "network.network_alpha")
        assert ("02", "09") in alpha.pairs
        assert (
            article.row("02").config.network.network_alpha,
            article.row("09").config.network.network_alpha,
        ) == (64, 1)

    def test_pairs_of_the_article_are_pairs_of_the_plan(self, article: Plan) -> None:
        pairs = {item.key: set(item.pairs) for item in article.comparisons.settings}
        assert ("03", "04") in pairs["base_model.clip_skip"]
        assert ("03", "10") in pairs["train.max_train_epochs"]
        assert {("03", "11"), ("03", "12")} <= pairs["dataset.repeats"]
        assert {("03", "07"), ("03", "13")} <= pairs["train.train_batch_size"]
        assert {("03", "05"), ("03", "06")} <= pairs["network.network_alpha"]
        assert ("13", "17") in pairs["optimizer.name"]

    def test_three_runs_are_one(self, article: Plan) -> None:
        assert [article.row(name).same_as for name in ("13", "23", "24")] == ["", "13", "13"]
        for name in ("23", "24"):
            assert article.row(name).reason == (
                "adafactor with relative_step sets its own learning rate: "
                "optimizer.learning_rate has no effect"
            )

    def test_other_models_are_named_in_the_file(self, tmp_path: Path) -> None:
        rows = read_sweep(SWEEPS / "article25.yaml").rows
        with_model = [row.name for row in rows if any("base_model.path" in text for text in row.overrides)]
        assert with_model == ["08", "19"]

    def test_reference_is_nine_thousand_updates(self, article: Plan) -> None:
        row = article.row("03")
        assert (row.images, row.total_steps, row.exposures_per_image) == (30, 9000, 300)


def test_demo_changes_what_the_article_changes(tmp_path: Path) -> None:
    found = planned(SWEEPS / "demo.yaml", tmp_path)
    changed = {key for row in found.rows for key in row.changes}
    assert {
        "optimizer.name",
        "optimizer.learning_rate",
        "network.network_alpha",
        "train.max_train_epochs",
        "dataset.repeats",
        "train.train_batch_size",
    } <= changed
    trained = [row for row in found.rows if not row.same_as]
    assert len(trained) >= 8
    assert [row.name for row in found.rows if row.same_as == "adafactor-lr-1e-4"] == [
        "adafactor-lr-1e-3",
        "adafactor-lr-0.1",
    ]
    assert found.comparisons.replicates
