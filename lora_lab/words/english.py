"""What is said in more than one place, in English."""

TEXTS = {
    "only": "{it}",
    "unit": " points",
    # Places and values.
    "change": "{reference} -> {level}",
    "setting_value": "{label} {value}",
    "under_title": "{label} ({value})",
    "settings_unknown": "{n:other setting|other settings} not known",
    "setting_unknown": "{labels} not known",
    "with_settings": "with {settings}",
    "with_reference": "with the reference settings",
    "stage_epoch": "epoch {epoch}",
    "stage_step": "step {step}",
    "time_seconds": "{n} s",
    "time_minutes": "{n} min",
    "score": "score",
    "between": "{low} to {high}",
    # Calls, where the change stands before them.
    "call_helps": "helps",
    "call_hurts": "hurts",
    "call_mixed": "mixed",
    "call_depends": "depends",
    "call_no difference": "no difference",
    "call_not decided": "not decided",
    "call_seems to help": "seems to help",
    "call_seems to hurt": "seems to hurt",
    "call_seems mixed": "seems mixed",
    "call_interacts": "interacts",
    "call_seems to interact": "seems to interact",
    # Calls of a whole setting.
    "finding_helps": "changing it helps",
    "finding_hurts": "changing it hurts",
    "finding_mixed": "some values help, some hurt",
    "finding_depends": "depends on other settings",
    "finding_no difference": "no difference that matters",
    "finding_not decided": "not decided",
    "finding_seems to help": "changing it seems to help",
    "finding_seems to hurt": "changing it seems to hurt",
    "finding_seems mixed": "some values seem to help, some to hurt",
    # What is said of a setting.
    "call_by": "{change} {call} ({difference})",
    "call_by_pairs": "{change} {call} ({difference}): {pairs}",
    "call_depends_by": "{change} depends: {pairs}",
    "pair_at": "{difference} {place}",
    "pairs_more": "{pairs}, ...",
    "call_pairs": ": {pairs}",
    "call_holds": "; would hold up to a run-to-run sd of {limit}",
    "call_no_larger": " larger than {bound}",
    "holds_if": "{text}; holds if repeating a run moves its score by less than {limit}{unit} (sd)",
    "no_larger": "no difference larger than {value}{unit}",
    "undecided": "not decided: {what}",
    "undecided_one_training": (
        "not decided: both are checkpoints of one training and share its luck; train them with another seed"
    ),
    "undecided_conflict": "not decided: pairs disagree by more than chance, so a mean of them says little",
    "undecided_unmeasured": "not decided: run-to-run variation not measured",
    "undecided_unmeasured_more": "not decided: run-to-run variation not measured; {what}",
    "undecided_if": "if it really is {value}, about {runs} would show it",
    "undecided_find": "about {runs} would find {value}{unit}",
    "undecided_bound": "it may be as large as {value}{unit}",
    "runs_of": "{n:more run|more runs} ({each})",
    "runs_each": "{run} {n}x",
    "runs_one": "1 more run (of {run})",
    # Settings that depend on each other.
    "interaction": "{label} {change}: {one} with {other} {low}, {two} with {other} {high}",
    "interaction_open": "{text}: not decided whether they depend on each other",
    "interaction_none": "{text}: no difference",
    "interaction_assumed": "  assuming that what is not known is equal ({n:setting|settings})",
    # The noise floor.
    "noise_none": ("noise floor: run-to-run variation not measured ({why}), so nothing is tested"),
    "noise_plain": (
        "noise floor: repeating a run moves its score by {sd} (sd; {low} to {high}), measured on {groups}; "
        "{each}"
    ),
    "noise_reckoned": (
        "noise floor: measured {sd} (sd; {low} to {high}) on {df} df ({groups}), reckoned with "
        "{reckoned} for "
        "a run that was run once: {prior}; {each}"
    ),
    "noise_assumed": (
        "noise floor: ASSUMED, not measured: repeating a run moves its score by {sd} (sd); two single runs "
        "then differ from {smallest} on"
    ),
    "noise_earlier": "noise floor: not measured here; {prior}; {each}",
    "noise_unmeasured": (
        "noise floor: run-to-run variation not measured ({why}), so nothing is tested; 'seems' only "
        "describes, and would be called if the noise were what is expected: {prior}. {way}; "
        "--noise-floor N assumes it"
    ),
    "noise_why_none": "no run was repeated with another seed",
    "noise_why_ends": "of {runs} a repeat has a score of 0 or 100, which hides how much repeats vary",
    "noise_way_replicates": "`replicates: 3` in the sweep file measures it",
    "noise_way_between": "Repeats of a run with a score in between measure it (`lora-lab suggest`)",
    "noise_each": "two single runs differ for sure from {smallest} on",
    "prior_shipped": (
        "{sd} is expected, which counts like {df:repeat|repeats} (of the demo's working settings)"
    ),
    "prior_earlier": "your earlier sweeps had {sd}, which counts like {df:repeat|repeats} ({sweeps})",
    "groups_many": "{n:setting that was|settings that were} run more than once, {runs:run|runs}",
    "noise_unequal": (
        "settings differ in how much repeats vary ({steady} by {least}, {wild} by {most}; p {p}): each is "
        "reckoned with its own; run everything once more rather than the reference run"
    ),
    "noise_ends": "{runs}: scores at 0 or 100 hide how much repeats vary; not used as a measure",
    # How often it was looked at.
    "look": (
        "this is verdict number {n} on growing scores: so that asking again gives chance no further try, "
        "settings looked at that often are tested at {level} % instead of 5 %, and their intervals "
        "are wider"
    ),
    "look_first": "this is the first verdict on these scores",
    "counted": (
        "{n:comparison|comparisons} at 5 % each: if nothing mattered, about {by_chance} would be called by "
        "chance; those "
        "with * stand even when all settings are counted together. What was run once has no *: how much it "
        "varies itself is not known"
    ),
    "counted_untested": (
        "{n:comparison was|comparisons were} looked at; the largest of many differences is partly luck"
    ),
    # Who judged.
    "by_metric_loud": (
        "JUDGED BY THE AUTOMATIC METRIC {metric}, NOT BY PEOPLE: whether it sees what you see is not "
        "known; "
        "higher counts as better"
    ),
    "runs_judged": "{n:run|different runs} with a score; each is judged by {rule}",
    "runs_judged_without": (
        "{n:run|different runs} with a score, {without} without one (see below); each is judged by {rule}"
    ),
    "runs_external": "trained elsewhere and judged alike: {scores}",
    "by_last": "its last checkpoint",
    "by_best": "its best checkpoint",
    "by_tag": "checkpoint {tag}",
    "rater": "{name}: {n:score|scores}{level}{again}{drift}",
    "rater_level": ", {level} against the others",
    "rater_again": ", repeats vary by {sd} (sd of one score, {low} to {high}, {n:repeat|repeats})",
    "rater_never": ", repeatability not measured",
    "rater_drift": ", drifts by {drift} in 10 scores",
    "raters_agree": "raters agree by {alpha} (Krippendorff's alpha; 1 full, 0 chance)",
    # Along the checkpoints.
    "course_best_at": "best at {stage} ({score})",
    "course_over": "{best}, {last} at the end: trained too long",
    "course_rising": "still rising at the end ({gain} since {stage}): try longer",
    "course_flat": "no clear change from {stage} on ({best})",
    "course_settled": "{best}; what came after or just before is not clearly different",
    "courses_flat": "no clear change along the checkpoints: {runs}",
    # Why a run has no score.
    "missing_status": "{status}: {reason}",
    "missing_best": "nothing of it is scored yet",
    "missing_checkpoint": "it has no such checkpoint",
    "missing_shown": "its previews are {flag}",
    "missing_score": "checkpoint {tag} is not scored yet",
    "missing_bound": "the table only says {bound}",
    "shows_nothing": "its previews show nothing",
    # Metrics.
    "agree_none": "not shown to agree: do not judge by it",
    "agree_little": "agrees a little: a hint, no judge",
    "agree_little_reversed": "agrees a little, the other way round: a hint, no judge",
    "agree_broken": (
        "tells bad runs from good ones; among the better half it is not shown to order anything"
    ),
    "agree_broken_reversed": (
        "tells bad runs from good ones, the other way round; among the better half it is not shown "
        "to order "
        "anything"
    ),
    "agree_much": "orders these runs much as the scores do, the better half of them, too",
    "agree_much_reversed": (
        "orders these runs much as the scores do, the other way round, the better half of them, too"
    ),
    # What supports a recommendation.
    "best_score": "{run} has the best score: {score}{at}{mean}",
    "best_at": " at {stage}",
    "best_mean": " (mean of {n:repeat|repeats})",
    "rivals_unknown": ("how far chance moves a score is not measured, so others may be as good"),
    "rivals_none": "no other run comes close enough to be taken for as good{assumed}",
    "rivals_are": "not told apart from it by these scores{assumed}: {runs}",
    "rivals_assumed": " (with the assumed run-to-run variation)",
    "run_score": "{run} ({score})",
    "and_more": "{runs} and {n} more",
    "list_more": "{list}; and {n} more",
    "cheaper_less": "{run} scores {less} less and takes {time} instead of {longer}",
    "cheaper_equal": "{run} scores as much and takes {time} instead of {longer}",
    "cheap_rival": "of those, {run} is cheap: it takes {time} instead of {longer}",
    "of_luck": "the best of {n} owes something to luck: trained again, expect about {score}",
    "by_model": (
        "{run} is taken instead: all runs together (a model that predicts runs it has not seen) expect "
        "{score} of it, and {other} of {best}"
    ),
    "has_setting": "it has {title} {value}, and {changes}",
    "has_setting_though": "it has {title} {value}, though {changes}: try that with it",
    # Notes.
    "note_floor": "--noise-floor is not used: run-to-run variation was measured",
    "note_best_alike": "every run is judged by its best checkpoint, which flatters all of them alike",
    "note_best_more": (
        "every run is judged by its best checkpoint: runs with more scored checkpoints had more "
        "chances, and "
        "seem better by that alone; --checkpoint last has no such bias"
    ),
    "note_same": "{runs} and {origin} are one experiment and count once",
    "note_same_why": "{runs} and {origin} are one experiment and count once ({why})",
    "note_assumed": "some pairs are matched on the assumption that what is not known is equal in both",
    "note_raters": (
        "several raters: each one's level, and as far as it is known the spread, was made equal on "
        "what they "
        "scored in common"
    ),
    "note_group": (
        "{raters} scored no checkpoint that the others scored, too: these scores are not compared with "
        "theirs; two or three checkpoints scored by both would join them"
    ),
    "note_sessions_apart": (
        "{rater} scored in {n:session|sessions} of which some have no checkpoint in common: whether one was "
        "stricter "
        "cannot be seen; show two or three of the earlier ones again"
    ),
    "note_sessions_joined": (
        "{rater}'s {n:session was|sessions were} put on one level by what was scored in both"
    ),
    "note_reread": (
        "an earlier version trained these runs: their settings were read again, without their images"
    ),
    "note_unkept": "this verdict could not be kept, so a later one will not know of it: {error}",
    "note_columns": (
        "columns that are no settings of lora_lab are taken as settings of their own: {columns}"
    ),
    "note_damage": "{n:damaged line|damaged lines} of {file} left out: {lines}",
    "note_shots": "{scores} of other images ({left}) left out: those of {taken} are taken",
    "note_rendered": "{scores} of images that were rendered anew and judged again since left out",
    "note_other_previews": "{scores} of images that other prompts or preview settings drew left out",
    "note_replaced": "{n} of {judged:score was|scores were} given to images that others have replaced since; "
    "those are kept in the folders judged-* beside the previews",
    "note_gone": (
        "{n:LoRA file is|LoRA files are} gone ({places}): judged as before, but not to be exported; the "
        "sweep's command trains the run again"
    ),
    "comparisons_n": "{n:comparison|comparisons}",
    "scores_n": "{n:score|scores}",
    "shots_unwritten": "images that were not written down",
    "shots_prompt": "prompt {values}",
    "shots_prompts": "prompts {values}",
    "shots_seed": "seed {values}",
    "shots_seeds": "seeds {values}",
    "shots_strength": "strength {values}",
    "shots_strengths": "strengths {values}",
    "gap": "not compared with the others: {runs}: {reason}",
    "gap_external": "trained elsewhere, so that not all of its settings are known",
    "gap_reread": (
        "an earlier version trained it and kept no resolved settings: start its sweep again, which "
        "adds them "
        "without training"
    ),
    "model_change": "{label} {change}: {difference} (sd {sd})",
    "note_model": (
        "a model of all runs, no test, for settings that no two runs differ in alone (settings add up, pairs "
        "of them may depend on each other): {each}"
    ),
    "note_model_checked": (
        "that model, leaving out one of {n:run|runs} at a time, predicts {explained} of the scores' variance "
        "(rank correlation {rank}); residuals {residual} (sd), largest {most} ({run})"
    ),
    "note_sources": ("noise by source (sd in a run's score): {parts}; {now} together. {options}: {advice}"),
    "source_training": "training {sd}",
    "source_images": "images {sd} ({n} of each run)",
    "source_eye": "the eye {sd}",
    "source_session": "levels of one rater's sessions {sd}, taken out where sessions share checkpoints",
    "buy_runs": "everything trained once more",
    "buy_images": "twice as many images",
    "buy_looks": "another look by each rater",
    "advise_runs": "more runs are what helps",
    "advise_images": "more images are the cheaper way",
    "advise_looks": "another look is the cheaper way",
    "buy_brings": "{what} brings it to {sd}",
    "importance_few": ("importance needs at least {fewest} different runs with a score, not {n}"),
    "importance_settings": "importance needs two settings that every run has and that differ",
    # The terminal's page of a verdict, and the gallery's.
    "of_runs": "{runs}: {text}",
    "call_said": "{call}: {sentence}",
    "title_settings": "settings:",
    "title_settings_more": "what changing one alone did (pairs of runs that differ in nothing else)",
    "settings_none": "no two runs with a score differ in one setting alone",
    "settings_together": "confounded (always changed together): {labels}",
    "head_setting": "setting",
    "head_change": "change",
    "head_pairs": "pairs",
    "head_effect": "effect",
    "head_interval": "95 %",
    "head_verdict": "verdict",
    "title_interactions": "settings that depend on each other:",
    "interactions_more": "and {n} more, not decided",
    "title_courses": "along the checkpoints:",
    "title_courses_more": "one run's own images, so a hint and no test",
    "title_costs": "score against cost:",
    "title_costs_more": "the Pareto front: no cheaper run scored as much; about one mark in six is luck",
    "head_run": "run",
    "head_score": "score",
    "head_training": "training",
    "head_memory": "memory",
    "head_file": "file",
    "head_best_for": "best for its",
    "cost_minutes": "minutes",
    "cost_memory": "memory",
    "cost_size": "size",
    "title_usable": "usable runs:",
    "title_usable_more": "share that ended with images that show something, with its 95 % interval",
    "usable": "{label} {value}: {good} of {n} ({low} to {high}), others {others} of {of}; {reasons}",
    "title_metrics": "automatic metrics against the scores:",
    "title_metrics_more": "rank correlation over runs, all intervals 95 %",
    "metric": "{metric}: {rho} ({low} to {high}, {n:run|runs}{above}), {sentence}",
    "metric_above": "; {rho} in the better half",
    "title_ranking": "blind comparisons:",
    "title_ranking_more": "{n}, a ranking apart from the scores (Bradley-Terry, 95 %)",
    "ranked": "{run} {tag}: {strength} ({low} to {high}), {n:comparison|comparisons}{bad}{follows}",
    "ranked_bad": ", {n:time|times} both bad",
    "ranked_above": ", above the next with {chance}",
    "title_importance": "importance:",
    "title_importance_more": "fANOVA, share of the variance; only what is above shuffled scores counts",
    "importance_above": "{label}: {share}, shuffled up to {null}: above chance",
    "importance_chance": "{label}: {share}, shuffled up to {null}: no more than chance",
    "title_recommended": "recommended:",
    "recommended_run": "{run}{tag} (score {score})",
    "recommended_tag": ", checkpoint {tag}",
    "recommended_settings": "settings, against {reference}: {overrides}",
    "recommended_is_reference": "it is the reference run: nothing that was tried is recommended over it",
    "title_missing": "runs without a score:",
    "title_notes": "notes:",
    # What a plan can decide.
    "plan_finds": (
        "judged by {by}, it finds, four times in five, an effect of {now:point|points} between the base and "
        "a row that is run once; with the base once more {base}, with everything once more {all} (until "
        "there are scores, a run trained again is expected to vary by {sd:point|points}, sd)"
    ),
    "plan_by_people": "people's scores",
    "plan_by_metric": "the metric {metric}",
}
