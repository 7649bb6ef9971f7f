"""The report's English."""

TEXTS = {
    # The head.
    "title": "{sweep}: what the settings do",
    "no_question": "What do these settings do?",
    "byline": (
        "{runs:training run|training runs}, {checkpoints:checkpoint|checkpoints}, "
        "{images:training image|training images}"
    ),
    "byline_elsewhere": "{n:LoRA|LoRAs} trained elsewhere",
    "period": "trained {start} to {end}",
    "one_day": "trained {start}",
    "by_people": "{judgements:score|scores} from 0 to 100 by {raters}",
    "by_metric": (
        "Nobody has scored these runs yet. All numbers below are the automatic metric “{metric}”, which "
        "need not agree with what a person sees."
    ),
    "by_nobody": (
        "Nobody has scored these runs yet, and no metric stands in for a score. This report shows the "
        "images; `lora-lab review` takes scores."
    ),
    "contents": "Contents",
    # The answer.
    "answer": "In short",
    "answer_best": "Best so far: {run} with {score} ({checkpoint}).",
    "answer_rivals": "These numbers do not tell it apart from {rivals}.",
    "answer_many_rivals": "These numbers do not tell it apart from {n:other run|other runs}.",
    "answer_none": "There is no recommendation yet: no run has a score.",
    "effects_title": "What each setting did",
    "setting": "setting",
    "finding": "finding",
    "supports": "what supports it",
    "interval": "{low} to {high}",
    "pairs": "{n:matched pair|matched pairs}",
    "pair": "1 matched pair",
    "more_runs": "about {n:more run|more runs} would decide it",
    "no_larger": "any difference is smaller than {value}",
    "holds": "holds as long as repeating a run moves its score by less than {value} (standard deviation)",
    # Fixed settings.
    "fixed": "What was the same for all",
    "fixed_text": (
        "Every run below was trained with these settings; what a run changes stands in the next table."
    ),
    "all_fixed": "All {n:setting that was|settings that were} the same",
    "material": "What was to be learnt",
    "material_text": (
        "Some of the training images, and what the base model makes of the prompts without any LoRA."
    ),
    "training_image": "training image {n}",
    "bare": "base model, no LoRA",
    # Patterns.
    "patterns": "All runs",
    "patterns_text": "“{reference}” is the run that the others are compared with.",
    "run": "run",
    "changes": "differs from {reference} in",
    "changes_none": "the reference",
    "seed_only": "the seed alone",
    "status": "state",
    "epochs": "epochs",
    "minutes": "minutes",
    "image": "image",
    "same_as": "the same experiment as {run}: {reason}",
    "same_as_plain": "the same experiment as {run}",
    "raters_of": "by {n}",
    "mean_of": "mean of {n:seed|seeds} {mean}",
    "status_planned": "not started",
    "status_running": "running",
    "status_done": "done",
    "status_diverged": "diverged",
    "status_failed": "failed",
    "status_cancelled": "interrupted",
    "status_stopped": "stopped",
    # Setting by setting.
    "settings": "Setting by setting",
    "settings_text": (
        "Each block compares runs that differ in one setting alone. Images in one row have the same "
        "prompt and the same seed."
    ),
    "with": "with {settings}",
    "with_reference": "all else as {reference}",
    "as_reference": "with all else as in the reference",
    "prompt_row": "“{text}”, seed {seed}, LoRA strength {strength}",
    "no_image": "no image",
    "no_score": "no score",
    "no_pairs": "No two runs differ in this setting alone: nothing can be said of it.",
    "together": "Always changed together, so that nothing tells them apart: {settings}.",
    "difference": "difference",
    "range": "95 % interval",
    "compared": "compared",
    "call": "finding",
    "unmeasured": "not measured",
    # Interactions.
    "interactions": "Settings that depend on each other",
    "interaction": "{one} {change}: {without} with {other} {low}, {with_} with {other} {high}.",
    # Length.
    "length": "How long to train",
    "length_text": "Score of every checkpoint; the best of each run has a ring.",
    "course_over-trained": "over-trained at the end",
    "course_still rising": "still rising at the end: try longer",
    "course_flat": "no clear change",
    "course_settled": "no longer rising at the end",
    "course_best": "best at",
    "course": "course",
    # Failures.
    "failures": "What went wrong",
    "failures_none": "Every run ended with images that show something.",
    "failures_open": "Not finished yet: {n}.",
    "reason": "reason",
    # Cost.
    "cost": "What it cost",
    "cost_text": "A run that trains beside others shares their time and memory; minutes are its share.",
    "cost_total": "{minutes:minute|minutes} of training in all.",
    "loss": "Loss",
    "loss_text": "The loss tells whether training runs at all; it does not tell which LoRA looks better.",
    # The recommendation.
    "recommended": "The settings to copy",
    "recommended_text": "{run}, {checkpoint}: {score}.",
    "recommended_differs": "It differs from {reference} in: {overrides}.",
    "recommended_reference": "It is the reference itself.",
    "recommended_cheaper": (
        "{best} scored highest; {run} costs less and these numbers do not tell the two apart."
    ),
    "recommended_for": "What speaks for its settings:",
    "reason_for": "{title}: {change}, {difference} ({finding})",
    "recommended_rivals": "Not told apart from it by these numbers: {rivals}.",
    "recommended_command": "As a command:",
    "recommended_yaml": "As a sweep file:",
    "recommended_file": "The LoRA itself: {file}. {command} writes it with a model card.",
    "whole_config": "The whole configuration of this run",
    # How it was judged.
    "judged": "How it was judged",
    "judged_blind": "Scores were given blind (sessions: {n}): settings, names and order were hidden.",
    "judged_entered": (
        "{n:score was|scores were} entered without a session of the gallery: whether they were given blind "
        "is not known."
    ),
    "rater": "rater",
    "judgements": "scores",
    "level": "level",
    "spread": "spread",
    "repeats": "shown again",
    "repeat_sd": "repeatability (SD)",
    "drift": "drift per 10",
    "judged_raters": (
        "“Level” is how much more a rater gives than the others, “spread” the standard deviation of all "
        "that the rater gave. Some images are shown again unseen: “repeatability” is the standard deviation "
        "of one score, “drift” how much scores rise within a session."
    ),
    "relevant": (
        "A difference below {value} was taken as not worth knowing of. "
        "{n:setting or combination was|settings and combinations were} looked at."
    ),
    "rule_last": "Every run is judged by its last checkpoint.",
    "rule_best": "Every run is judged by its best checkpoint, which flatters runs with many checkpoints.",
    "rule_tag": "Every run is judged by its checkpoint {tag}.",
    "agreement": "Which automatic metric agrees with these scores",
    "agreement_text": "Rank correlation over runs: 1 is the same order, 0 none, −1 the opposite.",
    "metric": "metric",
    "correlation": "correlation",
    "notes": "Notes of the verdict",
    # Versions.
    "versions": "Versions",
    "versions_text": "Trained on {devices} with",
    "made_with": "Made with lora_lab {version}. All files of the sweep: {folder}.",
    "plot_alt": "plot: {text}",
    "fig_setting": (
        "{criterion} against {setting}. Filled: runs that differ in this setting alone, joined. Hollow: "
        "other settings differ, too. The band spans runs that differ in the seed alone."
    ),
    "fig_interaction": (
        "{criterion} against {one}, a line for each value of {other}; all other settings are equal."
    ),
    "fig_epochs": "{criterion} against epochs.",
    "fig_cost": "{criterion} against cost. Orange: the Pareto front, for which nothing cheaper is as good.",
    "fig_timings": "Where the time of each run went.",
    "fig_loss": "Loss against samples seen: running mean over a twentieth of a run, single steps faint.",
}
