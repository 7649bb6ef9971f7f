"""Previews, metrics, and where things run and lie."""

from lora_lab.config.parameters.row import row

_SEEN = "run/test_settings_beside_training.py::test_a_setting_of_previews_changes_the_pictures"
_UNSEEN = "run/test_settings_beside_training.py::test_a_batch_of_previews_is_for_speed_alone"
_SAMPLES = "sd-scripts (sample prompts)"
_PLACE = "sweep/test_sweep_plan.py::test_config_is_the_whole_job"

USE = {
    "name": row("--output_name", "sd-scripts", "test_main.py::test_names_follow_from_the_words"),
    "sweep": row("", "ours", "test_main.py::test_names_follow_from_the_words"),
    "results": row(
        "--output_dir", "sd-scripts", "sweep/test_launch.py::test_a_plan_becomes_folders_results_and_a_table"
    ),
    "cache": row("", "ours", "test_material.py::test_the_demos_pictures_are_drawn_once"),
    "device": row("gpu_ids", "ours", "run/test_settings_beside_training.py::test_devices"),
    "preview.prompts": row("--sample_prompts", _SAMPLES, _SEEN),
    "preview.negative_prompt": row("--n", _SAMPLES, _SEEN),
    "preview.seeds": row("--d", _SAMPLES, _SEEN),
    "preview.strengths": row(
        "",
        "the article's previews (LoRA multiplier)",
        _SEEN,
        "networks/test_isolation.py::test_strength_scales_the_adapter",
    ),
    "preview.steps": row("--s", _SAMPLES, _SEEN),
    "preview.guidance_scale": row(
        "--l", "arXiv 2207.12598", _SEEN, "preview/test_render.py::test_guidance_1_needs_no_negative_prompt"
    ),
    "preview.sampler": row("--sample_sampler --ss", _SAMPLES, _SEEN),
    "preview.size": row("--w --h", _SAMPLES, _SEEN),
    "preview.clip_skip": row("", "A1111 counting", _SEEN),
    "preview.batch_size": row("", "ours", _UNSEEN),
    "preview.anchors": row(
        "--sample_at_first",
        "ours: the bare base model beside every run",
        "run/test_settings_beside_training.py::test_anchors_can_be_left_out",
    ),
    "metric.names": row("", "ours", "run/test_settings_beside_training.py::test_metrics_are_those_named"),
    "metric.clip_model": row(
        "", "CLIP, arXiv 2103.00020", "metrics/test_sets.py::test_clip_t_tells_texts_apart"
    ),
    "metric.dino_model": row(
        "", "DINOv2, arXiv 2304.07193", "metrics/test_sets.py::test_dinov2_serves_as_dino"
    ),
    "metric.references": row(
        "", "ours", "metrics/test_sets.py::test_likeness_to_references_is_the_mean_cosine"
    ),
    "metric.class_word": row(
        "",
        "DreamBooth's prior, arXiv 2208.12242",
        "run/test_settings_beside_training.py::test_the_class_word_stands_for_the_trigger_where_clip_reads",
    ),
    "engine.name": row(
        "", "ours", "run/test_settings_beside_training.py::test_an_engine_is_made_by_its_name"
    ),
    "engine.workers": row("num_processes", "ours", "sweep/test_packs.py::test_every_worker_gets_one"),
    "engine.pack_size": row("", "ours", "sweep/test_packs.py::test_never_larger_than_pack_size_and_even"),
    "engine.threads": row(
        "num_cpu_threads_per_process", "ours", "engines/test_slots.py::test_threads_may_be_set"
    ),
}
"""Rows of the groups preview, metric and engine, and of the settings outside of groups."""
