"""Commands over the results of a sweep: table, review, verdict, plots, report, export."""

from __future__ import annotations

import argparse

from lora_lab.cli.command import Command, add_json, add_language, add_rater, add_sweep


def _table(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_rater(parser)
    parser.add_argument("--all", action="store_true", help="every setting as a column, not only what differs")
    parser.add_argument(
        "--columns",
        default="",
        metavar="NAMES",
        help="only these, in this order, such as run,score,network_alpha (as --csv calls them; the last part "
        "of a name will do)",
    )
    parser.add_argument("--sort", metavar="NAME", help="order the rows by a column, small numbers first")
    parser.add_argument(
        "--reverse", action="store_true", help="the other way round, such as the best score first"
    )
    parser.add_argument("--no-timings", action="store_true", help="without seconds, for comparing tables")
    parser.add_argument("--csv", action="store_true", help="print CSV")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write a .csv, .json or .parquet file instead of printing"
    )


def _plot(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_rater(parser)
    parser.add_argument(
        "kinds",
        nargs="*",
        metavar="KIND",
        help="setting, interaction, epochs, cost, timings, loss (default: all that there are numbers for)",
    )
    parser.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="KEY",
        help="only this setting, such as network_alpha (twice: these two together, too)",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="an automatic metric in place of people's scores, such as likeness"
    )
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="where they go (default: plots/ in the sweep)"
    )
    add_json(parser, "the files, for programs")
    parser.add_argument("--format", default="png", metavar="png,svg", help="kinds of images (default: png)")
    parser.add_argument("--data", action="store_true", help="also the numbers of each plot, as CSV beside it")


def _review(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sweep", nargs="?", default="", metavar="FILE|FOLDER", help="only this sweep (default: all results)"
    )
    parser.add_argument("--port", type=int, default=7868, help="where it listens (default: 7868; 0 is any)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address; another than this machine's own asks for a token"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="also answer under this name, such as a proxy's (repeatable; a token is asked for)",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    add_json(parser, "its addresses as the first line, for programs")
    parser.add_argument(
        "--results", default=None, metavar="FOLDER", help="where results lie (default: results)"
    )


def _verdict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sweep", nargs="?", default="", metavar="FILE|FOLDER", help="the folder of results, or the sweep file"
    )
    parser.add_argument(
        "--scores", metavar="FILE.csv", help="scores from a table: of the sweep's runs, or a table of its own"
    )
    add_rater(parser)
    parser.add_argument(
        "--checkpoint", default="last", metavar="WHICH", help="what a run is judged by: last, best or a tag"
    )
    parser.add_argument("--metric", metavar="NAME", help="judge by an automatic metric instead of scores")
    parser.add_argument(
        "--noise-floor",
        type=float,
        metavar="N",
        help="assume that repeating a run moves its score by N (sd), where it was not measured",
    )
    parser.add_argument(
        "--relevant", type=float, metavar="N", help="the difference worth knowing of (default: 10 points)"
    )
    parser.add_argument(
        "--importance", action="store_true", help="also fANOVA importance, beside shuffled scores (slow)"
    )
    add_language(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--results", default=None, metavar="FOLDER", help="where results lie (default: results)"
    )


def _suggest(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    parser.add_argument("--n", type=int, default=5, metavar="N", help="at most so many rows (default: 5)")
    parser.add_argument("--metric", metavar="NAME", help="judge by an automatic metric instead of scores")
    parser.add_argument(
        "--checkpoint", default="last", metavar="WHICH", help="what a run is judged by: last, best or a tag"
    )
    parser.add_argument("-o", "--output", metavar="FILE.yaml", help="write it there instead of printing it")
    add_json(parser, "the rows with what is expected of each, for programs")


def _report(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_rater(parser)
    add_language(parser)
    parser.add_argument(
        "--metric", metavar="NAME", help="an automatic metric in place of people's scores, such as likeness"
    )
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="where it goes (default: report/ in the sweep)"
    )
    add_json(parser, "the page, for programs")


def _export(parser: argparse.ArgumentParser) -> None:
    add_sweep(parser)
    add_rater(parser)
    parser.add_argument(
        "run",
        nargs="?",
        default="",
        metavar="RUN[:TAG]",
        help="which checkpoint (default: the recommended one)",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="choose by an automatic metric in place of people's scores"
    )
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="where it goes (default: exports/ in the sweep)"
    )
    parser.add_argument(
        "--license",
        default="unknown",
        metavar="ID",
        help="under which license it may be used, as the Hub calls it, such as cc-by-4.0 (default: unknown)",
    )
    add_json(parser, "the files, for programs")


