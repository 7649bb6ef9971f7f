"""The report as a page on the disk."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lora_lab.errors import ConfigError, RunFolderError
from lora_lab.outputs import MARK, contents
from lora_lab.plots import subject
from lora_lab.report import LANGUAGES, PAGE, write_report
from lora_lab.report.runs import report_data
from lora_lab.store import SweepFolder, read_record, write_record
from lora_lab.verdict.lines import noise_text, scale_of
from lora_lab.words import TEXTS, in_language
from tests import scored


class Page(HTMLParser):
    """What of a page the tests look at: text, links to files, headings."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.files: list[str] = []
        self.text: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.files += [value for key in ("src", "srcset") if (value := found.get(key))]
        self.ids += [found["id"]] if found.get("id") else []
        target = found.get("href")
        self.targets += [target] if target else []
        if tag == "img":
            assert found.get("alt"), "every image says what it shows"

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    return scored.sweep(tmp_path_factory.mktemp("report"), images=True)


@pytest.fixture
def unplotted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots have tests of their own and take most of the time."""
    monkeypatch.setattr("lora_lab.report.page.plots", lambda subject: [])


@pytest.fixture(scope="module")
def english(sweep: SweepFolder) -> Page:
    return Page(write_report(subject(sweep), sweep.report))


def test_the_page_names_files_that_lie_beside_it_and_nothing_else(english: Page, sweep: SweepFolder) -> None:
    assert english.files
    for name in english.files:
        assert not name.startswith(("/", "http", "..")) and (sweep.report / name).is_file(), name
    there = {str(file.relative_to(sweep.report)) for file in contents(sweep.report)}
    assert there == {PAGE, *english.files}
    assert all(target.startswith("#") and target[1:] in english.ids for target in english.targets)
    assert not {"script", "link", "iframe"} & set(english.tags)


def test_every_plot_has_a_dark_twin(sweep: SweepFolder, english: Page) -> None:
    for file in sweep.report.glob("plots/*-dark.svg"):
        light = file.with_name(file.name.replace("-dark", "")).read_text()
        dark = file.read_text()
        assert "#1b1b1f" in light and "#1b1b1f" not in dark and "#e8e8ea" in dark
    assert len(list(sweep.report.glob("plots/*.svg"))) >= 12


def test_it_tells_the_question_the_scores_and_what_they_support(english: Page) -> None:
    for text in (
        "Does alpha matter?",
        "7 training runs",
        "12 scores from 0 to 100 by anna",
        "Best so far: base",
        "all else as base",
        "with optimizer lion",
        "What went wrong",
        "the loss is not a number from update 3 on",
        "torch 2.13.0",
        "optimizer adamw",
        "12 scores were entered without a session",
    ):
        assert text in english.words, text


def test_settings_to_copy_are_the_recommended_run_s(english: Page) -> None:
    assert re.search(r"lora-lab train( |$)", english.words)
    assert "lora-lab export made base" in english.words


@pytest.mark.usefixtures("unplotted")
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_written(sweep: SweepFolder, tmp_path: Path, language: str) -> None:
    page = Page(write_report(subject(sweep), tmp_path / language, language))
    assert ("結論" in page.words) == (language == "ja")
    made = report_data(subject(sweep), language).verdict
    scale = scale_of(made)
    assert in_language(noise_text(made.noise, scale), language) in page.words, "the verdict's own numbers"
    for note in made.notes:
        assert in_language(note, language) in page.words
    english = [text for text in TEXTS["en"].values() if text.count(" ") > 4]
    of_verdict = [max(re.split(r"\{\w+\}", text), key=len).strip() for text in english]
    left = [text for text in of_verdict if text.count(" ") > 3 and text in page.words]
    assert (not left) == (language == "ja"), "no English sentence of the verdict stands in another language"


@pytest.mark.usefixtures("unplotted")
def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    folder = scored.sweep(tmp_path)
    folder.sweep_file.write_text("question: <script>alert(1)</script> & co\n", encoding="utf-8")
    page = write_report(subject(folder), tmp_path / "report").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in page and "<script" not in page


@pytest.mark.usefixtures("unplotted")
def test_without_scores_it_says_so(tmp_path: Path) -> None:
    folder = scored.sweep(tmp_path, scored=False)
    page = Page(write_report(subject(folder), tmp_path / "metric"))
    assert "Nobody has scored these runs yet" in page.words and "“likeness”" in page.words
    page = Page(write_report(subject(folder, "score"), tmp_path / "nothing"))
    assert "no recommendation yet" in page.words


@pytest.mark.usefixtures("unplotted")
def test_runs_that_are_not_done_and_files_that_are_damaged_stop_nothing(tmp_path: Path) -> None:
    folder = scored.sweep(tmp_path, images=True)
    folder.run("base").run_file.write_text("{")
    folder.run("lion").config_file.write_text("a: [")
    folder.run("lion-16").run_file.unlink()
    folder.sweep_file.unlink()
    page = Page(write_report(subject(folder), tmp_path / "report"))
    assert "Not finished yet: 1." in page.words and "damaged" in page.words
    assert "What do these settings do?" in page.words


@pytest.mark.usefixtures("unplotted")
def test_a_report_is_replaced_as_a_whole_and_nothing_else_is(sweep: SweepFolder, tmp_path: Path) -> None:
    old = tmp_path / "report"
    write_report(subject(sweep), old)
    before = contents(old)
    write_report(subject(sweep), old)
    assert contents(old) == before
    assert [item.name for item in tmp_path.iterdir()] == ["report"]
    for where in (old, tmp_path / "photos"):
        mine = where / "notes" / "mine.txt"
        mine.parent.mkdir(parents=True)
        mine.write_text("x")
        with pytest.raises(RunFolderError, match=r"mine\.txt \(lora-lab did not write it\)"):
            write_report(subject(sweep), where)
        assert mine.read_text() == "x"


@pytest.mark.usefixtures("unplotted")
@pytest.mark.parametrize("there", ["index.html", "empty folder", "file", "edited"])
def test_what_somebody_else_put_there_stays(sweep: SweepFolder, tmp_path: Path, there: str) -> None:
    place = tmp_path / "site"
    if there == "file":
        place.write_text("mine")
    elif there == "edited":
        page = write_report(subject(sweep), place)
        page.write_text(page.read_text(encoding="utf-8") + "mine", encoding="utf-8")
    else:
        place.mkdir()
        (place / "photos").mkdir() if there == "empty folder" else (place / PAGE).write_text("mine")
    with pytest.raises(RunFolderError, match="-o"):
        write_report(subject(sweep), place)
    kept = {"file": place, "empty folder": place / "photos"}.get(there, place / PAGE)
    assert kept.is_dir() if there == "empty folder" else "mine" in kept.read_text(encoding="utf-8")


@pytest.mark.usefixtures("unplotted")
def test_a_report_without_a_mark_is_replaced_in_its_own_place_alone(tmp_path: Path) -> None:
    own = scored.sweep(tmp_path, images=True)
    page = write_report(subject(own), own.report)
    for mark in own.report.rglob(MARK):
        mark.unlink()
    write_report(subject(own), own.report)
    for mark in own.report.rglob(MARK):
        mark.unlink()
    (own.report / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="notes"):
        write_report(subject(own), own.report)
    (own.report / "notes.txt").unlink()
    own.report.rename(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match="did not write it"):
        write_report(subject(own), tmp_path / "elsewhere")
    assert page.name == PAGE


@pytest.mark.usefixtures("unplotted")
def test_a_failure_leaves_the_earlier_report(
    sweep: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_report(subject(sweep), tmp_path / "report")
    before = page.read_bytes()
    monkeypatch.setattr("lora_lab.report.page._render", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(subject(sweep), tmp_path / "report")
    assert page.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["report"]


def test_another_language_is_refused(sweep: SweepFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="en or ja"):
        write_report(subject(sweep), tmp_path, "de")


def test_loras_trained_elsewhere_are_no_training_runs(tmp_path: Path, unplotted: None) -> None:
    sweep = scored.sweep(tmp_path)
    record = read_record(sweep.run("lion"))
    record.external = {"trainer": "kohya_ss", "settings": {}}
    write_record(sweep.run("lion"), record)
    words = Page(write_report(subject(sweep), tmp_path / "page")).words
    assert "6 training runs, 10 checkpoints" in words and "1 LoRA trained elsewhere" in words
