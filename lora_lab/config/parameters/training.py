"""Optimizer, schedule, loss, length, precision and saving."""

from lora_lab.config.parameters.row import ACTS, ACTS_ON_PACK, LEAVES, row

_RATES = "optim/test_schedules.py::test_rates_equal_the_reference"
_LIBRARY = "optim/test_schedules.py::test_rates_equal_the_libraries"
_EFFECTIVE = "optim/test_build.py::test_effective_rates"
_WEIGHTS = "losses/test_losses.py::test_weights_equal_the_reference"
_HUBER = "losses/test_losses.py::test_huber_losses"
_GUIDE = "guide to kohya_ss 21.8.8"
_VALIDATION = "run/test_validation_loss.py::test_split_pack_table_and_resume"
_STATES = "run/test_going_on.py::test_states_are_kept_as_long_as_asked"
_POINTS = "run/test_saving.py::test_save_points_by_epochs_and_steps"
_FILES = "run/test_saving.py::test_files_have_the_precision_and_the_comment_asked_for"

TRAINING = {
    "optimizer.name": row(
        "--optimizer_type optimizer",
        "sd-scripts, get_optimizer",
        ACTS,
        "optim/test_registry.py::test_every_name_asked_for_is_known",
        "optim/test_build.py::test_trains_and_resumes_exactly",
        "train/test_optimizers.py::test_all_train_together_and_resume_bit_for_bit",
    ),
    "optimizer.learning_rate": row(
        "--learning_rate",
        "sd-scripts",
        ACTS,
        _EFFECTIVE,
        "train/test_updates.py::test_the_log_has_the_schedules_rate_of_each_step",
    ),
    "optimizer.unet_lr": row(
        "--unet_lr", "sd-scripts", ACTS, _EFFECTIVE, "train/test_updates.py::test_each_part_has_its_rate"
    ),
    "optimizer.text_encoder_lr": row(
        "--text_encoder_lr",
        "sd-scripts",
        ACTS,
        _EFFECTIVE,
        "train/test_updates.py::test_each_part_has_its_rate",
    ),
    "optimizer.loraplus_lr_ratio": row(
        "loraplus_lr_ratio",
        "LoRA+, arXiv 2402.12354",
        ACTS,
        "train/test_updates.py::test_loraplus_multiplies_the_rate_of_ups",
    ),
    "optimizer.args": row(
        "--optimizer_args",
        "sd-scripts",
        ACTS,
        "optim/test_registry.py::test_arguments_are_those_of_the_class",
    ),
    "lr_scheduler.name": row(
        "--lr_scheduler --lr_scheduler_type", "sd-scripts; transformers", ACTS, _RATES, _LIBRARY
    ),
    "lr_scheduler.lr_warmup_steps": row(
        "--lr_warmup_steps lr_warmup", "sd-scripts", ACTS, _RATES, "optim/test_schedules.py::test_lengths"
    ),
    "lr_scheduler.lr_decay_steps": row("--lr_decay_steps", "sd-scripts", ACTS, _RATES),
    "lr_scheduler.num_cycles": row("--lr_scheduler_num_cycles", "transformers", ACTS, _RATES),
    "lr_scheduler.power": row("--lr_scheduler_power", "transformers", ACTS, _RATES),
    "lr_scheduler.min_lr_ratio": row("--lr_scheduler_min_lr_ratio", "transformers", ACTS, _RATES),
    "lr_scheduler.timescale": row("--lr_scheduler_timescale", "transformers", ACTS, _RATES),
    "lr_scheduler.step_rules": row("step_rules", "diffusers", ACTS, _LIBRARY),
    "lr_scheduler.args": row(
        "--lr_scheduler_args",
        f"{_GUIDE}; sd-scripts",
        ACTS,
        "optim/test_schedules.py::test_a_class_by_its_dotted_path_runs_and_gets_the_length",
    ),
    "loss.loss_type": row(
        "--loss_type", "sd-scripts", ACTS, "losses/test_losses.py::test_plain_losses", _HUBER
    ),
    "loss.huber_c": row("--huber_c", "arXiv 2403.16728; sd-scripts", ACTS, _HUBER),
    "loss.huber_schedule": row("--huber_schedule", "sd-scripts", ACTS, _HUBER),
    "loss.huber_scale": row(
        "--huber_scale",
        "sd-scripts",
        ACTS,
        "losses/test_losses.py::test_huber_scale_acts_on_the_schedules_that_have_one",
    ),
    "loss.min_snr_gamma": row("--min_snr_gamma", "Min-SNR, arXiv 2303.09556", ACTS, _WEIGHTS),
    "loss.debiased_estimation_loss": row("--debiased_estimation_loss", "arXiv 2310.08442", ACTS, _WEIGHTS),
    "loss.v_pred_like_loss": row(
        "--v_pred_like_loss", f"{_GUIDE}; sd-scripts, custom_train_functions.py", ACTS, _WEIGHTS
    ),
    "loss.scale_v_pred_loss_like_noise_pred": row(
        "--scale_v_pred_loss_like_noise_pred",
        f"{_GUIDE} (which has it backwards: noisy timesteps weigh less); sd-scripts",
        ACTS,
        _WEIGHTS,
    ),
    "loss.noise_offset": row(
        "--noise_offset",
        "crosslabs.org, diffusion with offset noise",
        ACTS,
        "losses/test_noise.py::test_offset_noise_equals_the_reference",
    ),
    "loss.noise_offset_random_strength": row(
        "--noise_offset_random_strength",
        "sd-scripts",
        ACTS,
        "losses/test_noise.py::test_offset_moves_whole_channels_by_its_strength",
    ),
    "loss.adaptive_noise_scale": row(
        "--adaptive_noise_scale",
        "sd-scripts",
        ACTS,
        "losses/test_noise.py::test_adaptive_scale_follows_the_latents_mean_and_does_not_go_below_zero",
    ),
    "loss.multires_noise_iterations": row(
        "--multires_noise_iterations",
        "wandb.ai/johnowhitaker, multi-resolution noise",
        ACTS,
        "losses/test_noise.py::test_multires_noise_follows_its_formula",
    ),
    "loss.multires_noise_discount": row(
        "--multires_noise_discount",
        "as above",
        ACTS,
        "losses/test_noise.py::test_multires_noise_follows_its_formula",
    ),
    "loss.ip_noise_gamma": row(
        "--ip_noise_gamma",
        "arXiv 2301.11706",
        ACTS,
        "losses/test_noise.py::test_input_perturbation_is_in_the_input_only",
    ),
    "loss.ip_noise_gamma_random_strength": row(
        "--ip_noise_gamma_random_strength",
        "sd-scripts",
        ACTS,
        "losses/test_noise.py::test_input_perturbation_is_in_the_input_only",
    ),
    "loss.zero_terminal_snr": row(
        "--zero_terminal_snr",
        "arXiv 2305.08891",
        ACTS,
        "losses/test_losses.py::test_schedule_tables",
        "losses/test_losses.py::test_weights_under_zero_terminal_snr_are_those_of_the_rescaled_schedule_and_finite",
    ),
    "loss.min_timestep": row(
        "--min_timestep",
        _GUIDE,
        ACTS,
        "losses/test_noise.py::test_timesteps_fill_the_range_without_its_end",
        "train/test_updates.py::test_timesteps_stay_in_their_range",
    ),
    "loss.max_timestep": row(
        "--max_timestep", _GUIDE, ACTS, "losses/test_noise.py::test_timesteps_fill_the_range_without_its_end"
    ),
    "loss.prior_loss_weight": row(
        "--prior_loss_weight",
        "DreamBooth, arXiv 2208.12242",
        ACTS,
        "run/test_regularisation.py::test_weight_zero_is_training_without_their_loss",
        "train/test_updates.py::test_the_prior_weight_multiplies_the_loss_of_regularisation",
    ),
    "train.seed": row(
        "--seed", "sd-scripts", ACTS, "train/test_loop.py::test_two_different_seeds_give_different_weights"
    ),
    "train.train_batch_size": row(
        "--train_batch_size", "sd-scripts", ACTS, "data/test_steps.py::test_batches_and_updates_are_the_peers"
    ),
    "train.gradient_accumulation_steps": row(
        "--gradient_accumulation_steps",
        "sd-scripts",
        ACTS,
        "networks/test_packed_training.py::test_gradients_add_up_over_micro_steps",
        "data/test_steps.py::test_batches_and_updates_are_the_peers",
        "train/test_updates.py::test_accumulated_batches_are_their_mean",
    ),
    "train.max_train_epochs": row(
        "--max_train_epochs epoch", "sd-scripts", ACTS, "data/test_steps.py::test_worked_examples"
    ),
    "train.max_train_steps": row(
        "--max_train_steps",
        f"{_GUIDE}: a cap on pictures x repeats x epochs",
        ACTS,
        "data/test_steps.py::test_worked_examples",
    ),
    "train.max_grad_norm": row(
        "--max_grad_norm",
        "sd-scripts",
        ACTS,
        "train/test_recorded_run.py::test_every_gradient_norm_is_the_recorded_one",
        "train/test_updates.py::test_clipping_scales_the_whole_step_to_the_norm",
    ),
    "train.mixed_precision": row(
        "--mixed_precision",
        "sd-scripts",
        ACTS_ON_PACK,
        "train/test_scaling.py::test_the_scale_follows_torchs_scaler",
    ),
    "train.full_bf16": row(
        "--full_bf16",
        _GUIDE,
        ACTS_ON_PACK,
        "run/test_memory.py::test_full_bf16_keeps_the_adapter_and_the_optimizer_in_bf16",
    ),
    "train.full_fp16": row(
        "--full_fp16", "sd-scripts", "train/test_scaling.py::test_full_fp16_trains_and_resumes_bit_for_bit"
    ),
    "train.attention": row(
        "--sdpa --xformers --mem_eff_attn",
        f"{_GUIDE} (CrossAttention)",
        "test_effective.py::test_attention_is_the_same_experiment",
    ),
    "train.gradient_checkpointing": row(
        "--gradient_checkpointing",
        "guide to SDXL styles; arXiv 1604.06174",
        LEAVES,
        "run/test_memory.py::test_gradient_checkpointing_changes_no_loss",
    ),
    "train.save_every_n_epochs": row(
        "--save_every_n_epochs",
        "sd-scripts",
        _POINTS,
        "run/test_work.py::test_checkpoints_have_kohyas_names_and_load",
    ),
    "train.save_every_n_steps": row(
        "--save_every_n_steps", _GUIDE, _POINTS, "run/test_saving.py::test_save_points_by_epochs_and_steps"
    ),
    "train.save_precision": row("--save_precision", "sd-scripts", _FILES),
    "train.save_state": row("--save_state --save_state_on_train_end --resume", _GUIDE, _STATES),
    "train.save_state_every_n_steps": row(
        "", "guide to kohya_ss 21.8.8, apart from checkpoints here", _STATES
    ),
    "train.save_last_n_steps_state": row(
        "--save_last_n_steps_state --save_last_n_steps",
        _GUIDE,
        _STATES,
        "run/test_saving.py::test_the_documents_example_of_keeping_states",
    ),
    "train.save_last_n_epochs_state": row(
        "--save_last_n_epochs_state --save_last_n_epochs",
        "sd-scripts",
        _STATES,
        "run/test_saving.py::test_the_documents_example_of_keeping_states",
    ),
    "train.keep_state": row(
        "",
        "ours: a finished run needs no state",
        _STATES,
        "run/test_saving.py::test_the_last_state_stays_if_asked",
    ),
    "train.validation_split": row(
        "--validation_split",
        "sd-scripts",
        ACTS,
        "data/test_held_back.py::test_each_folder_keeps_the_peers_number",
    ),
    "train.validation_seed": row(
        "--validation_seed",
        "sd-scripts",
        ACTS,
        "data/test_held_back.py::test_the_choice_follows_the_seed_and_the_bytes_alone",
    ),
    "train.validate_every_n_epochs": row("--validate_every_n_epochs", "sd-scripts", _VALIDATION),
    "train.validate_every_n_steps": row("--validate_every_n_steps", "sd-scripts", _VALIDATION),
    "train.validation_timesteps": row(
        "",
        "sd-scripts (fixed at 200, 400, 600, 800)",
        "train/test_validation.py::test_it_is_the_mean_over_samples_and_unlike_the_training_loss",
    ),
    "train.training_comment": row("--training_comment", "sd-scripts", _FILES),
}
"""Rows of the groups optimizer, lr_scheduler, loss and train."""
