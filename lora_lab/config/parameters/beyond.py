"""What the peers can do that is no single setting: how it is done here, and the tests that hold it."""

from lora_lab.config.parameters.row import Parameter, row

BEYOND: dict[str, tuple[str, Parameter]] = {
    "going on after a stop": (
        "the same command again; equal bit for bit on a CPU, twice over, alone or in the same pack",
        row(
            "",
            "sd-scripts 2248: a second resume began at the wrong epoch",
            "train/test_loop.py::test_resuming_alone_is_bit_for_bit",
            "train/test_loop.py::test_resuming_in_the_same_pack_is_bit_for_bit",
            "train/test_loop.py::test_resuming_in_another_pack_is_within_rounding",
            "run/test_going_on.py::test_stopped_left_alone_and_killed_it_still_ends_the_same",
        ),
    ),
    "a step as sd-scripts makes it": (
        "losses, gradient norms and weights of a recorded run of its trainer",
        row(
            "",
            "sd-scripts, train_network.py",
            "train/test_recorded_run.py::test_every_loss_is_the_recorded_one",
            "train/test_recorded_run.py::test_every_gradient_norm_is_the_recorded_one",
            "train/test_recorded_run.py::test_weights_end_as_recorded",
        ),
    ),
    "families": (
        "SD 1.x, SD 2.x (v-prediction), SDXL, Pony, Illustrious and NoobAI: base_model=...",
        row(
            "",
            "the models' own files",
            "run/test_families.py::test_noobais_markers_decide_prediction_and_schedule",
            "models/test_text_golden.py::test_sdxl_states",
            "networks/test_targets.py::test_sdxl_block_names",
        ),
    ),
    "several datasets in one run": (
        "dataset.path=FILE.toml, kohya's dataset TOML or JSON",
        row(
            "",
            "sd-scripts, config_util.py",
            "data/test_toml.py::test_several_datasets_in_one_run",
            "data/test_toml.py::test_everything_wrong_in_one_message",
        ),
    ),
    "folders of concepts": (
        "15_trigger class; repeats that give each concept as many steps",
        row(
            "",
            "guide to kohya_ss 21.8.8 (folder preparation, dataset balancing)",
            "data/test_prepare.py::test_repeats_balance_concepts",
            "data/test_prepare.py::test_prepared_folders_scan_as_meant",
        ),
    ),
    "files that others read": (
        "kohya's names, ss_* and modelspec.* metadata, both hashes, a name of its own for every file",
        row(
            "",
            "A1111, Forge, ComfyUI, diffusers",
            "networks/test_files.py::test_hashes_are_those_of_the_file_with_training_metadata_only",
            "run/test_work.py::test_diffusers_takes_the_files_with_no_key_left_over",
            "loras/test_interop.py::test_each_writer_through_each_reader",
        ),
    ),
    "adding and subtracting LoRAs": (
        "lora-lab lora merge, svd-merge: exact, ratios act once, no clamp unless asked for",
        row(
            "",
            "sd-scripts, svd_merge_lora.py and merge_lora.py (which squares ratios)",
            "loras/test_golden.py::test_merge_is_the_exact_sum",
            "loras/test_golden.py::test_every_recorded_svd_merge",
            "loras/test_algebra.py::test_any_number_of_files_and_ratios",
        ),
    ),
    "smaller LoRAs": (
        "lora-lab lora resize: a new rank, or as few ranks as a criterion allows",
        row(
            "",
            "sd-scripts, resize_lora.py",
            "loras/test_golden.py::test_every_recorded_resize",
            "loras/test_algebra.py::test_dynamic_ranks_are_counted_exactly",
        ),
    ),
    "LoRAs from and into checkpoints": (
        "lora-lab lora extract, bake",
        row(
            "",
            "sd-scripts, extract_lora_from_models.py and merge_lora.py",
            "loras/test_golden.py::test_extract",
            "loras/test_golden.py::test_baking_is_the_peers_merge_into_weights",
        ),
    ),
    "the copier": (
        "lora-lab copier A.png B.png, by either method",
        row(
            "",
            "guide to copier LoRAs",
            "copier/test_command.py::test_two_pictures_become_a_lora",
            "copier/test_command.py::test_b_on_a_base_that_holds_a",
            "copier/test_measure.py::test_black_and_white_is_a_rule_for_every_picture",
        ),
    ),
}
"""Title: (how, where from and held by what)."""
