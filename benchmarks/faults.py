"""The tests of faults that a sweep survives, many times in a row: what passes by luck shows.

    python benchmarks/faults.py --times 20

Each fault is named with the tests that stand for it. Where a module of tests asks for a package that is not
installed (`ray`), its tests are skipped, and counted.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTRACT = "tests/engines/test_contract.py"
FAULTS = {
    "kill -9 of a worker": (
        f"{CONTRACT}::TestContract::test_a_worker_that_is_killed_costs_nobody_else",
        "tests/engines/test_local.py::test_a_lost_pack_is_halved_until_the_culprit_is_alone",
        "tests/engines/test_local.py::test_a_single_run_that_was_killed_gets_a_second_chance",
        "tests/engines/test_local.py::test_a_worker_that_is_killed_in_its_second_round_goes_on",
        "tests/run/test_in_step.py",
    ),
    "kill -9 of the launcher, and the same command": (
        "tests/sweep/test_launch.py::test_killed_and_launched_again_gives_the_same_table",
        "tests/sweep/test_launch.py::test_a_start_removes_what_a_kill_left_of_files_half_written",
        "tests/cli/test_queue.py::test_after_a_kill_the_same_command_goes_on_with_the_interrupted_one",
        f"{CONTRACT}::TestContract::test_a_run_of_another_process_is_waited_for",
    ),
    "Ctrl-C at any point": (
        f"{CONTRACT}::TestContract::test_ctrl_c_saves_and_the_same_call_goes_on",
        "tests/sweep/test_launch.py::test_interrupted_and_launched_again_gives_the_same_table",
        "tests/run/test_work.py::test_interrupted_at_any_point_and_gone_on",
    ),
    "a lost Ray node": (
        "tests/engines/test_ray.py::test_a_lost_node_is_no_fault_of_its_runs",
        "tests/engines/test_ray.py::test_a_real_cluster_loses_a_node_in_mid_run",
    ),
    "a full disk": (
        "tests/test_files.py::test_a_full_disk_is_one_message",
        "tests/test_files.py::test_a_line_is_on_the_disk_whole_or_the_user_is_told",
        "tests/run/test_going_on.py::test_a_full_disk_ends_a_run_with_one_message_and_it_goes_on",
    ),
    "a run's folder or files deleted, damaged or copied": (
        "tests/sweep/test_status.py::test_finished_with_a_deleted_file",
        "tests/sweep/test_status.py::test_damaged_record",
        "tests/store/test_reading.py::test_a_run_without_its_config_is_still_there",
        "tests/store/test_locks.py::test_a_copied_folder_is_no_copied_lock",
        "tests/run/test_going_on.py::test_lost_previews_are_rendered_from_the_file",
    ),
    "two launchers": (
        f"{CONTRACT}::TestContract::test_two_launchers_train_no_run_twice",
        "tests/store/test_locks.py::test_of_many_processes_one_has_it_and_a_killed_one_leaves_it_free",
        "tests/store/test_locks.py::test_a_holder_that_was_held_up_finds_that_it_has_lost",
    ),
    "a NaN in one of a pack": (
        "tests/train/test_loop.py::test_a_diverging_run_ends_and_disturbs_nobody",
        "tests/run/test_work.py::test_a_run_that_diverges_keeps_its_last_good_checkpoint",
        "tests/run/test_following.py::test_a_leader_that_diverges_ends_those_it_had_before_it",
    ),
    "out of memory": (
        "tests/engines/test_local.py::test_out_of_memory_halves_packs_and_keeps_them_small",
        "tests/engines/test_local.py::test_out_of_memory_alone_is_a_failure",
    ),
    "a setting edited after the run": (
        "tests/sweep/test_status.py::test_another_experiment_is_never_overwritten",
        "tests/sweep/test_status.py::test_changed_settings_are_named_one_by_one",
        "tests/sweep/test_launch.py::test_a_conflict_stops_everything_before_it_starts",
    ),
    "results moved": (
        f"{CONTRACT}::TestContract::test_what_was_begun_goes_on_also_where_the_folder_has_moved",
        "tests/store/test_places.py",
        "tests/sweep/test_growing.py::test_a_renamed_and_a_linked_run_change_nothing",
    ),
}


def once(tests: Sequence[str]) -> tuple[str, str]:
    """How many tests ended how, and what pytest said where one failed."""
    plain = "addopts=--strict-markers --import-mode=importlib"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", plain, "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    counts = re.findall(r"\d+ (?:passed|failed|skipped|errors?)", done.stdout.strip().rpartition("\n")[2])
    return ", ".join(counts), "" if done.returncode == 0 else done.stdout[-8000:]


def main(argv: Sequence[str] | None = None) -> int:
    """1 where a test failed once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--fault", default="", help="only faults whose name holds this")
    given = parser.parse_args(argv)
    faults = {name: tests for name, tests in FAULTS.items() if given.fault in name}
    for round_ in range(1, given.times + 1):
        start = time.monotonic()
        told, failure = once([test for tests in faults.values() for test in tests])
        print(f"round {round_} of {given.times}: {told}, {time.monotonic() - start:.0f} s", flush=True)
        if failure:
            print(failure)
            return 1
    print(f"{len(faults)} kinds of faults, survived {given.times} times in a row: {', '.join(faults)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
