"""What differs from the published protocol in this run, or is not stated there, as far as the records say.

Settings are compared, not the names of presets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.formats.score import distance_name, is_fid, network_name
from usgan_cli.core.text import gan_label, joined, plural
from usgan_cli.reporting import paper
from usgan_cli.reporting.divided import divided
from usgan_cli.reporting.findings import dataset_name
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.records import GanRun, StudyRecords

COPIES = {
    "group": "kept together on one side of every split",
    "drop": "all but one of each left out",
    "ignore": "not considered",
}
TREATMENTS: tuple[tuple[str, str, str, object, str], ...] = (
    ("ada", "ada_ops", "ADA's operations", "bg", "pixel blitting and general geometry (bg)"),
    ("ada", "ada_fill", "ADA's border", None, "reflection"),
    ("diffaug", "diffaug_policy", "DiffAug's operations", ["translation", "cutout"], "translation, cutout"),
    ("diffaug", "diffaug_fill", "DiffAug's fill", 0.0, "zero (mid-gray)"),
    ("diffaug", "diffaug_p", "How often DiffAug's operations are applied", "always", "always"),
)
"""Augmentation, the setting that a training records, its name, its published value, and that value in words."""
ADDITIONS = {
    "discriminator": "{} discriminator",
    "pixel_weight": "StyleGAN2's own beside it {}",
    "lecam": "LeCam's regularisation {}",
    "spectrum_weight": "penalty on the power spectrum {}",
    "lr_d": "discriminator's learning rate {}",
    "lr_decay": "learning rates decay over the last {}",
    "share_images": "both steps see the same generated images",
    "freeze_d": "{} frozen layers of the discriminator",
    "match_grays": "curve of gray levels",
    "spread": "latents {} times as far from their average",
}
"""What trainings record only where they do what StyleGAN2's do not, in words."""
UNRECORDED = {"diffaug_p": "always"}
"""What a training without a record of a setting did: some are recorded only where they change something."""


@dataclass(frozen=True)
class Point:
    """One point of the protocol: as published, and in this run."""

    aspect: str
    published: str
    ours: str
    same: bool


def protocol_points(study: Study) -> list[Point]:
    """Return the points of the published protocol that the records mention, each beside this run's."""
    return [*_data_points(study.records), *_gan_points(study), *dict.fromkeys(_classifier_points(study))]


def _point(aspect: str, published: str, ours: str, same: bool | None = None) -> Point:
    return Point(aspect, published, ours, published == ours if same is None else same)


def _data_points(records: StudyRecords) -> Iterator[Point]:
    if (data := records.data) is not None:
        counts = data.class_counts()
        published = "BUSI: " + ", ".join(f"{count} {name}" for name, count in paper.CLASS_COUNTS.items())
        ours = f"{dataset_name(data)}: " + ", ".join(f"{count} {name}" for name, count in counts.items())
        yield _point("Dataset", published, ours, counts == paper.CLASS_COUNTS)
        yield _point(
            "Split",
            f"{paper.TRAIN_COUNT} training, {paper.TEST_COUNT} test",
            f"{len(data.of('train'))} training, {len(data.of('test'))} test",
        )
        yield _point("Size of images, pixels", str(paper.SIZE), str(data.size))
        yield _point("Copies in the dataset", paper.NOT_STATED, _copies(data))
        if data.groups_from != "none":
            count = divided(data).patients
            where = f"{count} on both sides of the split" if count else "each on one side of every split"
            yield _point("Patients", paper.NOT_STATED, f"from {data.groups_from}, {where}")
    if keys := records.subset_keys():
        yield _point("Training images, n", ", ".join(map(str, paper.SIZES)), ", ".join(map(str, records.sizes())))
        seeds = sorted({key.seed for key in keys})
        if len(seeds) > 1:
            yield _point("Seeds", "–", joined(seeds), False)


def _copies(data: DataManifest) -> str:
    """Return what became of copies, and which of them the split divides."""
    if not (count := divided(data).copies):
        return COPIES[data.duplicate_policy]
    kept = data.duplicate_policy == "group"
    return f"{plural(count, 'group')} on both sides of the split" + ", kept together in every fold" * kept