RESULTS = (
    Command(
        "table",
        "print or export results, one row per checkpoint",
        """Print the results of a sweep, or write them to a file. One row per checkpoint; a run without one
has a row with its status and reason; rows that are one experiment share its numbers and say so. `score` is
what the verdict reckons with: the mean over raters, each one's level and spread put on one scale before.""",
        """  lora-lab table results/demo
  lora-lab table sweeps/demo.yaml --all -o demo.csv""",
        _table,
        "lora_lab.cli.look:table",
    ),
    Command(
        "review",
        "look at previews, score and compare them blind, in a browser",
        """Open a gallery of the results in a browser: runs x checkpoints side by side, blind scores from 0 to
100 by keyboard, blind comparisons. It is live while a sweep runs. Scores go to the sweep's scores.jsonl.
Only this machine can connect, unless --host names another address; then a token is asked for.""",
        """  lora-lab review demo
  lora-lab review --port 8000 --no-browser""",
        _review,
        "lora_lab.cli.review:review",
    ),
    Command(
        "verdict",
        "say what the scores support, setting by setting",
        """Say what the scores of a sweep support: what each setting did, beside the noise floor of repeated
runs; which settings depend on each other; the best checkpoint, the costs, and which run to copy. What cannot
be decided is said, with about how many more runs would decide it. Without scores: --metric, or a table.""",
        """  lora-lab verdict demo
  lora-lab verdict demo --metric likeness
  lora-lab verdict --scores scores.csv --noise-floor 5""",
        _verdict,
        "lora_lab.cli.verdict:verdict",
    ),
    Command(
        "suggest",
        "propose what to run next, as a sweep file",
        """Propose what to run next from the scores so far: combinations of settings that are expected to be
        better
than all that was run, and the repeats that decide most of what is open; or say that it is decided. It is a
sweep file to read and edit, with what each row is expected to score and to decide.""",
        """  lora-lab suggest demo
  lora-lab suggest demo --n 3 -o sweeps/next.yaml""",
        _suggest,
        "lora_lab.cli.suggest:suggest_rows",
    ),
    Command(
        "plot",
        "draw plots: score against settings, epochs and cost; timings; loss",
        """Draw what the numbers of a sweep show: score against each setting (runs that differ in nothing else
are joined), two settings at once, score against epochs and against cost, where the time went, loss curves.

Without scores the automatic metric stands in for them, and the plots say so.""",
        """  lora-lab plot results/demo
  lora-lab plot demo setting --setting network_alpha --format svg --data
  lora-lab plot demo interaction --setting network_alpha --setting optimizer.name""",
        _plot,
        "lora_lab.cli.plot:plot",
    ),
    Command(
        "report",
        "write a page to read: images side by side, effects, settings to copy",
        """Write a sweep as one HTML page with its images beside it: the question, the settings, all runs in
a table, images side by side setting by setting, the scores and what they support, failures, cost, and
the recommended settings to copy. It needs no server and no network, and it can be printed.

The folder is replaced as a whole when it is written again.""",
        """  lora-lab report results/demo
  lora-lab report demo --language ja -o /tmp/demo-report""",
        _report,
        "lora_lab.cli.report:report",
    ),
    Command(
        "export",
        "write the chosen LoRA with its score inside and a model card beside it",
        """Write a LoRA to pass on: its score, number of raters, fingerprint and preview seeds go into its
metadata; a model card with front matter, previews, trigger word, settings and instructions stands beside
it, and NAME.json and NAME.png, by which A1111 and Forge show it with its trigger word and the strength that
was judged. Without RUN the recommended run is taken. The weights are those of the checkpoint, bit for bit;
folders of this machine are left out of the metadata.""",
        """  lora-lab export results/demo
  lora-lab export demo lion-alpha-1:12 -o ~/stable-diffusion/models/Lora --license cc-by-4.0""",
        _export,
        "lora_lab.cli.export:export",
    ),
)
