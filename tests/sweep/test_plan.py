"""Plans on images and models made for the test."""

import json
from pathlib import Path

import pytest

from lora_lab.config import compose
from lora_lab.errors import ConfigError
from lora_lab.files import write_json
from lora_lab.store import Checkpoint, RunRecord, SweepFolder, write_record
from lora_lab.sweep import Plan, devices, plan, read_sweep, rows_from_overrides
from lora_lab.sweep.kept import as_launched
from tests.material import write_images
from tests.sweep.conftest import where

BASE = (
    "base: [base_model=sd15, dataset.resolution=64, dataset.min_bucket_reso=64, dataset.max_bucket_reso=64]\n"
)
THREE = BASE + 'patterns: {"a": [], "b": [network.network_alpha=1], "c": [train.train_batch_size=4]}\n'


def test_an_axis_that_the_command_line_overrules_is_named(make) -> None:
    made = make(THREE, "network.network_alpha=2", "train.seed=7")
    assert [text for text in made.warnings if "given for all rows" in text] == [
        "network.network_alpha=2 is given for all rows, and replaces what these set: b"
    ]
    assert made.row("b").same_as == "a"


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ("optimizer.name=adam", "name, choice"),
        ("optimizer=adam", "name, choice"),
        ("optimizer.learning_rate=1e-3", "choice, rate"),
        ("optimizer.args={weight_decay: 0.5}", "args"),
        ("stop.name=hopeless", "kept"),
        ("stop=hopeless", "kept"),
        ("network=loha", ""),
        ("train.seed=3", ""),
    ],
)
def test_so_is_one_that_is_overruled_in_other_words(make, extra: str, named: str) -> None:
    rows = """
stop: {name: hopeless}
patterns:
  ref: []
  name: [optimizer.name=lion]
  choice: [optimizer=lion]
  rate: [optimizer.learning_rate=1e-2]
  args: [optimizer.args.weight_decay=0.1]
  kept: [stop=off]
"""
    told = [text for text in make(BASE + rows, extra).warnings if "given for all rows" in text]
    assert told == ([f"{extra} is given for all rows, and replaces what these set: {named}"] if named else [])


def test_a_row_keeps_what_it_chooses_whatever_the_base_names(make) -> None:
    rows = """
stop: {name: hopeless}
optimizer: {name: adamw}
patterns: {ref: [], kept: [stop=off], lion: [optimizer=lion], loha: [network=loha]}
network: {type: lora}
"""
    found = make(BASE + rows)
    assert found.row("kept").config.stop.name == "off" and found.row("ref").config.stop.name == "hopeless"
    assert found.row("lion").config.optimizer.name == "lion"
    assert found.row("loha").config.network.type == "loha"


