"""The CLAIM checklist, filled in as far as a study's records know.

Checklist for Artificial Intelligence in Medical Imaging: Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2020,
doi 10.1148/ryai.2020200029; the 42 items are named here in few words. An answer says what the records show; an item
that only the authors can answer says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.text import joined, number, plural
from usgan_cli.reporting.divided import divided
from usgan_cli.reporting.findings import audit, dataset_name, what_was_run
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.markdown import plain
from usgan_cli.reporting.verdict import Verdicts, headline, summary

AUTHORS = "*The authors’ to answer.*"
ITEMS = (
    "Title or abstract names the method as artificial intelligence",
    "Abstract: design, methods, results, conclusions",
    "Scientific and clinical background, intended use",
    "Aims and hypotheses",
    "Prospective or retrospective",
    "Goal of the study (feasibility, model, comparison)",
    "Data sources",
    "Which images were eligible",
    "Preprocessing",
    "Selection of subsets of the data",
    "Definitions of data elements",
    "De-identification",
    "Missing data",
    "Definition of the reference standard",
    "Why that reference standard",
    "Who annotated, and their qualification",
    "Annotation tools",
    "Variability of annotations",
    "Sample size and how it was determined",
    "How data were assigned to partitions",
    "Level at which partitions are disjoint",
    "Model in detail",
    "Software, libraries, versions",
    "How parameters were initialised",
    "Training: augmentation, hyperparameters, number of models",
    "How the final model was selected",
    "Ensembling",
    "Metrics of performance",
    "Statistical measures, uncertainty",
    "Robustness, sensitivity analyses",
    "Explainability",
    "Test on external data",
    "Flow of participants or cases",
    "Demographic and clinical characteristics",
    "Performance on all partitions",
    "Accuracy with intervals",
    "Failure analysis",
    "Limitations",
    "Implications for practice",
    "Registration",
    "Where the full protocol is",
    "Funding",
)


def checklist(study: Study, verdicts: Verdicts) -> str:
    """Return the checklist as a Markdown table; the study must have a dataset."""
    answers = dict(_answers(study, verdicts))
    lines = [
        "# CLAIM checklist",
        "",
        "Filled in from the study’s records. Read every answer before you sign it.",
        *("", "| | item | answer |", "|---:|---|---|"),
    ]
    for number_, item in enumerate(ITEMS, start=1):
        answer = answers.get(number_, AUTHORS)
        lines.append(f"| {number_} | {item} | {' '.join(answer.split())} |")
    known = len(answers)
    lines += [
        "",
        f"{known} of {len(ITEMS)} items are answered from records; {len(ITEMS) - known} are left to the authors.",
    ]
    return "\n".join(lines) + "\n"


def _answers(study: Study, verdicts: Verdicts) -> Iterator[tuple[int, str]]:
    yield from _about_data(study)
    yield from _about_models(study)
    yield from _about_results(verdicts)


def _about_data(study: Study) -> Iterator[tuple[int, str]]:
    data, subsets = study.records.data, study.records.subsets
    assert data is not None
    yield 5, "Retrospective: existing images."
    yield 6, "Comparison: does adding generated images to the training set change a classifier’s accuracy?"
    yield 7, f"{dataset_name(data)}, {plural(len(data.images), 'image')}; {AUTHORS} (institution, years, devices)"
    left_out = plural(len(data.left_out), "file")
    yield 8, f"Every image that could be read; {left_out} left out, each with its reason in `data/manifest.json`."
    colour = "gray" if data.channels == 1 else "colour"
    yield 9, f"Resized to {data.size} × {data.size} pixels ({data.fit}, {data.resampling}), {colour}, 8 bits."
    if subsets:
        sizes = joined(sorted({key.n for key in subsets}, reverse=True))
        yield 10, f"Nested subsets of {sizes} training images, stratified by class, drawn by seed."
    yield 13, "Images without a label are not used."
    yield (
        20,
        (
            f"{len(data.of('train'))} training and {len(data.of('test'))} test images, "
            + ("the source’s own split" if data.split_from == "source" else "drawn at random, stratified by class")
            + "; cross-validation within the training images."
        ),
    )
    yield 21, _disjoint(data)
    yield 33, plain(" ".join(audit(data)))


def _disjoint(data: DataManifest) -> str:
    """Return at which level the partitions are disjoint, and what the split divides."""
    across = divided(data)
    if across.copies:
        copies = f"{across.groups_of_copies()} on both sides of the split, so test scores leak"
        copies += "; folds divide none" * (data.duplicate_policy == "group")
    else:
        copies = {
            "group": "Copies of an image lie on one side of every partition",
            "drop": "Of copies of an image one was kept",
            "ignore": "Copies of an image were not considered; none was found on both sides of the split",
        }[data.duplicate_policy]
    if data.groups_from == "none":
        return f"{copies}; patients are not known."
    if across.patients:
        known = f"{plural(across.patients, 'patient')} (from {data.groups_from})"
        lie = "lies" if across.patients == 1 else "lie"
        return f"{copies}; {known} {lie} on both sides of the split, so test scores leak."
    alike = not across.copies and data.duplicate_policy == "group"
    where = "likewise" if alike else "lie on one side of every partition"
    return f"{copies}; patients (from {data.groups_from}) {where}."


def _about_models(study: Study) -> Iterator[tuple[int, str]]:
    run = [sentence for sentence in what_was_run(study) if not sentence.startswith("Dataset")]
    if run:
        yield 22, f"{plain(' '.join(run))} All settings: `config.json` and `run.json` beside each model."
    versions = sorted({f"{name} {version}" for one in study.records.runs for name, version in one.packages.items()})
    if versions:
        yield 23, plain(f"{', '.join(versions)}.")
    if study.classifiers:
        yield 24, plain(f"{'; '.join([*_beginnings(study), _pretrained(study)])}.")
        settings = study.classifiers[0].settings
        count = sum(len(group.items) for group in study.classifiers)
        yield 25, f"{count} classifiers of {settings.folds} folds; equal for all of a size: {settings.budget}."
        yield 26, f"{'; '.join(_kept(study))}."
        yield 27, "None: folds are scored one by one and averaged."
        yield (
            28,
            "Accuracy (micro-averaged F1) on the test images; macro F1, balanced accuracy, AUC, Brier score beside it.",
        )


def _beginnings(study: Study) -> Iterator[str]:
    """Yield how the parameters of the GANs began."""
    records, gans = study.records, study.records.finished_gans()
    began: list[str] = []
    for gan in gans:
        run = records.made_by.get(records.workspace.gan(*gan.key))
        if run is not None and "init" in run.inputs:
            began.append(f"{gan.key.name} from {(run.places or {}).get('init', 'other networks (--init)')}")
    others = ["other GANs at random" if began else "GANs at random"] * (len(began) < len(gans))
    if gans:
        yield ", ".join([*began, *others])
    projected = [gan.settings for gan in gans if gan.settings.get("discriminator") == "projected"]
    if networks := dict.fromkeys(str(one["feature_digest"]) for one in projected if one.get("feature_digest")):
        yield f"the features of projected discriminators from {joined(networks)}"


def _pretrained(study: Study) -> str:
    """Return how the parameters of the classifiers began."""
    weights = dict.fromkeys(group.settings.weights for group in study.classifiers)
    return f"classifiers {joined('at random' if one == 'none' else f'from {one}' for one in weights)}"


def _kept(study: Study) -> Iterator[str]:
    """Yield which state of a training is its result."""
    frozen = {group.settings.freeze for group in study.classifiers}
    if False in frozen:
        yield "Of each fold’s training, the state that its validation fold prefers"
    if True in frozen:
        what = "of" if False in frozen else "Of"
        yield f"{what} linear heads, one strength of the penalty for all folds, chosen by their validation images"
    gans = study.records.finished_gans()
    chosen = sum(gan.settings.get("stop") == "auto" for gan in gans)
    if chosen:
        others = ", the others at their last state" * (chosen < len(gans))
        yield (
            f"{chosen} of {plural(len(gans), 'GAN')} at the state nearest to training images that were held out for it"
            f"{others}"
        )
    elif gans:
        yield "GANs at their last state"


def _about_results(verdicts: Verdicts) -> Iterator[tuple[int, str]]:
    if not verdicts.each:
        return
    repeats = sorted({one.finding.effect.repeats for one in verdicts.each})
    detectable = [100 * one.finding.detectable for one in verdicts.of_gans if one.finding.detectable is not None]
    could = (
        f"; it could have shown {number(min(detectable), 1)} to {number(max(detectable), 1)} points"
        if detectable
        else ""
    )
    yield 19, f"{joined(repeats)} repeats of every training{could}."
    yield (
        29,
        (
            "Multi-reader multi-case analysis (repeats random readers, test images random cases in clusters of copies "
            f"or patients); 95 % intervals; Holm’s method over {plural(verdicts.total, 'comparison')}."
        ),
    )
    controls = sorted({one.effect.control for one in verdicts.each if one.effect.control})
    if controls:
        yield 30, f"Control arms: {joined(controls)}."
    yield 35, "`report/index.html`, with tables as CSV; predictions of every fold in `predictions.csv`."
    yield 36, plain(f"{headline(verdicts)}. {summary(verdicts)}")
    yield 38, "The cautions of `report/index.html`; one dataset and its devices."
    yield 41, "The study’s file `study.json`, and `run.json` of every artefact."
