"""Nothing is replaced or deleted that we did not write."""

import json
from pathlib import Path

import pytest

from lora_lab.errors import RunFolderError
from lora_lab.outputs import MARK, contents, folder_for, is_marked, owner, refuse_to_overwrite, remember


def write(path: Path, text: str = "ours") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_what_is_not_there_or_is_ours_is_free(tmp_path: Path) -> None:
    files = [tmp_path / "a.png", tmp_path / "sub" / "b.csv"]
    refuse_to_overwrite(files, "plot")
    for file in files:
        write(file)
    remember(files, "plot")
    refuse_to_overwrite(files, "plot")
    assert is_marked(tmp_path) and is_marked(tmp_path / "sub")
    assert not any(item.name == MARK for item in contents(tmp_path))


def test_what_needs_a_folder_takes_no_file(tmp_path: Path) -> None:
    file = write(tmp_path / "keep.csv")
    with pytest.raises(RunFolderError, match=r"keep\.csv is a file: give a folder with -o"):
        folder_for(str(file))
    with pytest.raises(RunFolderError, match=r"give a folder, such as -o .*/look$"):
        folder_for(str(tmp_path / "look.safetensors"))
    assert folder_for(str(tmp_path / "v1.5")) == tmp_path / "v1.5"


@pytest.mark.parametrize("mark", [None, "", "{", "[]", '{"written by lora-lab": 3}', "[" * 20000, "null"])
def test_a_foreign_file_is_refused_whatever_its_mark_says(tmp_path: Path, mark: str | None) -> None:
    file = write(tmp_path / "notes.txt", "mine")
    if mark is not None:
        write(tmp_path / MARK, mark)
    with pytest.raises(RunFolderError, match=r"notes\.txt \(lora-lab did not write it\).* with -o"):
        refuse_to_overwrite([file], "plot")
    assert file.read_text() == "mine"


def test_a_file_that_was_changed_since_is_somebody_s_own(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml")
    remember([file], "suggest")
    file.write_text("edited")
    with pytest.raises(RunFolderError, match="it was changed since"):
        refuse_to_overwrite([file], "suggest")


def test_what_another_sweep_wrote_is_not_ours(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv")
    remember([file], owner("table", tmp_path / "one", file))
    with pytest.raises(RunFolderError, match="it was written as table of .*one"):
        refuse_to_overwrite([file], owner("table", tmp_path / "other", file))


def test_a_folder_or_a_dead_link_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "nowhere")
    for name in "ab":
        with pytest.raises(RunFolderError, match="it is no file"):
            refuse_to_overwrite([tmp_path / name], "plot")


def test_many_are_counted_and_few_are_named(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{number}.png") for number in range(5)]
    with pytest.raises(RunFolderError, match=r"0\.png .*1\.png .*2\.png .* and 2 more"):
        refuse_to_overwrite(files, "plot")


def test_what_is_written_inside_a_sweep_moves_with_it(tmp_path: Path) -> None:
    one, other = tmp_path / "demo", tmp_path / "moved"
    file = write(one / "plots" / "a.png")
    remember([file], owner("plot", one, file))
    one.rename(other)
    refuse_to_overwrite([other / "plots" / "a.png"], owner("plot", other, other / "plots"))


def test_a_place_of_ours_without_a_mark_is_from_an_earlier_version(tmp_path: Path) -> None:
    file = write(tmp_path / "plots" / "a.png")
    refuse_to_overwrite([file], "plot", home=tmp_path / "plots")
    with pytest.raises(RunFolderError):
        refuse_to_overwrite([file], "plot", home=tmp_path)
    remember([write(tmp_path / "plots" / "b.png")], "plot")
    with pytest.raises(RunFolderError):
        refuse_to_overwrite([file], "plot", home=tmp_path / "plots")


def test_contents_are_files_and_empty_folders(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b.txt")
    (tmp_path / "photos").mkdir()
    assert contents(tmp_path) == [tmp_path / "a" / "b.txt", tmp_path / "photos"]
    assert contents(tmp_path / "none") == []
    with pytest.raises(RunFolderError, match="is a file"):
        contents(tmp_path / "a" / "b.txt")


def test_a_mark_forgets_what_has_gone(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a"), write(tmp_path / "b")
    remember([one, other], "x")
    one.unlink()
    remember([other], "x")
    assert list(json.loads((tmp_path / MARK).read_text())["written by lora-lab"]) == ["b"]
