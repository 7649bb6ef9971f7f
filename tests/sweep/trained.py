"""An engine that trains nothing: every run ends at once, as a worker would leave it."""

from collections.abc import Sequence

from PIL import Image

from lora_lab.engines import Pack, Report
from lora_lab.resolved import Resolved
from lora_lab.run.save_schedule import SaveSchedule
from lora_lab.store import Checkpoint, Preview, read_record, write_record


class AtOnce:
    """Ends every run with one checkpoint and one preview, of a colour by its name."""

    def __init__(self, *_: object) -> None:
        self.ran: list[str] = []

    def run(self, packs: Sequence[Pack], report: Report) -> None:
        """As `Engine.run`."""
        for run in (run for pack in packs for run in pack.runs):
            self.ran.append(run.name)
            record = read_record(run)
            points = SaveSchedule.of(Resolved.from_plain(record.resolved))
            tag, epoch = points.tags()[-1], -(-record.total_steps // record.updates_per_epoch)
            file, image = f"checkpoints/{run.name}-{tag}.safetensors", f"previews/{tag}/p0-s7-w1.png"
            for place in (run.path / file, run.path / image):
                place.parent.mkdir(parents=True, exist_ok=True)
            (run.path / file).write_bytes(b"lora")
            shade = sum(map(ord, run.name)) % 256
            Image.new("RGB", (16, 16), (shade, 90, 255 - shade)).save(run.path / image)
            steps = record.total_steps
            record.status, record.step, record.device = "done", steps, "cpu"
            record.seconds = {"train": 3.0}
            shot = Preview(image, 0, 7, 1.0, "a prompt")
            record.checkpoints = [Checkpoint(tag, file, epoch, steps, steps, 0.5, 3.0, 4, previews=[shot])]
            write_record(run, record)
            run.steps_file.write_text('{"step": 1, "epoch": 1, "samples": 1, "loss": 0.5}\n')
