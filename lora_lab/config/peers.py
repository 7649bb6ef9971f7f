"""Names of other trainers that are no settings here, each with what takes its place."""

NOT_SETTINGS = {
    "--save_n_epoch_ratio": "train.save_every_n_epochs says the same",
    "--save_model_as": "LoRA files are safetensors",
    "--no_metadata": "metadata are always written; secrets never are",
    "--persistent_data_loader_workers": "images are cached; there are no data workers",
    "--max_data_loader_n_workers": "images are cached; there are no data workers",
    "--skip_cache_check": "caches are keyed by content",
    "--vae_batch_size": "images are encoded one at a time, once for all runs",
    "--lowram": "weights are read where they are needed",
    "--highvram": "the base model stays on the card",
    "--sample_every_n_steps": "every checkpoint has previews: train.save_every_n_steps",
    "--sample_every_n_epochs": "every checkpoint has previews: train.save_every_n_epochs",
    "--skip_until_initial_step": "a resumed run goes on at the very step",
    "--initial_step": "a resumed run goes on at the very step",
    "--initial_epoch": "a resumed run goes on at the very step",
    "--logging_dir": "steps.jsonl and the table hold them",
    "--log_with": "steps.jsonl and the table hold them",
    "--color_aug": "colours are what a style is made of; left out on purpose",
    "--face_crop_aug_range": "needs a face finder; crop images before training",
    "--output_config": "a run folder's config.yaml is the job",
    "--config_file": "sweep files and recipes",
}
"""Arguments of sd-scripts."""

OTHER_NAMES = {
    "lr": "optimizer.learning_rate",
    "rank": "network.network_dim",
    "model": "base_model.path",
    "steps": "train.max_train_steps",
    "weight_decay": "optimizer.args.weight_decay",
    "betas": "optimizer.args.betas",
    "network_args": "network.KEY=VALUE",
}
"""What other trainers call a setting, where no name here is near."""