def _gan_points(study: Study) -> Iterator[Point]:
    gans = study.records.finished_gans()
    if gans:
        published = ", ".join(gan_label(aug) for aug in paper.AUGS)
        yield _point("GANs", published, ", ".join(dict.fromkeys(gan_label(gan.key.aug) for gan in gans)))
        trainings = [gan_settings(gan) for gan in gans]
        published = f"{paper.GAN_SETTINGS}; which of their two published sets is {paper.NOT_STATED}"
        yield _point("GAN settings", published, joined(dict.fromkeys(trainings)), set(trainings) <= set(paper.READINGS))
        lengths = dict.fromkeys(f"{gan.kimg:g}" for gan in gans)
        yield _point("Length of GAN training, kimg", paper.NOT_STATED, joined(lengths))
        yield _point("How a GAN is told the class", paper.NOT_STATED, _conditioning(gans))
    if added := [words for gan in gans if (words := _additions(gan))]:
        yield _point("Added to the training of the study's GANs", "nothing", joined(dict.fromkeys(added)), False)
    for aug, setting, aspect, expected, words in TREATMENTS:
        records = [UNRECORDED | gan.settings for gan in gans if gan.uses(aug)]
        values = [record[setting] for record in records if setting in record]
        if values:
            same = all(value == expected for value in values)
            shown = dict.fromkeys(", ".join(value) if isinstance(value, list) else str(value) for value in values)
            yield _point(aspect, words, words if same else joined(shown), same)
    psi = sorted({manifest.truncation_psi for manifest in study.records.synthetic.values()})
    if psi and psi != [1.0]:
        yield _point("Truncation ψ", "–", joined(f"{value:g}" for value in psi), False)
    for group in study.scores:
        settings = group.settings
        extractor = network_name(settings.extractor)
        yield _point("Fréchet distance", "Inception (FID)", extractor, is_fid(settings.extractor))
        name = distance_name(settings.extractor)
        yield _point(
            f"Reference images of the {name}", paper.NOT_STATED, f"{settings.reference_count} real test images"
        )
        yield _point("Generated images compared", paper.NOT_STATED, str(settings.count))


def gan_settings(gan: GanRun) -> str:
    """Return which reading of the paper a GAN's settings are, or in what they differ from the nearest one."""
    if gan.document is None:
        return "not recorded"
    settings = gan.settings | gan.document.architecture.model_dump()
    different = {
        name: {key: settings.get(key) for key, value in reading.items() if settings.get(key) != value}
        for name, reading in paper.READINGS.items()
    }
    nearest = min(different, key=lambda name: len(different[name]))
    if not different[nearest]:
        return nearest
    own = ", ".join(
        f"{key} {'?' if value is None else format(value, 'g')}" for key, value in different[nearest].items()
    )
    return f"{nearest}, but {own} (preset {gan.document.preset})"


def _additions(gan: GanRun) -> str:
    """Return in words what was added to the training of one of the study's own GANs; nothing is said of others."""
    if gan.key.aug not in paper.AUGS:
        return ""
    made = {name: gan.settings.get(name) for name in ADDITIONS}
    return ", ".join(ADDITIONS[name].format(value) for name, value in made.items() if value)


def _conditioning(gans: Sequence[GanRun]) -> str:
    classes = {gan.document.architecture.c_dim for gan in gans if gan.document is not None}
    told = {True: "label embedding, projection discriminator", False: "one class, no labels"}
    return joined(dict.fromkeys(told[count > 0] for count in sorted(classes)))


def _classifier_points(study: Study) -> Iterator[Point]:
    data = study.records.data
    together = data is not None and data.duplicate_policy == "group"
    drawn = "at random with each class's share" + "; copies stay together" * together
    for group in study.classifiers:
        settings = group.settings
        training = "head alone trained (frozen)" if settings.freeze else "fine-tuned"
        same = settings.backbone.startswith(paper.BACKBONE) and not settings.freeze and settings.weights != "none"
        ours = f"{settings.backbone} ({network_name(settings.weights)}), {training}"
        yield _point("Classifier", "EfficientNet-B2 pretrained on ImageNet, fine-tuned", ours, same)
        yield _point("Folds", str(paper.FOLDS), str(settings.folds))
        yield _point("How folds are drawn", paper.NOT_STATED, drawn)
        yield _point("What a fold's F1 is of", paper.NOT_STATED, "all test images; validation images beside")
        yield _point("Equal for all classifiers of a size", "epochs", settings.budget)
    made = {record.protocol for _, record in study.records.all_classifiers() if record.aug is not None}
    if made:
        seen = {"standard": "yes, as part of the subset", "strict": "no: a GAN for each fold"}
        ours = joined(seen[name] for name in sorted(made))
        yield _point("Did GANs see a fold's validation images?", paper.NOT_STATED, ours)
    ratios = sorted({record.ratio for _, record in study.records.all_classifiers() if record.aug is not None})
    if ratios:
        published, ours = (", ".join(f"{100 * ratio:g} %" for ratio in some) for some in (paper.RATIOS, ratios))
        yield _point("Synthetic images added", published, ours)