class TestRows:
    def test_numbers(self, make) -> None:
        row = make(THREE).row("c")
        assert (row.images, row.updates_per_epoch, row.total_steps, row.samples) == (30, 113, 1130, 4500)
        assert row.exposures_per_image == 150
        assert row.checkpoints == ["000002", "000004", "000006", "000008", "000010"]
        assert row.changes == {"train.train_batch_size": (1, 4)}
        assert row.status == "planned" and row.fingerprint != make(THREE).row("a").fingerprint

    def test_a_capped_run(self, make) -> None:
        row = make(THREE, "train.max_train_steps=200").row("c")
        assert row.total_steps == 200 and row.samples == 796
        assert row.exposures_per_image == pytest.approx(26.549, abs=1e-3)

    def test_config_is_the_whole_job(self, make, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(place)
        found = make(THREE, "dataset.path=images", "base_model.path=./model")
        config = found.row("b").config
        assert (config.name, config.sweep) == ("b", "try")
        assert config.dataset.path == str(place / "images")
        assert Path(config.base_model.path) == place / "model"

    def test_extra_overrides_win_in_every_row(self, make) -> None:
        found = make(THREE, "network.network_alpha=7")
        assert {row.config.network.network_alpha for row in found.rows} == {7.0}
        assert found.row("b").same_as == "a"

    @pytest.mark.parametrize(
        ("word", "parts"),
        [
            ("network.netwrok_alpha=7", ["did you mean network.network_alpha?"]),
            ("train.seed=1,2", ["several values", "grid: in the sweep file"]),
            ("optimizer=lionn", ["did you mean lion?"]),
        ],
    )
    def test_a_mistake_on_the_command_line_is_not_the_files(self, make, word: str, parts: list[str]) -> None:
        with pytest.raises(ConfigError) as caught:
            make(THREE, word)
        message = str(caught.value)
        assert message.startswith("command line: ") and "try.yaml" not in message and "-m" not in message
        assert all(part in message for part in parts)

    def test_a_mistake_in_the_file_is_not_the_command_lines(self, make) -> None:
        with pytest.raises(ConfigError) as caught:
            make(BASE + "network: {netwrok_alpha: 1}\n", "train.seed=1")
        assert "try.yaml: base: unknown setting 'network.netwrok_alpha'" in str(caught.value)

    def test_previews_and_saving_are_changes_too(self, make) -> None:
        found = make(BASE + "patterns: {a: [preview.steps=9, train.save_every_n_epochs=5]}\n")
        assert found.rows[0].changes == {"preview.steps": (25, 9), "train.save_every_n_epochs": (2, 5)}

    @pytest.mark.parametrize(("there", "row"), [("B", "b"), ("cafe\u0301", "Caf\u00e9")])
    def test_a_run_that_differs_in_case_is_refused(self, make, tmp_path: Path, there: str, row: str) -> None:
        write_record(SweepFolder(tmp_path / "results" / "try").run(there), RunRecord())
        with pytest.raises(ConfigError) as caught:
            make(BASE + f"patterns: {{{row}: []}}\n")
        message = str(caught.value)
        assert "try.yaml" in message and f"name {row!r} has the same folder as the run {there!r}" in message
        assert make(BASE + "patterns: {other: []}\n").rows[0].status == "planned"

    def test_blocks_come_back_from_what_is_kept(self, make, tmp_path: Path) -> None:
        prompts = ["{trigger}, a (red:1.2) hat", "it's [b]: c", "5e2"]
        text = (
            BASE
            + f"preview: {{prompts: {json.dumps(prompts)}}}\npatterns: {{x: {{preview: {{steps: 3}}}}}}\n"
        )
        found = make(text)
        again = tmp_path / "again.yaml"
        again.write_text(as_launched(found, read_sweep(tmp_path / "try.yaml"), []), encoding="utf-8")
        kept = read_sweep(again)
        config = compose([*kept.base, *kept.rows[0].overrides], checked=False)
        assert config.preview.prompts == prompts == found.row("x").config.preview.prompts
        assert config.preview.steps == 3

    def test_replicates_differ_in_the_seed(self, make) -> None:
        found = make(THREE + "replicates: 3\n")
        assert [row.config.train.seed for row in found.rows] == [23, 23, 23, 24, 25]
        assert found.comparisons.replicates == (("a", "a-r2", "a-r3"),)

    def test_multirun(self, place: Path, tmp_path: Path) -> None:
        jobs = [[*where(place, tmp_path), f"optimizer={name}"] for name in ("adamw", "lion")]
        found = plan(rows_from_overrides(jobs, "train"))
        assert [row.name for row in found.rows] == ["optimizer=adamw", "optimizer=lion"]
        assert found.folder.path == tmp_path / "results" / "train"


class TestSameExperiment:
    def test_the_articles_three_learning_rates(self, make) -> None:
        text = BASE.replace("]", ", optimizer=adafactor]") + (
            'patterns: {"13": [optimizer.learning_rate=1e-4], "23": [optimizer.learning_rate=1e-3],'
            ' "24": [optimizer.learning_rate=0.1]}\n'
        )
        found = make(text)
        assert [(row.status, row.same_as) for row in found.rows] == [
            ("planned", ""),
            ("same", "13"),
            ("same", "13"),
        ]
        assert found.rows[1].reason == (
            "adafactor with relative_step sets its own learning rate: optimizer.learning_rate has no effect"
        )
        assert found.packs == [["13"]]
        assert any("2 of 3 rows" in text for text in found.warnings)
        assert found.rows[2].notes == [
            "optimizer.learning_rate has no effect: adafactor with relative_step sets its own learning rate"
        ]

    def test_repeats_and_epochs(self, make) -> None:
        text = BASE + (
            "patterns: {a: [dataset.repeats=15, train.max_train_epochs=2],"
            " b: [dataset.repeats=5, train.max_train_epochs=6]}\n"
        )
        row = make(text).row("b")
        assert row.same_as == "a"
        assert row.reason == (
            "5 repeats x 6 epochs and 15 repeats x 2 epochs show the same images in the same order"
        )

    def test_the_finished_one_stands_for_all(self, make) -> None:
        text = BASE + "patterns: {a: [], b: [dataset.keep_tokens=1]}\n"
        finish(make(text), "b")
        found = make(text)
        assert [(row.status, row.same_as) for row in found.rows] == [("same", "b"), ("done", "")]

    def test_a_failure_stands_for_all_until_it_is_retried(self, make) -> None:
        text = BASE + "patterns: {a: [], b: [dataset.keep_tokens=1]}\n"
        finish(make(text), "b", status="diverged")
        found = make(text)
        assert [(row.status, row.same_as) for row in found.rows] == [("same", "b"), ("diverged", "")]
        found = make(text, retry=True)
        assert [(row.status, row.same_as) for row in found.rows] == [("planned", ""), ("same", "a")]

    def test_another_model_under_another_name(self, make, place: Path) -> None:
        text = (
            BASE + "patterns: {a: [], b: [base_model.path=PLACE/other], c: [base_model.path=PLACE/model]}\n"
        )
        path = place / "models.yaml"
        path.write_text(text.replace("PLACE", str(place)), encoding="utf-8")
        extra = [
            f"dataset.path={place}/images",
            "device=cuda",
            f"cache={place}/cache",
            f"results={place}/r",
        ]
        sweep = read_sweep(path)
        base = (*sweep.base, f"base_model.path={place}/model", *extra)
        found = plan(type(sweep)(sweep.name, sweep.path, "", base, sweep.rows))
        assert [row.same_as for row in found.rows] == ["", "", "a"]
        assert found.row("c").reason == "the same settings"
        assert len(found.packs) == 2


def finish(found: Plan, name: str, **changed: object) -> None:
    """Write what a finished run leaves behind."""
    row, folder = found.row(name), found.folder.run(name)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    checkpoints = []
    for tag in row.checkpoints:
        folder.checkpoint(tag).write_bytes(b"x")
        checkpoints.append(Checkpoint(tag, str(folder.checkpoint(tag).relative_to(folder.path)), 1, 1, 1))
    values = {"fingerprint": row.fingerprint, "preview_fingerprint": row.preview_fingerprint}
    record = {"status": "done", "checkpoints": checkpoints, **values, **changed}
    write_record(folder, RunRecord(**record))  # type: ignore[arg-type]


class TestGoingOn:
    def test_finished_rows_are_left_alone(self, make) -> None:
        finish(make(THREE), "b")
        found = make(THREE)
        assert [row.status for row in found.rows] == ["planned", "done", "planned"]
        assert found.packs == [["a", "c"]]

    def test_changed_settings_are_a_conflict_until_redone(self, make) -> None:
        finish(make(THREE), "b")
        changed = THREE.replace("alpha=1", "alpha=2")
        assert [row.name for row in make(changed).conflicts] == ["b"]
        row = make(changed, redo=True).row("b")
        assert (row.status, row.aside) == ("planned", True)

    def test_the_same_images_elsewhere_are_the_same_experiment(self, make, tmp_path: Path) -> None:
        write_images(tmp_path / "copy")
        finish(make(THREE), "b")
        assert make(THREE, f"dataset.path='{tmp_path}/copy'").row("b").status == "done"

    def test_a_changed_caption_is_another_experiment(self, make, tmp_path: Path) -> None:
        copy = write_images(tmp_path / "copy")
        (copy / "15_miko girl" / "000.txt").write_text("miko, other\n", encoding="utf-8")
        finish(make(THREE), "b")
        assert make(THREE, f"dataset.path='{tmp_path}/copy'").row("b").status == "conflict"

    def test_changed_previews_are_rendered_again(self, make) -> None:
        finish(make(THREE), "b")
        found = make(THREE, "preview.steps=9")
        assert [row.status for row in found.rows] == ["planned", "previews", "planned"]
        assert found.packs == [["a", "c"], ["b"]]

    def test_packs_stay_together(self, make) -> None:
        first = make(THREE, "engine.pack_size=2")
        assert first.packs == [["a", "b"], ["c"]]
        first.folder.path.mkdir(parents=True)
        write_json(first.folder.plan_file, first.to_json())
        finish(first, "a")
        assert make(THREE, "engine.pack_size=2").packs == [["b"], ["c"]]


class TestErrors:
    def refusal(self, make, text: str, *extra: str) -> str:
        with pytest.raises(ConfigError) as caught:
            make(text, *extra)
        return str(caught.value)

    def test_all_rows_are_checked_before_anything(self, make) -> None:
        text = BASE + (
            "patterns: {a: [optimizer=lionn], b: [network.netwrok_dim=3, train.train_batch_size=0],"
            " c: [train.train_batch_size=0], d: []}\n"
        )
        lines = self.refusal(make, text).splitlines()
        assert len(lines) == 3
        assert "row 'a'" in lines[0] and "did you mean lion?" in lines[0]
        assert "row 'b'" in lines[1] and "network.network_dim" in lines[1]
        assert "row 'c'" in lines[2] and "train.train_batch_size must be at least 1" in lines[2]

    def test_missing_model_is_one_line_for_all_rows(self, make) -> None:
        message = self.refusal(make, THREE, "base_model.path=/nowhere/m.safetensors")
        assert len(message.splitlines()) == 1
        assert "every row" in message and "/nowhere/m.safetensors" in message

    def test_missing_dataset(self, make) -> None:
        message = self.refusal(make, THREE, "dataset.path=''")
        assert message.count("dataset.path is not set") == 1

    def test_optimizer_refusals_come_at_plan_time(self, make) -> None:
        text = BASE + "patterns: {a: [optimizer.args.weight_decoy=1], b: []}\n"
        message = self.refusal(make, text)
        assert "row 'a'" in message and "weight_decay" in message

    def test_rows_share_the_place_of_results(self, make) -> None:
        message = self.refusal(make, BASE + "patterns: {a: [engine.pack_size=3], b: []}\n")
        assert "engine.pack_size is shared by all rows" in message

    def test_wrong_base(self, make) -> None:
        message = self.refusal(make, "base: [optimizer=lionn]\npatterns: {a: [], b: []}\n")
        assert message.count("lionn") == 1 and ": base: " in message

    def test_sdxl_where_sd1_is_said(self, make, place: Path) -> None:
        message = self.refusal(make, THREE, f"base_model.path='{place}/sdxl'")
        assert "base_model.family=sd1" in message and "every row" in message


def test_json_holds_all_rows(make) -> None:
    found = json.loads(json.dumps(make(THREE).to_json()))
    assert [row["name"] for row in found["rows"]] == ["a", "b", "c"]
    assert found["packs"] == [["a", "b", "c"]]
    assert found["rows"][1]["changes"] == {"network.network_alpha": {"base": 16.0, "row": 1.0}}


def test_a_device_that_this_machine_lacks_is_said_before_anything_runs(
    make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*words: str) -> list[str]:
        return [text for text in make(THREE, *words).warnings if text.startswith("device=")]

    monkeypatch.setattr(devices, "version", lambda _: "2.9.0")
    monkeypatch.setattr(devices, "gpus", list)
    assert said("device=cuda") == [
        "device=cuda: this machine has no such device, so runs will fail; device=auto takes what there is"
    ]
    assert said("device=cuda", "engine.name=slurm") == said("device=cpu") == said("device=auto") == []
    monkeypatch.setattr(devices, "gpus", lambda: ["0", "1"])
    assert said("device=cuda:1") == [] and len(said("device=cuda:2")) == 1


@pytest.mark.parametrize("device", ["cpu:9", "cuda:", "gpu", "cuda:x"])
def test_what_is_no_device_is_refused(make, device: str) -> None:
    with pytest.raises(ConfigError, match="must be auto, cpu, mps, cuda, or one GPU such as cuda:1"):
        make(THREE, f"device='{device}'")


def test_what_the_base_brings_is_said_once(make) -> None:
    found = make(THREE.replace("64]", "64, dataset.keep_tokens=1]"))
    assert sum("dataset.keep_tokens has no effect" in text for text in found.warnings) == 1
    assert all(row.notes == [] for row in found.rows)


def test_plan_needs_no_torch(place: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    path = tmp_path / "try.yaml"
    path.write_text(THREE, encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from lora_lab.sweep import plan, read_sweep; "
        f"plan(read_sweep(Path({str(path)!r})), {where(place, tmp_path)!r}); "
        "sys.exit(bool({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
