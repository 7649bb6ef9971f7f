"""Every setting that claims to train changes the weights of some run: none is read and forgotten.

Pairs of runs of a few steps, alike but for the one setting, go through the worker itself: from the run
folder's config.yaml to the LoRA file. What a setting must do exactly is held elsewhere (docs/parameters.md);
this holds that it does something, or, where it must not, nothing.
"""

from pathlib import Path

import pytest
import torch

from lora_lab.config import compose, dump
from lora_lab.lora_files.disk import read_lora
from lora_lab.run.events import Events
from lora_lab.run.task import Task
from lora_lab.run.work import PackWork
from lora_lab.store import SweepFolder, read_record
from tests.run.acting import BASE, OWN_PACK, PACKED, SAME_WEIGHTS, TRIALS, showing
from tests.run.bench import Stop
from tests.run.trial_places import write_places

pytestmark = pytest.mark.slow

AT_ONCE = 40
"""Runs in one pack."""
ROUNDING = 1e-4
"""Largest difference, relative to the largest weight, that pack-mates and the order of sums may make."""

Weights = dict[str, torch.Tensor]


class Lab:
    """Trains sets of words, each once, in as few packs as can be."""

    def __init__(self, root: Path) -> None:
        self.places = {
            **write_places(root),
            "cache": root / "cache",
            "results": root / "results",
            "lora": root / "lora.safetensors",
        }
        self._sweep = SweepFolder(root / "results" / "acts")
        self._done: dict[tuple[str, ...], Weights] = {}
        (self.places["lora"]).write_bytes(self._file(self._train([()])[0]).read_bytes())

    def train(self, wanted: list[tuple[str, ...]]) -> None:
        """Train what has not been trained yet."""
        new = [words for words in dict.fromkeys(wanted) if words not in self._done]
        for start in range(0, len(new), AT_ONCE):
            chunk = new[start : start + AT_ONCE]
            for words, name in zip(chunk, self._train(chunk), strict=True):
                self._done[words] = read_lora(self._file(name))[0]

    def weights(self, words: tuple[str, ...]) -> Weights:
        """The weights that a set of words ended with."""
        return self._done[words]

    def _train(self, chunk: list[tuple[str, ...]]) -> list[str]:
        names, tasks = [], []
        for words in chunk:
            names.append(f"run{len(list(self._sweep.path.glob('*')))}")
            folder = self._sweep.run(names[-1])
            config = compose([text.format(**self.places) for text in (*BASE, *words)])
            config.name = names[-1]
            folder.path.mkdir(parents=True)
            dump(config, folder.config_file)
            task = Task.open(folder)
            assert task
            tasks.append(task)
        PackWork(tasks, len(tasks), Events(None), Stop()).run()
        for task in tasks:
            task.lock.release()
            record = read_record(task.folder)
            assert record.status == "done", (task.config, record.reason)
        return names

    def _file(self, name: str) -> Path:
        folder = self._sweep.run(name)
        return folder.path / read_record(folder).checkpoints[-1].file


def pair(key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of the two runs of a setting."""
    trial = TRIALS[key]
    return trial.beside, (*trial.beside, f"{key}={trial.value}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    torch.set_num_threads(1)
    made = Lab(tmp_path_factory.mktemp("acts"))
    made.train([words for key in showing(PACKED) for words in pair(key)])
    return made


def difference(one: Weights, other: Weights) -> float:
    """Largest difference of two files, as a share of the largest weight; infinite for other keys."""
    if one.keys() != other.keys() or any(one[key].shape != other[key].shape for key in one):
        return float("inf")
    largest = max(float(tensor.abs().max()) for tensor in one.values())
    return max(float((one[key] - other[key]).abs().max()) for key in one) / largest


@pytest.mark.parametrize("key", showing(PACKED))
def test_a_setting_changes_the_weights(lab: Lab, key: str) -> None:
    before, after = pair(key)
    assert difference(lab.weights(before), lab.weights(after)) > ROUNDING


@pytest.mark.parametrize("key", showing(OWN_PACK))
def test_a_setting_of_the_whole_pack_changes_the_weights(lab: Lab, key: str) -> None:
    before, after = pair(key)
    lab.train([before])
    lab.train([after])
    assert difference(lab.weights(before), lab.weights(after)) > ROUNDING


@pytest.mark.parametrize("key", showing(SAME_WEIGHTS))
def test_a_setting_leaves_the_weights_alone(lab: Lab, key: str) -> None:
    before, after = pair(key)
    lab.train([before])
    lab.train([after])
    assert difference(lab.weights(before), lab.weights(after)) < ROUNDING
