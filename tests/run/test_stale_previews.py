"""Previews that others replace: what was judged stays, whatever changed."""

from pathlib import Path

import pytest
from PIL import Image

from lora_lab.config import compose
from lora_lab.effective import Facts, resolve
from lora_lab.effective.previews import wanted_shots
from lora_lab.run.stale_previews import forget_stale
from lora_lab.store import Checkpoint, Preview, RunRecord, SweepFolder, append_score_line

BEFORE = ["preview.prompts=[a hat]", "preview.seeds=[7]", "preview.strengths=[1.0]"]


def resolved(*words: str):
    return resolve(
        compose(["base_model=sd15", "metric.names=[basic]", *BEFORE, *words], checked=False), Facts()
    )


@pytest.mark.parametrize("word", ["preview.strengths=[0.6]", "preview.prompts=[a coat]", "preview.seeds=[8]"])
@pytest.mark.parametrize("judged", [True, False])
def test_images_that_were_judged_stay(tmp_path: Path, word: str, judged: bool) -> None:
    sweep, then = SweepFolder(tmp_path), resolved()
    run, tag = sweep.run("a"), "000001"
    ((drawn, shot),) = wanted_shots(then).items()
    file = run.previews(tag) / "p0-s7-w1.png"
    file.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(file)
    item = Checkpoint(
        tag, "x", 1, 1, 1, previews=[Preview(str(file.relative_to(run.path)), *shot, drawn=drawn)]
    )
    record = RunRecord("done", preview_fingerprint=then.preview_fingerprint, checkpoints=[item])
    before = file.read_bytes()
    if judged:
        append_score_line(
            sweep, "score", session="s", rater="anna", run="a", tag=tag, position=0, value=70,
            shots=[list(shot)], drawn=[drawn],
        )  # fmt: skip
    forget_stale(run, record, resolved(word))
    kept = [path.read_bytes() for path in run.previews(tag).glob("judged-*/*.png")]
    assert kept == ([before] if judged else []) and not file.exists() and item.previews == []
