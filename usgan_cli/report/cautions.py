"""What a reader should know before believing the results, in words.

Every sentence is computed from the records. Like ones are told together, so that a large study stays readable.
"""

from __future__ import annotations

from dataclasses import dataclass

from usgan_cli.core.formats.classifier import ClassifierRecord
from usgan_cli.core.formats.score import ScoreRecord
from usgan_cli.core.formats.synthetic import used_digest
from usgan_cli.report import paper
from usgan_cli.report.cells import distance_name, training_label
from usgan_cli.report.findings import below, equals, listed, listed_some, plural, tested
from usgan_cli.report.groups import Study
from usgan_cli.report.records import GanKey, GanRun, StudyRecords
from usgan_cli.report.table_model import number, p_value

P_LEAKS, P_IDLE, R_T_WINNING = 0.8, 0.01, 0.9
ENOUGH_FOLDS = ENOUGH_SEEDS = 5


@dataclass(frozen=True)
class Caution:
    """One thing to beware of.

    Attributes
    ----------
    topic : str
        What it is about, in a word or two.
    text : str
    """

    topic: str
    text: str


def cautions(study: Study) -> list[Caution]:
    """Return what should change how far a reader believes the results, in words."""
    records = study.records
    unreadable = [f"A record could not be read and is left out: {reason}" for reason in records.unreadable]
    found: list[tuple[str, list[str]]] = [
        ("Unreadable", unreadable),
        ("Out of date", [*find_stale(records), *study.rejected]),
        ("Copies", _copying(study)),
        ("Data", _data(records)),
        ("Training", [*_augmentation(records), *_discriminators(records), *_lengths(records), *_repeats(records)]),
        ("Scores", _scores(study)),
        ("Classifiers", [*_classifiers(study), *_majority(records)]),
        ("Significance", _significance(study)),
    ]
    return [Caution(topic, text) for topic, texts in found for text in texts]


def _has_other_images(records: StudyRecords, key: GanKey, record: ClassifierRecord) -> bool:
    """Return whether a classifier was trained on other images than its GAN's folder has now."""
    manifest, subset = records.synthetic.get(key), records.subsets.get(key.subset)
    if manifest is None or record.protocol != "standard":
        return False
    if record.select is not None:
        return record.synthetic != manifest.content_digest()
    if records.data is None or subset is None or subset.data != records.data.content_digest():
        return False
    counts = subset.class_counts(records.data)
    return record.synthetic != used_digest(manifest, counts, round(record.ratio * record.n))


def find_stale(records: StudyRecords) -> list[str]:
    """Return in words which records were made from inputs that have since been replaced."""
    subsets, images = [], []
    if records.data is not None:
        digest = records.data.content_digest()
        subsets = [key.name for key, subset in records.subsets.items() if subset.data != digest]
    for gan_key, manifest in records.synthetic.items():
        gan = records.gans.get(gan_key)
        if gan is not None and gan.document is not None and manifest.gan != gan.document.content_digest():
            images.append(gan_key.name)
    drawn = {key: subset.content_digest() for key, subset in records.subsets.items()}
    other_subset, other_images = [], []
    for key, record in records.all_classifiers():
        name = f"{key.name}/{record.name}"
        if key in drawn and record.settings.subset != drawn[key]:
            other_subset.append(name)
        if record.aug is not None and _has_other_images(records, GanKey(record.aug, *key), record):
            other_images.append(name)
    told = [
        ("Drawn from another version of the dataset: subset", subsets),
        ("Made by an earlier version of their GAN: the images of", images),
        ("Trained on another version of its subset: classifier", other_subset),
        ("Trained on other images than its GAN's folder has now: classifier", other_images),
    ]
    return [f"{what} {listed_some(names)}." for what, names in told if names]


def _copying(study: Study) -> list[str]:
    scored = sorted(study.records.scores.items(), key=lambda item: item[0].order)
    found = []
    for verdict, one, several in (
        ("copies", "This GAN copies real images", "These GANs copy real images"),
        ("some", "Some images of this GAN may be copies", "Some images of these GANs may be copies"),
    ):
        named = [
            f"{key.name} ({_clear(score)})"
            for key, score in scored
            if score.memorization is not None and score.memorization.verdict == verdict
        ]
        if named:
            found.append(f"{one if len(named) == 1 else several}: {listed_some(named)}. Look at the closest pairs.")
    return found


def _clear(score: ScoreRecord) -> str:
    """Return which share of the images is clearly too close to which real ones."""
    assert score.memorization is not None  # whoever asks has looked
    found = score.memorization
    sides = {"training": (found.train_features, found.train_pixels), "test": (found.test_features, found.test_pixels)}
    told = [
        f"{number(100 * max(side.clear for side in both), 1)} % far too close to {name} images"
        for name, both in sides.items()
        if any(side.verdict == found.verdict for side in both)
    ]
    return listed(told)


def _data(records: StudyRecords) -> list[str]:
    data, found = records.data, []
    if data is None:
        return []
    if data.conflicts and data.conflict_policy != "drop":
        one = len(data.conflicts) == 1
        found.append(
            f"{plural(len(data.conflicts), 'group')} of copies {'stands' if one else 'stand'} under more "
            "than one class: no classifier can get all of those images right."
        )
    side = {name: image.split for image in data.images for name in (image.source, image.file)}
    leaked = sum(len({side[name] for name in group if name in side}) > 1 for group in data.duplicates)
    if leaked:
        verb = "lies" if leaked == 1 else "lie"
        found.append(f"{plural(leaked, 'group')} of copies {verb} on both sides of the split: test scores leak.")
    return found


