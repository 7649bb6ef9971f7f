"""The LoRA itself."""

from lora_lab.config.parameters.row import ACTS, ACTS_ON_PACK, row

_LORA = "LoRA, arXiv 2106.09685"
_TARGETS = "networks/test_targets.py::test_preset_has_the_peers_modules"
_FORMS = "networks/test_forms.py::test_outputs_and_gradients_are_the_peers"
_LYCORIS = "LyCORIS, arXiv 2309.14859"
_BLOCKS = "networks/test_blocks.py::"
_EACH = f"{_BLOCKS}test_every_module_is_in_the_group_of_its_rate"

NETWORK = {
    "network.type": row(
        "--network_module LoRA_type algo dora_wd",
        f"{_LORA}; {_LYCORIS}; DoRA, arXiv 2402.09353",
        ACTS,
        _FORMS,
        "run/test_adapter.py::test_type_decides_form_and_convolutions",
    ),
    "network.network_dim": row(
        "--network_dim", _LORA, ACTS, "networks/test_targets.py::test_shapes_and_alphas"
    ),
    "network.network_alpha": row(
        "--network_alpha",
        _LORA,
        ACTS,
        "networks/test_spec.py::test_alpha_zero_means_dim",
        "train/test_recorded_run.py::test_every_loss_is_the_recorded_one",
    ),
    "network.conv_dim": row(
        "conv_dim",
        "LoCon (KohakuBlueleaf)",
        ACTS,
        "networks/test_spec.py::test_convolutions_have_their_own_dim_and_alpha",
    ),
    "network.conv_alpha": row(
        "conv_alpha",
        "LoCon (KohakuBlueleaf)",
        ACTS,
        "run/test_adapter.py::test_alpha_of_convolutions_is_that_of_the_rest_unless_given",
    ),
    "network.preset": row("preset LyCORIS_preset", f"sd-scripts; {_LYCORIS}", ACTS, _TARGETS),
    "network.factor": row("factor", _LYCORIS, ACTS, "networks/test_forms.py::test_factorization", _FORMS),
    "network.decompose_both": row("decompose_both", _LYCORIS, ACTS, _FORMS),
    "network.wd_on_output": row("wd_on_output", "DoRA, arXiv 2402.09353; LyCORIS", ACTS, _FORMS),
    "network.down_lr_weight": row("down_lr_weight", "sd-scripts, lora.py", f"{_BLOCKS}test_courses", _EACH),
    "network.mid_lr_weight": row("mid_lr_weight", "sd-scripts, lora.py", f"{_BLOCKS}test_courses", _EACH),
    "network.up_lr_weight": row("up_lr_weight", "sd-scripts, lora.py", f"{_BLOCKS}test_courses", _EACH),
    "network.block_lr_zero_threshold": row(
        "block_lr_zero_threshold", "sd-scripts, lora.py", f"{_BLOCKS}test_numbers_and_threshold"
    ),
    "network.train_unet": row(
        "--network_train_text_encoder_only",
        "sd-scripts",
        ACTS,
        "networks/test_targets.py::test_unet_or_text_encoder_only",
    ),
    "network.train_text_encoder": row(
        "--network_train_unet_only",
        "sd-scripts",
        ACTS,
        "networks/test_targets.py::test_unet_or_text_encoder_only",
    ),
    "network.network_dropout": row(
        "--network_dropout",
        "guide to kohya_ss 21.8.8; sd-scripts",
        ACTS,
        "networks/test_dropout.py::test_network_dropout_is_elementwise_and_scaled",
    ),
    "network.rank_dropout": row(
        "rank_dropout",
        "guide to kohya_ss 21.8.8; sd-scripts",
        ACTS,
        "networks/test_dropout.py::test_rank_dropout_takes_ranks_of_samples",
    ),
    "network.module_dropout": row(
        "module_dropout",
        "guide to kohya_ss 21.8.8; sd-scripts",
        ACTS,
        "networks/test_dropout.py::test_module_dropout_takes_whole_modules",
    ),
    "network.scale_weight_norms": row(
        "--scale_weight_norms",
        "guide to kohya_ss 21.8.8; sd-scripts",
        ACTS,
        "networks/test_norms.py::test_agrees_with_the_reference",
    ),
    "network.network_weights": row(
        "--network_weights", "sd-scripts", ACTS, "run/test_work.py::test_a_lora_to_continue_from"
    ),
    "network.dim_from_weights": row(
        "--dim_from_weights", "sd-scripts", ACTS, "run/test_adapter.py::test_dims_from_a_file"
    ),
    "network.base_weights": row(
        "--base_weights",
        "sd-scripts; the copier's first method",
        ACTS_ON_PACK,
        "run/test_adapter.py::test_merged_files_act_as_adapters_do",
    ),
    "network.base_weights_multiplier": row(
        "--base_weights_multiplier",
        "sd-scripts",
        ACTS_ON_PACK,
        "run/test_adapter.py::test_several_files_merge_in_turn_and_multipliers_default_to_one",
    ),
}
"""Rows of the group network."""
