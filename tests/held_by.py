"""The tests that hold what docs/parameters.md names, where a setting's own trial does not say enough.

A setting whose declaration has a trial is held by tests/run/test_every_setting_acts.py, too. Every test is
`file::function` under tests/; each fails if the setting is ignored or means something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lora_lab.config.fields import OWN_PACK, PACKED, SAME_WEIGHTS

TRIALS = {
    PACKED: "run/test_every_setting_acts.py::test_a_setting_changes_the_weights",
    OWN_PACK: "run/test_every_setting_acts.py::test_a_setting_of_the_whole_pack_changes_the_weights",
    SAME_WEIGHTS: "run/test_every_setting_acts.py::test_a_setting_leaves_the_weights_alone",
}
"""The test that does what a trial says."""

HELD_BY: Mapping[str, tuple[str, ...]] = {
    "base_model.path": ("models/test_loading.py::test_folder_and_single_file_are_one_model",),
    "base_model.family": ("sweep/test_plan.py::test_sdxl_where_sd1_is_said",),
    "base_model.vae": (
        "models/test_loading.py::test_a_vae_of_its_own",
        "models/test_loading.py::test_types_of_base_and_vae",
    ),
    "base_model.clip_skip": ("models/test_text_golden.py::test_clip_skip_states",),
    "base_model.max_token_length": (
        "models/test_text_golden.py::test_packaged_vocabulary_gives_reference_ids",
    ),
    "base_model.v_parameterization": (
        "losses/test_losses.py::test_noisy_latents_and_velocity",
        "run/test_families.py::test_the_config_overrules_what_a_model_says_of_itself",
    ),
    "base_model.fp8_base": (
        "models/test_compressed.py::test_it_computes_with_the_rounded_weights",
        "run/test_memory.py::test_a_compressed_base_model_trains_nearly_the_same",
    ),
    "base_model.nf4_base": (
        "models/test_compressed.py::test_matrices_take_a_share_of_the_memory",
        "run/test_memory.py::test_a_compressed_base_model_trains_nearly_the_same",
    ),
    "dataset.path": (
        "data/test_scan.py::test_kohya_folders_set_repeats_and_class_tokens",
        "data/test_toml.py::test_several_datasets_in_one_run",
    ),
    "dataset.reg_path": ("data/test_plan.py::test_regularisation_images_match_the_training_draws",),
    "dataset.validation_path": ("run/test_validation_loss.py::test_a_folder_of_its_own_changes_no_weight",),
    "dataset.repeats": (
        "data/test_scan.py::test_settings_go_before_folder_names",
        "data/test_steps.py::test_batches_and_updates_are_the_peers",
        "data/test_prepare.py::test_repeats_balance_concepts",
    ),
    "dataset.balance": ("data/test_balance.py::test_every_folder_has_the_samples_of_the_largest",),
    "dataset.trigger_word": ("data/test_captions.py::test_trigger_word_is_put_in_front_where_it_is_missing",),
    "dataset.max_images": ("data/test_plan.py::test_the_fewer_images_are_among_the_more",),
    "dataset.max_images_seed": ("data/test_plan.py::test_the_fewer_images_are_among_the_more",),
    "dataset.class_tokens": ("data/test_scan.py::test_kohya_folders_set_repeats_and_class_tokens",),
    "dataset.resolution": ("data/test_buckets.py::test_buckets_are_the_peers",),
    "dataset.enable_bucket": ("data/test_buckets.py::test_without_buckets_everything_fits_the_resolution",),
    "dataset.min_bucket_reso": ("data/test_buckets.py::test_buckets_are_the_peers",),
    "dataset.max_bucket_reso": ("data/test_buckets.py::test_buckets_are_the_peers",),
    "dataset.bucket_reso_steps": ("data/test_buckets.py::test_buckets_are_the_peers",),
    "dataset.bucket_no_upscale": ("data/test_buckets.py::test_no_upscale_ignores_the_limits",),
    "dataset.resize_interpolation": ("data/test_pixels.py::test_every_interpolation_is_the_peers",),
    "dataset.caption_extension": ("data/test_scan.py::test_caption_files_of_another_extension_are_named",),
    "dataset.caption_separator": ("data/test_captions.py::test_prompts_are_the_peers",),
    "dataset.weighted_captions": ("models/test_text_golden.py::test_weighted_states",),
    "dataset.shuffle_caption": ("data/test_captions.py::test_prompts_are_the_peers",),
    "dataset.keep_tokens": ("data/test_captions.py::test_prompts_are_the_peers",),
    "dataset.keep_tokens_separator": ("data/test_captions.py::test_prompts_are_the_peers",),
    "dataset.secondary_separator": ("data/test_captions.py::test_secondary_separator_keeps_tags_together",),
    "dataset.enable_wildcard": (
        "data/test_captions.py::test_prompts_are_the_peers",
        "data/test_captions.py::test_one_of_several_lines",
    ),
    "dataset.caption_prefix": ("data/test_captions.py::test_prefix_and_suffix_travel_with_their_tag",),
    "dataset.caption_suffix": ("data/test_captions.py::test_prefix_and_suffix_travel_with_their_tag",),
    "dataset.caption_dropout_rate": ("data/test_captions.py::test_dropout_share",),
    "dataset.caption_dropout_every_n_epochs": ("data/test_captions.py::test_prompts_are_the_peers",),
    "dataset.caption_tag_dropout_rate": ("data/test_captions.py::test_prompts_are_the_peers",),
    "dataset.token_warmup_min": ("data/test_captions.py::test_prompts_are_the_peers",),
    "dataset.token_warmup_step": ("data/test_captions.py::test_prompts_are_the_peers",),
    "dataset.flip_aug": ("data/test_pixels.py::test_cut_and_flip",),
    "dataset.random_crop": ("data/test_buckets.py::test_the_crop_always_lies_in_the_image",),
    "dataset.alpha_mask": ("train/test_inputs.py::test_masks_leave_the_transparent_half_out",),
    "dataset.cache_latents": ("data/test_cache.py::test_a_latent_of_any_other_key_is_not_found",),
    "dataset.max_image_pixels": ("data/test_scan.py::test_the_pixel_limit_can_be_set",),
    "network.type": (
        "networks/test_forms.py::test_outputs_and_gradients_are_the_peers",
        "run/test_adapter.py::test_type_decides_form_and_convolutions",
    ),
    "network.network_dim": ("networks/test_targets.py::test_shapes_and_alphas",),
    "network.network_alpha": (
        "networks/test_spec.py::test_alpha_zero_means_dim",
        "train/test_recorded_run.py::test_every_loss_is_the_recorded_one",
    ),
    "network.conv_dim": ("networks/test_spec.py::test_convolutions_have_their_own_dim_and_alpha",),
    "network.conv_alpha": (
        "run/test_adapter.py::test_alpha_of_convolutions_is_that_of_the_rest_unless_given",
    ),
    "network.preset": ("networks/test_targets.py::test_preset_has_the_peers_modules",),
    "network.factor": (
        "networks/test_forms.py::test_factorization",
        "networks/test_forms.py::test_outputs_and_gradients_are_the_peers",
    ),
    "network.decompose_both": ("networks/test_forms.py::test_outputs_and_gradients_are_the_peers",),
    "network.wd_on_output": ("networks/test_forms.py::test_outputs_and_gradients_are_the_peers",),
    "network.down_lr_weight": (
        "networks/test_blocks.py::test_courses",
        "networks/test_blocks.py::test_every_module_is_in_the_group_of_its_rate",
    ),
    "network.mid_lr_weight": (
        "networks/test_blocks.py::test_courses",
        "networks/test_blocks.py::test_every_module_is_in_the_group_of_its_rate",
    ),
    "network.up_lr_weight": (
        "networks/test_blocks.py::test_courses",
        "networks/test_blocks.py::test_every_module_is_in_the_group_of_its_rate",
    ),
    "network.block_lr_zero_threshold": ("networks/test_blocks.py::test_numbers_and_threshold",),
    "network.train_unet": ("networks/test_targets.py::test_unet_or_text_encoder_only",),
    "network.train_text_encoder": ("networks/test_targets.py::test_unet_or_text_encoder_only",),
    "network.network_dropout": ("networks/test_dropout.py::test_network_dropout_is_elementwise_and_scaled",),
    "network.rank_dropout": ("networks/test_dropout.py::test_rank_dropout_takes_ranks_of_samples",),
    "network.module_dropout": ("networks/test_dropout.py::test_module_dropout_takes_whole_modules",),
    "network.scale_weight_norms": ("networks/test_norms.py::test_agrees_with_the_reference",),
    "network.network_weights": ("run/test_work.py::test_a_lora_to_continue_from",),
    "network.dim_from_weights": ("run/test_adapter.py::test_dims_from_a_file",),
    "network.base_weights": ("run/test_adapter.py::test_merged_files_act_as_adapters_do",),
    "network.base_weights_multiplier": (
        "run/test_adapter.py::test_several_files_merge_in_turn_and_multipliers_default_to_one",
    ),
    "optimizer.name": (
        "optim/test_registry.py::test_every_name_asked_for_is_known",
        "optim/test_build.py::test_trains_and_resumes_exactly",
        "train/test_optimizers.py::test_all_train_together_and_resume_bit_for_bit",
    ),
    "optimizer.learning_rate": (
        "optim/test_build.py::test_effective_rates",
        "train/test_updates.py::test_the_log_has_the_schedules_rate_of_each_step",
    ),
    "optimizer.unet_lr": (
        "optim/test_build.py::test_effective_rates",
        "train/test_updates.py::test_each_part_has_its_rate",
    ),
    "optimizer.text_encoder_lr": (
        "optim/test_build.py::test_effective_rates",
        "train/test_updates.py::test_each_part_has_its_rate",
    ),
    "optimizer.loraplus_lr_ratio": ("train/test_updates.py::test_loraplus_multiplies_the_rate_of_ups",),
    "optimizer.args": ("optim/test_registry.py::test_arguments_are_those_of_the_class",),
    "lr_scheduler.name": (
        "optim/test_schedules.py::test_rates_equal_the_reference",
        "optim/test_schedules.py::test_rates_equal_the_libraries",
    ),
    "lr_scheduler.lr_warmup_steps": (
        "optim/test_schedules.py::test_rates_equal_the_reference",
        "optim/test_schedules.py::test_lengths",
    ),
    "lr_scheduler.lr_decay_steps": ("optim/test_schedules.py::test_rates_equal_the_reference",),
    "lr_scheduler.num_cycles": ("optim/test_schedules.py::test_rates_equal_the_reference",),
    "lr_scheduler.power": ("optim/test_schedules.py::test_rates_equal_the_reference",),
    "lr_scheduler.min_lr_ratio": ("optim/test_schedules.py::test_rates_equal_the_reference",),
    "lr_scheduler.timescale": ("optim/test_schedules.py::test_rates_equal_the_reference",),
    "lr_scheduler.step_rules": ("optim/test_schedules.py::test_rates_equal_the_libraries",),
    "lr_scheduler.args": (
        "optim/test_schedules.py::test_a_class_by_its_dotted_path_runs_and_gets_the_length",
    ),
    "loss.loss_type": (
        "losses/test_losses.py::test_plain_losses",
        "losses/test_losses.py::test_huber_losses",
    ),
    "loss.huber_c": ("losses/test_losses.py::test_huber_losses",),
    "loss.huber_schedule": ("losses/test_losses.py::test_huber_losses",),
    "loss.huber_scale": ("losses/test_losses.py::test_huber_scale_acts_on_the_schedules_that_have_one",),
    "loss.min_snr_gamma": ("losses/test_losses.py::test_weights_equal_the_reference",),
    "loss.debiased_estimation_loss": ("losses/test_losses.py::test_weights_equal_the_reference",),
    "loss.v_pred_like_loss": ("losses/test_losses.py::test_weights_equal_the_reference",),
    "loss.scale_v_pred_loss_like_noise_pred": ("losses/test_losses.py::test_weights_equal_the_reference",),
    "loss.noise_offset": ("losses/test_noise.py::test_offset_noise_equals_the_reference",),
    "loss.noise_offset_random_strength": (
        "losses/test_noise.py::test_offset_moves_whole_channels_by_its_strength",
    ),
    "loss.adaptive_noise_scale": (
        "losses/test_noise.py::test_adaptive_scale_follows_the_latents_mean_and_does_not_go_below_zero",
    ),
    "loss.multires_noise_iterations": ("losses/test_noise.py::test_multires_noise_follows_its_formula",),
    "loss.multires_noise_discount": ("losses/test_noise.py::test_multires_noise_follows_its_formula",),
    "loss.ip_noise_gamma": ("losses/test_noise.py::test_input_perturbation_is_in_the_input_only",),
    "loss.ip_noise_gamma_random_strength": (
        "losses/test_noise.py::test_input_perturbation_is_in_the_input_only",
    ),
    "loss.zero_terminal_snr": (
        "losses/test_losses.py::test_schedule_tables",
        "losses/test_losses.py::test_weights_under_zero_terminal_snr_are_those_of_the_rescaled_schedule_and_finite",
    ),
    "loss.min_timestep": (
        "losses/test_noise.py::test_timesteps_fill_the_range_without_its_end",
        "train/test_updates.py::test_timesteps_stay_in_their_range",
    ),
    "loss.max_timestep": ("losses/test_noise.py::test_timesteps_fill_the_range_without_its_end",),
    "loss.timestep_sampling": (
        "losses/test_flow.py::test_times_have_the_stated_distribution",
        "run/test_flow_family.py::test_settings_of_flows_act",
    ),
    "loss.sigmoid_scale": (
        "losses/test_flow.py::test_times_have_the_stated_distribution",
        "run/test_flow_family.py::test_settings_of_flows_act",
    ),
    "loss.flow_shift": (
        "losses/test_flow.py::test_times_have_the_stated_distribution",
        "run/test_flow_family.py::test_settings_of_flows_act",
    ),
    "loss.prior_loss_weight": (
        "run/test_regularisation.py::test_weight_zero_is_training_without_their_loss",
        "train/test_updates.py::test_the_prior_weight_multiplies_the_loss_of_regularisation",
    ),
    "train.seed": ("train/test_loop.py::test_two_different_seeds_give_different_weights",),
    "train.train_batch_size": ("data/test_steps.py::test_batches_and_updates_are_the_peers",),
    "train.gradient_accumulation_steps": (
        "networks/test_packed_training.py::test_gradients_add_up_over_micro_steps",
        "data/test_steps.py::test_batches_and_updates_are_the_peers",
        "train/test_updates.py::test_accumulated_batches_are_their_mean",
    ),
    "train.max_train_epochs": ("data/test_steps.py::test_worked_examples",),
    "train.max_train_steps": ("data/test_steps.py::test_worked_examples",),
    "train.max_grad_norm": (
        "train/test_recorded_run.py::test_every_gradient_norm_is_the_recorded_one",
        "train/test_updates.py::test_clipping_scales_the_whole_step_to_the_norm",
    ),
    "train.mixed_precision": ("train/test_scaling.py::test_the_scale_follows_torchs_scaler",),
    "train.full_bf16": ("run/test_memory.py::test_full_bf16_keeps_the_adapter_and_the_optimizer_in_bf16",),
    "train.full_fp16": ("train/test_scaling.py::test_full_fp16_trains_and_resumes_bit_for_bit",),
    "train.attention": ("effective/test_resolve.py::test_attention_is_the_same_experiment",),
    "train.gradient_checkpointing": ("run/test_memory.py::test_gradient_checkpointing_changes_no_loss",),
    "train.save_every_n_epochs": (
        "run/test_saving.py::test_save_points_by_epochs_and_steps",
        "run/test_work.py::test_checkpoints_have_kohyas_names_and_load",
    ),
    "train.save_every_n_steps": (
        "run/test_saving.py::test_save_points_by_epochs_and_steps",
        "run/test_saving.py::test_save_points_by_epochs_and_steps",
    ),
    "train.save_precision": ("run/test_saving.py::test_files_have_the_precision_and_the_comment_asked_for",),
    "train.save_state": ("run/test_going_on.py::test_states_are_kept_as_long_as_asked",),
    "train.save_state_every_n_steps": ("run/test_going_on.py::test_states_are_kept_as_long_as_asked",),
    "train.save_last_n_steps_state": (
        "run/test_going_on.py::test_states_are_kept_as_long_as_asked",
        "run/test_saving.py::test_the_documents_example_of_keeping_states",
    ),
    "train.save_last_n_epochs_state": (
        "run/test_going_on.py::test_states_are_kept_as_long_as_asked",
        "run/test_saving.py::test_the_documents_example_of_keeping_states",
    ),
    "train.keep_state": (
        "run/test_going_on.py::test_states_are_kept_as_long_as_asked",
        "run/test_saving.py::test_the_last_state_stays_if_asked",
    ),
    "train.validation_split": ("data/test_held_back.py::test_each_folder_keeps_the_peers_number",),
    "train.validation_seed": (
        "data/test_held_back.py::test_the_choice_follows_the_seed_and_the_bytes_alone",
    ),
    "train.validate_every_n_epochs": ("run/test_validation_loss.py::test_split_pack_table_and_resume",),
    "train.validate_every_n_steps": ("run/test_validation_loss.py::test_split_pack_table_and_resume",),
    "train.validation_timesteps": (
        "train/test_validation.py::test_it_is_the_mean_over_samples_and_unlike_the_training_loss",
    ),
    "train.training_comment": (
        "run/test_saving.py::test_files_have_the_precision_and_the_comment_asked_for",
    ),
    "name": ("test_main.py::test_names_follow_from_the_words",),
    "sweep": ("test_main.py::test_names_follow_from_the_words",),
    "results": ("sweep/test_launch.py::test_a_plan_becomes_folders_results_and_a_table",),
    "cache": ("test_training_data.py::test_the_demos_images_are_drawn_once",),
    "device": ("run/test_settings_beside_training.py::test_devices",),
    "preview.prompts": (
        "run/test_settings_beside_training.py::test_a_setting_of_previews_changes_the_images",
    ),
    "preview.negative_prompt": (
        "run/test_settings_beside_training.py::test_a_setting_of_previews_changes_the_images",
    ),
    "preview.seeds": ("run/test_settings_beside_training.py::test_a_setting_of_previews_changes_the_images",),
    "preview.strengths": (
        "run/test_settings_beside_training.py::test_a_setting_of_previews_changes_the_images",
        "networks/test_isolation.py::test_strength_scales_the_adapter",
    ),
    "preview.steps": ("run/test_settings_beside_training.py::test_a_setting_of_previews_changes_the_images",),
    "preview.guidance_scale": (
        "run/test_settings_beside_training.py::test_a_setting_of_previews_changes_the_images",
        "preview/test_render.py::test_guidance_1_needs_no_negative_prompt",
    ),
    "preview.sampler": (
        "run/test_settings_beside_training.py::test_a_setting_of_previews_changes_the_images",
    ),
    "preview.flow_shift": (
        "losses/test_flow.py::test_euler_follows_a_known_velocity_to_its_end",
        "run/test_flow_family.py::test_previews_are_shifted",
    ),
    "preview.base_model": ("run/test_further_bases.py::test_every_checkpoint_is_rendered_on_each",),
    "preview.size": ("run/test_settings_beside_training.py::test_a_setting_of_previews_changes_the_images",),
    "preview.clip_skip": (
        "run/test_settings_beside_training.py::test_a_setting_of_previews_changes_the_images",
    ),
    "preview.batch_size": (
        "run/test_settings_beside_training.py::test_a_batch_of_previews_is_for_speed_alone",
    ),
    "preview.anchors": ("run/test_settings_beside_training.py::test_anchors_can_be_left_out",),
    "preview.stop_black": (
        "run/test_ruined.py::test_a_run_that_renders_black_ends_there_and_its_mates_go_on",
        "run/test_ruined.py::test_it_goes_on_where",
    ),
    "metric.names": ("run/test_settings_beside_training.py::test_metrics_are_those_named",),
    "metric.clip_model": ("metrics/test_sets.py::test_clip_t_tells_texts_apart",),
    "metric.dino_model": ("metrics/test_sets.py::test_dinov2_serves_as_dino",),
    "metric.references": ("metrics/test_sets.py::test_likeness_to_references_is_the_mean_cosine",),
    "metric.class_word": ("run/test_measured.py::test_the_class_word_stands_for_the_trigger_word",),
    "stop.name": (
        "run/test_hopeless.py::test_a_worker_ends_it_at_a_checkpoint_and_asked_again_trains_it_to_its_end",
        "sweep/test_stopping.py::test_it_changes_no_fingerprint",
    ),
    "stop.judge": ("run/test_hopeless.py::test_by_peoples_scores_and_without_any_by_nothing",),
    "stop.noise": ("run/test_hopeless.py::test_by_a_metric_with_the_reason",),
    "engine.name": ("run/test_settings_beside_training.py::test_an_engine_is_made_by_its_name",),
    "engine.workers": ("sweep/test_packs.py::test_every_worker_gets_one",),
    "engine.pack_size": ("sweep/test_packs.py::test_never_larger_than_pack_size_and_even",),
    "engine.threads": ("engines/test_slots.py::test_threads_may_be_set",),
    "engine.hours": ("engines/test_slurm.py::test_settings_become_parameters_of_the_job",),
    "engine.slurm": ("engines/test_slurm.py::test_settings_become_parameters_of_the_job",),
    "engine.rounds": ("run/test_rounds.py::test_set_aside_and_taken_up_it_ends_bit_for_bit_the_same",),
    "engine.share_prefixes": ("sweep/test_prefixes.py::test_trained_apart_on_request",),
    "budget.hours": ("sweep/test_estimate.py::test_a_budget_that_is_too_small_starts_nothing",),
    "budget.disk_gb": ("sweep/test_estimate.py::test_a_budget_that_is_too_small_starts_nothing",),
}
"""By dotted setting."""


@dataclass(frozen=True)
class Ability:
    """What the peers can do that is no single setting: how it is done here, where from, held by what."""

    how: str
    source: str
    tests: tuple[str, ...]


BEYOND: Mapping[str, Ability] = {
    "going on after a stop": Ability(
        "the same command again; equal bit for bit on a CPU, twice over, alone or in the same pack",
        "sd-scripts 2248: a second resume began at the wrong epoch",
        (
            "train/test_loop.py::test_resuming_alone_is_bit_for_bit",
            "train/test_loop.py::test_resuming_in_the_same_pack_is_bit_for_bit",
            "train/test_loop.py::test_resuming_in_another_pack_is_within_rounding",
            "run/test_going_on.py::test_stopped_left_alone_and_killed_it_still_ends_the_same",
        ),
    ),
    "a step as sd-scripts makes it": Ability(
        "losses, gradient norms and weights of a recorded run of its trainer",
        "sd-scripts, train_network.py",
        (
            "train/test_recorded_run.py::test_every_loss_is_the_recorded_one",
            "train/test_recorded_run.py::test_every_gradient_norm_is_the_recorded_one",
            "train/test_recorded_run.py::test_weights_end_as_recorded",
        ),
    ),
    "families": Ability(
        "SD 1.x, SD 2.x (v-prediction), SDXL, Pony, Illustrious and NoobAI: base_model=...",
        "the models' own files",
        (
            "run/test_families.py::test_noobais_markers_decide_prediction_and_schedule",
            "models/test_text_golden.py::test_sdxl_states",
            "networks/test_targets.py::test_sdxl_block_names",
        ),
    ),
    "several datasets in one run": Ability(
        "dataset.path=FILE.toml, kohya's dataset TOML or JSON",
        "sd-scripts, config_util.py",
        (
            "data/test_toml.py::test_several_datasets_in_one_run",
            "data/test_toml.py::test_everything_wrong_in_one_message",
        ),
    ),
    "folders of concepts": Ability(
        "15_trigger class; repeats that give each concept as many steps",
        "guide to kohya_ss 21.8.8 (folder preparation, dataset balancing)",
        (
            "data/test_prepare.py::test_repeats_balance_concepts",
            "data/test_prepare.py::test_prepared_folders_scan_as_meant",
        ),
    ),
    "files that others read": Ability(
        "kohya's names, ss_* and modelspec.* metadata, both hashes, a name of its own for every file",
        "A1111, Forge, ComfyUI, diffusers",
        (
            "lora_files/test_disk.py::test_hashes_are_those_of_the_file_with_training_metadata_only",
            "run/test_work.py::test_diffusers_takes_the_files_with_no_key_left_over",
            "loras/test_interop.py::test_each_writer_through_each_reader",
        ),
    ),
    "adding and subtracting LoRAs": Ability(
        "lora-lab lora merge, svd-merge: exact, ratios act once, no clamp unless asked for",
        "sd-scripts, svd_merge_lora.py and merge_lora.py (which squares ratios)",
        (
            "loras/test_golden.py::test_merge_is_the_exact_sum",
            "loras/test_golden.py::test_every_recorded_svd_merge",
            "loras/test_algebra.py::test_any_number_of_files_and_ratios",
        ),
    ),
    "smaller LoRAs": Ability(
        "lora-lab lora resize: a new rank, or as few ranks as a criterion allows",
        "sd-scripts, resize_lora.py",
        (
            "loras/test_golden.py::test_every_recorded_resize",
            "loras/test_algebra.py::test_dynamic_ranks_are_counted_exactly",
        ),
    ),
    "LoRAs from and into checkpoints": Ability(
        "lora-lab lora extract, bake",
        "sd-scripts, extract_lora_from_models.py and merge_lora.py",
        (
            "loras/test_golden.py::test_extract",
            "loras/test_golden.py::test_baking_is_the_peers_merge_into_weights",
        ),
    ),
    "the copier": Ability(
        "lora-lab copier A.png B.png, by either method",
        "guide to copier LoRAs",
        (
            "copier/test_command.py::test_two_images_become_a_lora",
            "copier/test_command.py::test_b_on_a_base_that_holds_a",
            "copier/test_measure.py::test_black_and_white_is_a_rule_for_every_image",
        ),
    ),
}
"""By title."""
