"""What differs from the published protocol in this run, point by point, as far as the records tell."""

from __future__ import annotations

from dataclasses import dataclass

from usgan_cli.report import paper
from usgan_cli.report.cells import is_fid, short_name
from usgan_cli.report.findings import dataset_name, listed
from usgan_cli.report.groups import Study
from usgan_cli.report.records import GanRun, StudyRecords, label


@dataclass(frozen=True)
class Difference:
    """One point of the protocol: as published, and in this run."""

    aspect: str
    published: str
    ours: str
    same: bool


def protocol_differences(study: Study) -> list[Difference]:
    """Return the points of the published protocol that the records tell of, each beside this run's."""
    return [*_data_protocol(study.records), *_gan_protocol(study), *_classifier_protocol(study)]


def _point(aspect: str, theirs: str, ours: str, same: bool | None = None) -> Difference:
    return Difference(aspect, theirs, ours, theirs == ours if same is None else same)


def _data_protocol(records: StudyRecords) -> list[Difference]:
    data, found = records.data, []
    if data is not None:
        counts = {name: sum(image.class_ == name for image in data.images) for name in data.classes}
        theirs = "BUSI: " + ", ".join(f"{count} {name}" for name, count in paper.CLASS_COUNTS.items())
        ours = f"{dataset_name(records)}: " + ", ".join(f"{count} {name}" for name, count in counts.items())
        ours += f" (version {data.content_digest()[:8]})"
        found.append(_point("Dataset", theirs, ours, counts == paper.CLASS_COUNTS))
        found.append(
            _point(
                "Split",
                f"{paper.TRAIN_COUNT} training, {paper.TEST_COUNT} test",
                f"{len(data.of('train'))} training, {len(data.of('test'))} test",
            )
        )
        found.append(_point("Size of images, pixels", str(paper.SIZE), str(data.size)))
        policies = {
            "group": "kept together on one side of every split",
            "drop": "all but one of each left out",
            "ignore": "not considered",
        }
        found.append(_point("Copies in the dataset", policies["ignore"], policies[data.duplicate_policy]))
    if records.subset_keys():
        ours = ", ".join(map(str, records.sizes()))
        found.append(_point("Training images, n", ", ".join(map(str, paper.SIZES)), ours))
        seeds = sorted({key.seed for key in records.subset_keys()})
        if len(seeds) > 1:
            found.append(_point("Seeds", "–", listed(map(str, seeds)), False))
    return found


def _gan_protocol(study: Study) -> list[Difference]:
    records, found = study.records, []
    gans = sorted(records.finished_gans(), key=lambda gan: gan.key.order)
    if gans:
        theirs = ", ".join(label(aug) for aug in paper.AUGS)
        found.append(_point("GANs", theirs, ", ".join(dict.fromkeys(label(gan.key.aug) for gan in gans))))
        described = listed(dict.fromkeys(_training(gan) for gan in gans))
        same = all(gan.document is not None and gan.document.preset == paper.PRESET for gan in gans)
        found.append(_point("GAN training", "StyleGAN2's settings for 256 × 256", described, same))
        found += _treatments(gans)
    psi = sorted({manifest.truncation_psi for manifest in records.synthetic.values()})
    if psi and psi != [1.0]:
        found.append(_point("Truncation ψ", "–", listed(f"{value:g}" for value in psi), False))
    for group in study.scores:
        settings = group.settings
        ours = short_name(settings.extractor)
        found.append(_point("Fréchet distance", "Inception (FID)", ours, is_fid(settings.extractor)))
        count = f"{settings.count} generated, {settings.reference_count} real test images"
        theirs = f"{paper.TEST_COUNT} real test images"
        found.append(_point("Images compared", theirs, count, settings.reference_count == paper.TEST_COUNT))
    return found


def _training(gan: GanRun) -> str:
    document = gan.document
    preset = "?" if document is None else f"preset {document.preset}, {document.architecture.resolution} pixels"
    batch = f", batch {gan.settings['batch']}" if "batch" in gan.settings else ""
    return f"{preset}, {gan.kimg:g} kimg{batch}"


def _treatments(gans: list[GanRun]) -> list[Difference]:
    """Return the settings of ADA and DiffAug, where the trainings recorded them."""
    wanted = [
        ("ada", "ada_ops", "ADA's operations", "bg", "pixel blitting and general geometry (bg)"),
        ("ada", "ada_fill", "ADA's border", None, "reflection"),
        ("diffaug", "diffaug_policy", "DiffAug's operations", ["translation", "cutout"], "translation, cutout"),
        ("diffaug", "diffaug_fill", "DiffAug's fill", 0.0, "zero (mid-gray)"),
    ]
    found = []
    for aug, setting, aspect, expected, words in wanted:
        values = [gan.settings[setting] for gan in gans if aug in gan.key.aug.split("+") and setting in gan.settings]
        if values:
            same = all(value == expected for value in values)
            shown = dict.fromkeys(", ".join(value) if isinstance(value, list) else str(value) for value in values)
            found.append(_point(aspect, words, words if same else listed(shown), same))
    return found


def _classifier_protocol(study: Study) -> list[Difference]:
    records, found = study.records, []
    for group in study.classifiers:
        settings = group.settings
        how = "head alone trained (frozen)" if settings.freeze else "fine-tuned"
        same = settings.backbone.startswith(paper.BACKBONE) and not settings.freeze and settings.weights != "none"
        ours = f"{settings.backbone} ({short_name(settings.weights)}), {how}"
        found.append(_point("Classifier", "EfficientNet-B2 pretrained on ImageNet, fine-tuned", ours, same))
        found.append(_point("Folds", str(paper.FOLDS), str(settings.folds)))
    ratios = sorted({record.ratio for _, record in records.all_classifiers() if record.aug is not None})
    if ratios:
        ours = ", ".join(f"{100 * ratio:g} %" for ratio in ratios)
        found.append(_point("Synthetic images added", ", ".join(f"{100 * r:g} %" for r in paper.RATIOS), ours))
    return list(dict.fromkeys(found))
