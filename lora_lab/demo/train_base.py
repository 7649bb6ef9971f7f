"""Trains the embedded base model from nothing: `python -m lora_lab.demo.train_base --out DIR`.

Start it again with the same command and it goes on where its last checkpoint (every minute) stands.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from torch.multiprocessing.spawn import start_processes

from lora_lab.demo.base_training import Peers
from lora_lab.demo.denoiser_training import DenoiserSettings, export, train_denoiser
from lora_lab.demo.vae_training import VaeSettings, train_vae


def main(arguments: list[str] | None = None) -> None:
    """Train the stages that the command line asks for; an interrupted one goes on where it was."""
    options = _parser().parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.stage == "export":
        export(options.out)
        return
    rendezvous = options.out / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    if options.processes == 1:
        _work(0, options)
        return
    start_processes(_work, args=(options,), nprocs=options.processes, start_method="spawn")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train_base", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of states, metrics, images and base/")
    parser.add_argument("--stage", choices=("vae", "denoiser", "all", "export"), default="all")
    parser.add_argument("--vae-minutes", type=float, default=22.0, help="training time of the VAE")
    parser.add_argument("--minutes", type=float, default=60.0, help="training time of U-Net and text encoder")
    parser.add_argument(
        "--finish",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="end now: the learning rate falls to zero",
    )
    parser.add_argument("--images", type=int, default=10_000, help="portraits encoded ahead, by each process")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    return parser


def _work(rank: int, options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    peers = Peers(rank, options.processes, (options.out / "rendezvous").absolute())
    if options.stage in ("vae", "all"):
        train_vae(VaeSettings(minutes=options.vae_minutes), options.out, peers)
    if options.stage in ("denoiser", "all"):
        settings = DenoiserSettings(options.minutes, options.finish, images=options.images)
        train_denoiser(settings, options.out, peers)


if __name__ == "__main__":
    main()
