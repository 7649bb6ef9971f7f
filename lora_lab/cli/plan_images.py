"""What a plan says of images and prompts: per folder, per bucket, what is cut, and what is rendered."""

from __future__ import annotations

from rich.markup import escape

from lora_lab.cli.show import console
from lora_lab.counts import counted
from lora_lab.data.summary import REGULARISATION, VALIDATION, BucketSummary, DataSummary, FolderSummary
from lora_lab.sweep import Plan

_BUCKETS_SHOWN = 6
_CAPTION_SHOWN = 100
_WORTH_NAMING = 0.05  # smaller crops come of rounding


def show_images(plan: Plan) -> None:
    """Print what the rows train on."""
    out = console()
    found = plan.images()
    for data, names in found:
        out.print(f"\n[bold]images[/]{_of(names, len(found) > 1)}", soft_wrap=True)
        for line in image_lines(data):
            out.print(f"  {escape(line)}", soft_wrap=True)


def show_prompts(plan: Plan) -> None:
    """Print the final preview prompts."""
    out = console()
    found = plan.prompts()
    for texts, names in found:
        out.print(f"\n[bold]preview prompts[/]{_of(names, len(found) > 1)}", soft_wrap=True)
        for number, text in enumerate(texts):
            out.print(f"  {number}: {escape(text) or '[dim](empty)[/]'}", soft_wrap=True)


def _of(names: list[str], several: bool) -> str:
    return f" [dim]({escape(', '.join(names))})[/]" if several else ""


def image_lines(data: DataSummary) -> list[str]:
    """One line for each folder, one for the buckets, one for the crop."""
    lines = [line for folder in data.folders for line in _folder(folder)]
    shown = [_bucket(bucket) for bucket in data.buckets[:_BUCKETS_SHOWN]]
    more = len(data.buckets) - len(shown)
    lines.append(f"buckets: {', '.join(shown)}" + (f", {more} more" if more else ""))
    worst = max(data.buckets, key=lambda bucket: bucket.cut, default=None)
    if worst and worst.cut >= _WORTH_NAMING:
        lines.append(f"the crop takes at most {worst.cut:.0%} of an image ({worst.most_cut})")
    return lines


def _folder(folder: FolderSummary) -> list[str]:
    images = counted(folder.images, "image")
    if folder.use == VALIDATION:
        return [f"{folder.folder}: {images} held back for the validation loss"]
    times = f" x {folder.repeats}" if folder.repeats is not None else ""
    use = " for regularisation" if folder.use == REGULARISATION else ""
    return [
        f"{folder.folder}: {images}{use}{times} = {counted(folder.draws, 'sample')} per epoch",
        f"  caption of {folder.captioned}: {_caption(folder)}",
    ]


def _caption(folder: FolderSummary) -> str:
    text = (
        folder.caption if len(folder.caption) <= _CAPTION_SHOWN else f"{folder.caption[:_CAPTION_SHOWN]}..."
    )
    if not folder.trigger_added:
        return repr(text)
    whom = "all" if folder.trigger_added == folder.images else f"{folder.trigger_added} of {folder.images}"
    return f"{text!r} (dataset.trigger_word={folder.trigger} is put in front of {whom})"


def _bucket(bucket: BucketSummary) -> str:
    return f"{bucket.width}x{bucket.height} ({bucket.images})"
