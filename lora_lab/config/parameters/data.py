"""Base model and pictures."""

from lora_lab.config.parameters.row import ACTS, ACTS_ON_PACK, LEAVES, row

_GUIDE = "guide to kohya_ss 21.8.8"
_SD = "sd-scripts, train_util.py"
_CAPTIONS = "data/test_captions.py::test_prompts_are_the_peers"
_BUCKETS = "data/test_buckets.py::test_buckets_are_the_peers"
_SCAN = "data/test_scan.py::"

DATA = {
    "base_model.path": row(
        "--pretrained_model_name_or_path",
        _SD,
        ACTS_ON_PACK,
        "models/test_loading.py::test_folder_and_single_file_are_one_model",
    ),
    "base_model.family": row(
        "--v2 sdxl", f"{_GUIDE} (SDXL switch)", "sweep/test_sweep_plan.py::test_sdxl_where_sd1_is_said"
    ),
    "base_model.vae": row(
        "--vae --no_half_vae sdxl_no_half_vae",
        f"{_GUIDE}; the VAE always computes in fp32",
        ACTS_ON_PACK,
        "models/test_loading.py::test_a_vae_of_its_own",
        "models/test_loading.py::test_types_of_base_and_vae",
    ),
    "base_model.clip_skip": row(
        "--clip_skip",
        "A1111 counting; the article's twenty-five patterns",
        ACTS,
        "models/test_text_golden.py::test_clip_skip_states",
    ),
    "base_model.max_token_length": row(
        "--max_token_length",
        _SD,
        ACTS,
        "models/test_text_golden.py::test_packaged_vocabulary_gives_reference_ids",
    ),
    "base_model.v_parameterization": row(
        "--v_parameterization",
        "Salimans and Ho, arXiv 2202.00512",
        ACTS,
        "losses/test_losses.py::test_noisy_latents_and_velocity",
        "run/test_families.py::test_the_config_overrules_what_a_model_says_of_itself",
    ),
    "base_model.fp8_base": row(
        "--fp8_base --fp8_base_unet",
        "sd-scripts; e4m3 of arXiv 2209.05433",
        "models/test_compressed.py::test_it_computes_with_the_rounded_weights",
        "run/test_memory.py::test_a_compressed_base_model_trains_nearly_the_same",
    ),
    "base_model.nf4_base": row(
        "",
        "QLoRA, arXiv 2305.14314 (bitsandbytes)",
        "models/test_compressed.py::test_matrices_take_a_share_of_the_memory",
        "run/test_memory.py::test_a_compressed_base_model_trains_nearly_the_same",
    ),
    "dataset.path": row(
        "--train_data_dir --dataset_config image_dir",
        _SD,
        ACTS,
        f"{_SCAN}test_kohya_folders_set_repeats_and_class_tokens",
        "data/test_toml.py::test_several_datasets_in_one_run",
    ),
    "dataset.reg_path": row(
        "--reg_data_dir is_reg",
        "DreamBooth, arXiv 2208.12242",
        ACTS,
        "data/test_plan.py::test_regularisation_pictures_match_the_training_draws",
    ),
    "dataset.validation_path": row(
        "validation_data_dir",
        "sd-scripts (validation)",
        "run/test_validation_loss.py::test_a_folder_of_its_own_changes_no_weight",
    ),
    "dataset.repeats": row(
        "num_repeats",
        f"{_SD}: folder 15_name; balance of concepts",
        ACTS,
        f"{_SCAN}test_settings_go_before_folder_names",
        "data/test_steps.py::test_batches_and_updates_are_the_peers",
        "data/test_prepare.py::test_repeats_balance_concepts",
    ),
    "dataset.trigger_word": row(
        "",
        "guide to SDXL styles (trigger in front)",
        ACTS,
        "data/test_captions.py::test_trigger_word_is_put_in_front_where_it_is_missing",
    ),
    "dataset.class_tokens": row(
        "class_tokens", _SD, ACTS, f"{_SCAN}test_kohya_folders_set_repeats_and_class_tokens"
    ),
    "dataset.resolution": row("--resolution max_resolution", _SD, ACTS, _BUCKETS),
    "dataset.enable_bucket": row(
        "--enable_bucket",
        _SD,
        ACTS,
        "data/test_buckets.py::test_without_buckets_everything_fits_the_resolution",
    ),
    "dataset.min_bucket_reso": row("--min_bucket_reso", _GUIDE, ACTS, _BUCKETS),
    "dataset.max_bucket_reso": row("--max_bucket_reso", _GUIDE, ACTS, _BUCKETS),
    "dataset.bucket_reso_steps": row(
        "--bucket_reso_steps", "guide to SDXL styles; sd-scripts", ACTS, _BUCKETS
    ),
    "dataset.bucket_no_upscale": row(
        "--bucket_no_upscale", _SD, ACTS, "data/test_buckets.py::test_no_upscale_ignores_the_limits"
    ),
    "dataset.resize_interpolation": row(
        "--resize_interpolation", _SD, ACTS, "data/test_pixels.py::test_every_interpolation_is_the_peers"
    ),
    "dataset.caption_extension": row(
        "--caption_extension", _SD, ACTS, f"{_SCAN}test_caption_files_of_another_extension_are_named"
    ),
    "dataset.caption_separator": row("--caption_separator", _SD, ACTS, _CAPTIONS),
    "dataset.weighted_captions": row(
        "--weighted_captions",
        "A1111's (word:1.3); sd-scripts",
        ACTS,
        "models/test_text_golden.py::test_weighted_states",
    ),
    "dataset.shuffle_caption": row("--shuffle_caption", "guide to SDXL styles; sd-scripts", ACTS, _CAPTIONS),
    "dataset.keep_tokens": row("--keep_tokens", "guide to SDXL styles; sd-scripts", ACTS, _CAPTIONS),
    "dataset.keep_tokens_separator": row("--keep_tokens_separator", _SD, ACTS, _CAPTIONS),
    "dataset.secondary_separator": row(
        "--secondary_separator",
        _SD,
        ACTS,
        "data/test_captions.py::test_secondary_separator_keeps_tags_together",
    ),
    "dataset.enable_wildcard": row(
        "--enable_wildcard", _SD, ACTS, _CAPTIONS, "data/test_captions.py::test_one_of_several_lines"
    ),
    "dataset.caption_prefix": row(
        "--caption_prefix", _SD, ACTS, "data/test_captions.py::test_prefix_and_suffix_travel_with_their_tag"
    ),
    "dataset.caption_suffix": row(
        "--caption_suffix", _SD, ACTS, "data/test_captions.py::test_prefix_and_suffix_travel_with_their_tag"
    ),
    "dataset.caption_dropout_rate": row(
        "--caption_dropout_rate", _SD, ACTS, "data/test_captions.py::test_dropout_share"
    ),
    "dataset.caption_dropout_every_n_epochs": row("--caption_dropout_every_n_epochs", _SD, ACTS, _CAPTIONS),
    "dataset.caption_tag_dropout_rate": row("--caption_tag_dropout_rate", _SD, ACTS, _CAPTIONS),
    "dataset.token_warmup_min": row("--token_warmup_min", _SD, ACTS, _CAPTIONS),
    "dataset.token_warmup_step": row("--token_warmup_step", _SD, ACTS, _CAPTIONS),
    "dataset.flip_aug": row("--flip_aug", _SD, ACTS, "data/test_pixels.py::test_cut_and_flip"),
    "dataset.random_crop": row(
        "--random_crop",
        "guide to SDXL styles (not with cached latents)",
        ACTS,
        "data/test_buckets.py::test_the_crop_always_lies_in_the_picture",
    ),
    "dataset.alpha_mask": row(
        "--alpha_mask --masked_loss",
        _SD,
        ACTS,
        "train/test_inputs.py::test_masks_leave_the_transparent_half_out",
    ),
    "dataset.cache_latents": row(
        "--cache_latents --cache_latents_to_disk --cache_text_encoder_outputs",
        "guide to SDXL styles; keyed by content here",
        LEAVES,
        "data/test_cache.py::test_a_latent_of_any_other_key_is_not_found",
    ),
    "dataset.max_image_pixels": row("", "Pillow's limit", f"{_SCAN}test_the_pixel_limit_can_be_set"),
}
"""Rows of the groups base_model and dataset."""