def _logged(records: StudyRecords) -> list[GanRun]:
    return [gan for gan in sorted(records.gans.values(), key=lambda gan: gan.key.order) if gan.log]


def _augmentation(records: StudyRecords) -> list[str]:
    found: list[str] = []
    adaptive = [gan for gan in _logged(records) if "ada" in gan.key.aug.split("+")]
    leaking = [gan for gan in adaptive if gan.log[-1].p > P_LEAKS]
    if leaking:
        named = listed_some([f"{_named(gan)} (p = {number(gan.log[-1].p, 2)})" for gan in leaking])
        found.append(
            f"ADA's p stayed above {P_LEAKS} to the end, where its augmentations begin to show in the generated "
            f"images: {named}."
        )
    idle = [gan for gan in adaptive if max(row.p for row in gan.log) < P_IDLE]
    if idle:
        named = listed_some([_named(gan) for gan in idle])
        found.append(
            f"ADA hardly augmented (p stayed below {P_IDLE}), because the discriminator did not overfit in so short a "
            f"training: this is the GAN without ADA with other random draws: {named}."
        )
    return found


def _discriminators(records: StudyRecords) -> list[str]:
    winning = [gan for gan in _logged(records) if gan.log[-1].r_t > R_T_WINNING]
    if not winning:
        return []
    named = listed_some([f"{_named(gan)} (r_t = {number(gan.log[-1].r_t, 2)})" for gan in winning])
    return [
        f"The discriminator was winning at the end (r_t above {R_T_WINNING}): it knew real images from generated "
        f"ones almost without fail, as it does once it has learned them by heart: {named}."
    ]


def _lengths(records: StudyRecords) -> list[str]:
    found = []
    for n in records.sizes():
        lengths = {
            (round(gan.kimg, 3), gan.document.preset)
            for gan in records.finished_gans()
            if gan.key.n == n and gan.document
        }
        if len(lengths) > 1:
            named = listed(f"{kimg:g} kimg with preset {preset}" for kimg, preset in sorted(lengths))
            found.append(f"The GANs of n = {n} were not trained alike ({named}), so they cannot be compared fairly.")
    return found


def _repeats(records: StudyRecords) -> list[str]:
    trained = {gan.key for gan in records.finished_gans()}
    if not trained or any(sum((k.n, k.aug) == (key.n, key.aug) for k in trained) > 1 for key in trained):
        return []
    return [
        "Every GAN was trained once for each n. How much another training of the same GAN would differ is not in "
        "any of these numbers."
    ]


def _named(gan: GanRun) -> str:
    return gan.key.name if gan.document is not None else f"{gan.key.name}, unfinished"


def _scores(study: Study) -> list[str]:
    found = []
    for group in study.scores:
        count, what = group.settings.count, distance_name(group.settings.extractor)
        others = sorted({score.real_count for _, score in group.items} - {count})
        if others:
            found.append(
                f"The floor is of {listed(map(str, others))} real images, the GANs' {what} of {count} generated ones: "
                "the estimate falls with the number of images, so the two are not quite on one footing."
            )
    if len(study.scores) > 1:
        found.append(_apart("Scores were measured", len(study.scores)))
    return found


def _apart(what: str, groups: int) -> str:
    return (
        f"{what} with {groups} different settings and stand in as many tables; values from different tables cannot be "
        "compared."
    )


def _classifiers(study: Study) -> list[str]:
    found: list[str] = []
    if len(study.classifiers) > 1:
        found.append(_apart("Classifiers were trained", len(study.classifiers)))
    for group in study.classifiers:
        folds = group.settings.folds
        if folds < ENOUGH_FOLDS:
            found.append(f"{folds} folds are too few for a t-test to be trusted; the study used {paper.FOLDS}.")
        if group.settings.weights == "none":
            found.append("The classifier was not pretrained; the study's was, on ImageNet.")
    return list(dict.fromkeys(found))


def _majority(records: StudyRecords) -> list[str]:
    if records.data is None or not records.data.of("test"):
        return []
    share = max(records.data.class_counts("test").values()) / len(records.data.of("test"))
    named = [f"{k.name}/{r.name}" for k, r in records.all_classifiers() if r.test_micro_f1.mean <= share]
    if not named:
        return []
    return [f"No better than always naming the commonest class (F1 {number(100 * share, 2)} %): {listed_some(named)}."]


def _significance(study: Study) -> list[str]:
    found: list[str] = []
    lost, doubted = [], []
    for where, item in tested(study):
        what = f"{training_label(item.aug, item.ratio, item.variant)} at {where}"
        if below(item.p) and not below(item.p_holm):
            lost.append(f"{what} (p {equals(item.p)}, adjusted {p_value(item.p_holm)})")
        elif below(item.p_holm) and item.p_corrected is not None and not below(item.p_corrected):
            doubted.append(f"{what} (p {equals(item.p_corrected)})")
        if item.p is None:
            found.append(f"{what}: every difference is the same, so there is no p-value.")
    if lost:
        found.append(
            f"Significant alone, but not significant after correction for the number of comparisons: "
            f"{listed_some(lost)}."
        )
    if doubted:
        found.append(
            "Significant by the t-test, but not by the one that allows for the folds' shared training "
            f"images: {listed_some(doubted)}."
        )
    few = sorted({len(key.seeds) for key, _ in study.over_seeds if len(key.seeds) < ENOUGH_SEEDS})
    if few:
        found.append(
            f"{listed(map(str, few))} seeds are few: a t-test over so few means has little power, and an interval over "
            "them is wide."
        )
    return found
