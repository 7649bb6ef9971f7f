"""Commands over LoRA files."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command, add_again, add_config_dir, add_json


def _info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="LoRA files of any origin")
    add_json(parser, "everything, module by module, as JSON")
    parser.add_argument("--brief", action="store_true", help="parts only, no single blocks")


def _merge(parser: argparse.ArgumentParser) -> None:
    _sum(parser)
    _output(parser)


def _svd_merge(parser: argparse.ArgumentParser) -> None:
    _sum(parser)
    _ranks(parser)
    _clamp(parser)
    _output(parser)
    _report(parser)


def _resize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the LoRA file")
    _rest(parser)
    _ranks(parser)
    parser.add_argument(
        "--dynamic-method",
        metavar="METHOD",
        help="keep as few ranks as this allows, module by module, at most --new-rank: "
        "sv_ratio (largest / smallest kept singular value is at most P), "
        "sv_cumulative (P of the sum of singular values), sv_fro (P of the norm)",
    )
    parser.add_argument("--dynamic-param", type=float, default=0.0, metavar="P", help="the method's number")
    parser.add_argument(
        "--conv1x1-as-conv",
        action="store_true",
        help="1x1 convolutions follow --new-conv-rank, as in sd-scripts' resize (default: --new-rank)",
    )
    _output(parser)
    _report(parser)


def _extract(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("original", metavar="ORIGINAL", help="the base model: a folder or a file")
    parser.add_argument("tuned", metavar="TUNED", help="the same model, trained further")
    parser.add_argument("--dim", type=int, required=True, metavar="N", help="rank of the new LoRA")
    parser.add_argument(
        "--conv-dim", type=int, metavar="N", help="rank of 3x3 convolutions (default: they are left out)"
    )
    parser.add_argument(
        "--min-diff",
        type=float,
        default=0.01,
        metavar="D",
        help="leave a text encoder out if none of its weights differs by more (default: 0.01)",
    )
    _clamp(parser)
    _output(parser)
    _report(parser)


def _bake(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="BASE", help="the base model: a folder or a file")
    parser.add_argument("file", metavar="FILE", help="the LoRA file")
    parser.add_argument("--ratio", type=float, default=1.0, metavar="R", help="its strength (default: 1)")
    parser.add_argument(
        "--te-ratio", type=float, metavar="R", help="its strength in the text encoder (default: --ratio)"
    )
    _rest(parser)
    parser.add_argument("-o", "--output", required=True, metavar="PATH", help="the new folder or file")
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")
    add_json(parser, "what was written, for programs")


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _sum(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="LoRA files")
    parser.add_argument(
        "--ratios",
        nargs="+",
        type=_numbers,
        metavar="R",
        help="one number per file, may be negative: 0.7 0.5, or --ratios=0.7,-0.5 (default: 1)",
    )
    _rest(parser)


def _rest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--leave-out-rest",
        action="store_true",
        help="go on without what this verb cannot take (norms, embeddings, OFT, ...), and say what that was",
    )


def _ranks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--new-rank", type=int, required=True, metavar="N", help="most ranks of a module")
    parser.add_argument(
        "--new-conv-rank", type=int, metavar="N", help="most ranks of a 3x3 convolution (default: --new-rank)"
    )


def _clamp(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clamp-quantile",
        type=float,
        metavar="Q",
        help="clamp the factors as sd-scripts does (there: 0.99), which loses a part; default: no",
    )


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the new .safetensors file")
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "bf16"), help="of the new file (default: that of the inputs)"
    )
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")
    add_json(parser, "what was written, for programs")


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report", action="store_true", help="show the retained energy of every module")


VERBS: tuple[Command, ...] = (
    Command(
        "info",
        "what a LoRA file is: modules, ranks, norms, settings",
        "Show what LoRA files are: family, modules, ranks, alphas, how strong each block is, how many ranks\n"
        "are really used, and the settings of the training. No base model is needed.",
        "  lora-lab lora info person.safetensors",
        _info,
        "lora_lab.cli.lora_files:info",
    ),
    Command(
        "merge",
        "the exact weighted sum of LoRA files",
        "Write one LoRA that acts exactly as all inputs together, each times its ratio. Its rank is the sum\n"
        "of the inputs' ranks; svd-merge makes it smaller.",
        "  lora-lab lora merge style.safetensors person.safetensors --ratios 0.7 0.5 -o both.safetensors",
        _merge,
        "lora_lab.cli.lora_files:merge",
    ),
    Command(
        "svd-merge",
        "the weighted sum, with as many ranks as you want",
        "Write the best approximation of the weighted sum that has the rank you ask for, and say how much\n"
        "of the sum it keeps.",
        "  lora-lab lora svd-merge b.safetensors a.safetensors --ratios 1 -1 --new-rank 8 "
        "-o diff.safetensors",
        _svd_merge,
        "lora_lab.cli.lora_files:svd_merge",
    ),
    Command(
        "resize",
        "a LoRA file with fewer ranks",
        "Write the best approximation of a LoRA with fewer ranks: a fixed number, or as few as a criterion\n"
        "allows. Its strength stays the same.",
        "  lora-lab lora resize big.safetensors --new-rank 16 -o small.safetensors\n"
        "  lora-lab lora resize big.safetensors --new-rank 64 --dynamic-method sv_fro --dynamic-param 0.95 "
        "-o small.safetensors",
        _resize,
        "lora_lab.cli.lora_files:resize",
    ),
    Command(
        "extract",
        "a LoRA from the difference of two base models",
        "Write the LoRA that turns one base model into another as well as its rank allows, and say how much\n"
        "of the difference it holds.",
        "  lora-lab lora extract base.safetensors tuned.safetensors --dim 64 -o tuned_lora.safetensors",
        _extract,
        "lora_lab.cli.lora_files:extract",
    ),
    Command(
        "bake",
        "merge a LoRA into a checkpoint",
        "Merge a LoRA into a checkpoint: write the base model with the LoRA added to its weights, a folder\n"
        "for a folder, a file for a file, every weight in the precision that it had.",
        "  lora-lab lora bake base.safetensors style.safetensors --ratio 0.8 -o styled.safetensors",
        _bake,
        "lora_lab.cli.lora_files:bake",
    ),
)


def _copier(parser: argparse.ArgumentParser) -> None:
    parser.usage = "lora-lab copier A.png B.png [KEY=VALUE ...] [options]"
    parser.add_argument(
        "words", nargs="+", metavar="WORD", help="an image, its edited twin, and settings (KEY=VALUE)"
    )
    add_config_dir(parser)
    parser.add_argument("--name", metavar="NAME", help="of the folder of results (default: copier-A-B)")
    parser.add_argument(
        "--method",
        choices=("difference", "merged-base"),
        default="difference",
        help="two LoRAs and their difference (default), or B's LoRA on a base model that A's is merged into",
    )
    parser.add_argument(
        "--new-rank", type=int, default=16, metavar="N", help="rank of the result (default: 16)"
    )
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "bf16"), default="fp16", help="of the result (default: fp16)"
    )
    parser.add_argument(
        "--strengths",
        type=strengths,
        default=[0.0, 0.5, 1.0],
        metavar="W,W,...",
        help="what is shown side by side (default: 0,0.5,1); write --strengths=-1,1 to begin with a minus",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="the LoRA (default: in the folder of results)")
    add_again(parser)
    add_json(parser, "what copier.json holds, for programs")


def strengths(text: str) -> list[float]:
    """Numbers separated by commas; argparse names this function where they are none."""
    return [float(part) for part in text.split(",") if part.strip()]


FILES: tuple[Command, ...] = (
    Command(
        "copier",
        "the difference of two images as a LoRA",
        """Train one LoRA on an image and one on its edited twin, until each copies its image, and subtract
them: the result does to other images what was done to the first. Both train in one pack, as two runs of one
sweep; the same command goes on where it was stopped. Then the result is rendered at several strengths, with
numbers: how far each image moved towards the edit, and how much else changed.

The settings are those of recipe=copier (on the demo base: copier_demo). Prompts and seeds are preview.prompts
and preview.seeds. Results go to results/NAME: the LoRA, copier.png, copier.json.""",
        """  lora-lab copier portrait.png portrait_grey.png
  lora-lab copier a.png b.png base_model=sd15 base_model.path=v1-5.safetensors --strengths 0,0.5,1""",
        _copier,
        "lora_lab.cli.copier:copier",
    ),
    Command(
        "lora",
        "look at LoRA files, add, shrink, and merge them into checkpoints",
        "Work on LoRA files of any origin: kohya, LyCORIS, diffusers, PEFT.",
        "  lora-lab lora info person.safetensors",
        verbs=VERBS,
    ),
)
