"""Cards for others: a model card for each GAN, a card of the dataset, and its description in Croissant.

Everything is computed from the records of a workspace. What they cannot know (a licence, a consent) is marked "To fill
in". Model cards: Mitchell et al., FAT* 2019; with the front matter that model hubs read. Croissant: the format for
datasets of MLCommons, version 1.0, written as JSON-LD.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from usgan_cli import __version__
from usgan_cli.core.formats.dataset import DataManifest
from usgan_cli.core.formats.score import Memorization, ScoreRecord, distance_name
from usgan_cli.core.store import files
from usgan_cli.core.store.document import Document
from usgan_cli.core.text import gan_label, joined, number, plural, short_digests
from usgan_cli.reporting import claim
from usgan_cli.reporting.divided import divided
from usgan_cli.reporting.findings import audit, dataset_name
from usgan_cli.reporting.groups import Study
from usgan_cli.reporting.markdown import plain
from usgan_cli.reporting.outdated import current_scores
from usgan_cli.reporting.records import GanRun
from usgan_cli.reporting.verdict import Verdicts

TO_FILL_IN = "*To fill in.*"
SETTINGS = (
    "batch",
    "lr",
    "r1_gamma",
    "ema_kimg",
    "mirror",
    "ada_ops",
    "ada_target",
    "ada_kimg",
    "diffaug_policy",
    "diffaug_p",
)
"""Settings of a training that its card names, where it has them."""
LIMITS = (
    "The check does not find rotated or cropped copies and mixtures of several images, and it says nothing about "
    "whether a person can be recognised. Sharing images that are made from patients' images may need the consent or "
    "the review that sharing those would."
)
SHARING = {
    "none": "**No sign of copying was found.** " + LIMITS,
    "some": "**Look before you share.** Some generated images are far closer to real ones than other real images are; "
    "the closest pairs stand beside the score. " + LIMITS,
    "copies": "**Do not share this generator or its images.** Its images are called copies of real images: whoever has "
    "it has them.",
    None: "**Not checked for copies, so not to be shared yet.** Check it: `usgan score`.",
}
"""What a card says about sharing, by the verdict of the check for copies."""


class CardsSummary(Document):
    """`cards/cards.json`: what was written, and which generators may be shared as far as the check for copies says."""

    FORMAT = "usgan/cards"
    FILE = "cards.json"

    models: list[str]
    """GANs that have a card."""
    shareable: dict[str, bool]
    """False where a GAN's images are called copies, or were not checked for it."""
    files: dict[str, str]
    """SHA-256 of each file."""


def write_cards(study: Study, verdicts: Verdicts, license_: str, target: Path) -> CardsSummary:
    """Write `models/NAME.md`, `dataset.md`, `croissant.json` and `claim.md` into `target`.

    `license_` is the images' licence, "" where it is not known. The study must have a dataset.
    """
    data = study.records.data
    assert data is not None
    gans, scores = study.records.finished_gans(), current_scores(study.records)
    texts = {f"models/{gan.key.name}.md": model_card(data, verdicts, gan, scores.get(gan.key)) for gan in gans}
    texts["dataset.md"] = dataset_card(data, license_)
    texts["croissant.json"] = json.dumps(croissant(data, license_), indent=2, ensure_ascii=False) + "\n"
    texts["claim.md"] = claim.checklist(study, verdicts)
    for name, text in texts.items():
        files.write_text(target / name, text)
    summary = CardsSummary(
        models=[gan.key.name for gan in gans],
        shareable={
            gan.key.name: (copying := _copying(scores.get(gan.key))) is not None and copying.verdict != "copies"
            for gan in gans
        },
        files={name: files.sha256_bytes(text.encode()) for name, text in texts.items()},
    )
    summary.write(target / CardsSummary.FILE)
    return summary


def _copying(score: ScoreRecord | None) -> Memorization | None:
    return None if score is None else score.memorization


def model_card(data: DataManifest, verdicts: Verdicts, gan: GanRun, score: ScoreRecord | None) -> str:
    """Return the card of one GAN as Markdown; `score` is that of the images that it has now, if there is one."""
    document, copying = gan.document, _copying(score)
    assert document is not None
    architecture, settings = document.architecture, gan.settings
    counts = joined(f"{count} {plain(name)}" for name, count in document.class_counts.items())
    lines = [
        *("---", "library_name: usgan", "pipeline_tag: unconditional-image-generation"),
        *("tags: [stylegan2, gan, medical-imaging, synthetic-data, research-only]", "---", ""),
        f"# {gan.key.name}",
        "",
        f"A {gan_label(gan.key.aug)} generator of {dataset_name(data)} at {architecture.resolution} × "
        f"{architecture.resolution} pixels, trained on {document.n} images ({counts}) for {gan.kimg:g} thousand images "
        f"shown, with usgan {__version__}.",
        *("", "## May it be shared?", ""),
        SHARING[None if copying is None else copying.verdict],
        *(() if copying is None else ("", copying.words)),
        *("", "## How good are its images?", "", *_quality(score)),
        *("", "## Does it help a classifier?", ""),
        *(
            _listed(
                f"{one.sentence()}." for one in verdicts.of_gans if one.effect.aug == gan.key.aug and one.n == gan.key.n
            )
        ),
        *("", "## What it is for", ""),
        "Research on data augmentation. Its images are not of patients: they must not be used for diagnosis, to teach "
        "what disease looks like, or to judge a classifier. It knows the training images' classes, devices and "
        "patients and no others.",
        *("", "## How it was made", ""),
        f"- Architecture: channel base {architecture.channel_base}, at most {architecture.channel_max} channels, "
        f"{architecture.mapping_layers} mapping layers, latents of {architecture.z_dim}",
        f"- Settings: {_settings(settings, document.preset)}",
        f"- Tensors: `generator.safetensors`, SHA-256 `{document.tensors}`",
        f"- Training images: subset of {document.n}, seed {document.seed}, of the dataset with the content digest "
        f"`{data.content_digest()[:16]}` (its card: [dataset](../dataset.md))",
    ]
    return "\n".join(lines) + "\n"


def _listed(items: Iterable[str]) -> list[str]:
    lines = [f"- {item}" for item in items]
    return lines or ["No classifier with its images has been compared with its control yet."]


def _settings(settings: dict[str, Any], preset: str) -> str:
    said = [f"{name} {settings[name]}" for name in SETTINGS if settings.get(name) is not None]
    return ", ".join([f"preset {preset}", *(plain(text) for text in said)])


def _quality(score: ScoreRecord | None) -> Iterator[str]:
    if score is None:
        yield "Not measured yet: `usgan score`."
        return
    settings = score.settings
    name = distance_name(settings.extractor)
    yield (
        f"{settings.count} generated images against {settings.reference_count} real test images, in features of "
        f"{short_digests(settings.extractor)}; beside them real training images, measured in the same way."
    )
    yield from ("", "| | generated | real |", "|---|---:|---:|")
    fake, real = score.fake, score.real
    rows: list[tuple[str, float | None, float | None, int]] = [
        (name, fake.fd, real.fd, 1),
        ("kernel distance × 1000", _thousand(fake.kid), _thousand(real.kid), 1),
        ("precision", fake.precision, real.precision, 2),
        ("recall", fake.recall, real.recall, 2),
        ("density", fake.density, real.density, 2),
        ("coverage", fake.coverage, real.coverage, 2),
        ("Jensen-Shannon distance of gray values", fake.js, real.js, 3),
        ("SSIM of two images of the set (less is more diverse)", fake.diversity_ssim.mean, real.diversity_ssim.mean, 3),
    ]
    for title, ours, theirs, digits in rows:
        cells = ["–" if value is None else number(value, digits) for value in (ours, theirs)]
        yield f"| {title} | {cells[0]} | {cells[1]} |"


def _thousand(value: float | None) -> float | None:
    return None if value is None else 1000 * value


def dataset_card(data: DataManifest, license_: str) -> str:
    """Return the card of the prepared dataset as Markdown."""
    lines = [
        *("---", f"license: {license_.lower() or 'other'}", "task_categories: [image-classification]"),
        *("tags: [medical-imaging]", "---", ""),
        f"# {dataset_name(data)}, prepared by usgan",
        "",
        f"{plural(len(data.images), 'image')} of {data.size} × {data.size} pixels, "
        f"{'gray' if data.channels == 1 else 'colour'}; content digest `{data.content_digest()}`.",
        *("", "| class | training | test |", "|---|---:|---:|"),
        *(
            f"| {plain(name)} | {data.class_counts('train')[name]} | {data.class_counts('test')[name]} |"
            for name in data.classes
        ),
        *("", "## How it was made", ""),
        f"- Read as {data.layout} ({data.source_format}); resized by {data.resampling} ({data.fit}).",
        f"- Split: {_split(data)}",
        f"- Patients: {_patients(data)}",
        *("", "## What was found", ""),
        *(f"- {plain(line)}" for line in audit(data)),
        *("", "## What the records do not know", ""),
        f"- Licence: {plain(license_) or TO_FILL_IN}",
        *(f"- {topic}: {TO_FILL_IN}" for topic in UNKNOWN),
    ]
    return "\n".join(lines) + "\n"


def _split(data: DataManifest) -> str:
    own, across = data.split_from == "source", divided(data)
    drawn = "the source’s own" if own else f"drawn with seed {data.seed}, stratified by class"
    if across.copies:
        return f"{drawn}; {across.groups_of_copies()} on both sides."
    left_out = data.duplicate_policy == "drop"
    return f"{drawn}; copies of an image {'were left out' if left_out else 'lie on one side'}."


def _patients(data: DataManifest) -> str:
    if data.groups_from == "none":
        return "not known."
    count = divided(data).patients
    across = f"; {count} {'lies' if count == 1 else 'lie'} on both sides" if count else ", each on one side"
    return f"from {data.groups_from}{across}."


UNKNOWN = (
    "Source and citation",
    "Institutions, devices and years of acquisition",
    "Patients: number, age, sex, how they were chosen",
    "Who labelled the images, and against what reference",
    "De-identification, consent and ethics approval",
)


def croissant(data: DataManifest, license_: str) -> dict[str, Any]:
    """Return the dataset in Croissant 1.0: its files, and a record of image, class, split and group for each image."""
    manifest = {"@id": "manifest.json"}

    def field(name: str, type_: str, description: str, path: str) -> dict[str, Any]:
        source = {"fileObject": manifest, "extract": {"jsonPath": f"$.images[*].{path}"}}
        return {
            "@type": "cr:Field",
            "@id": f"images/{name}",
            "name": f"images/{name}",
            "description": description,
            "dataType": type_,
            "source": source,
        }

    made: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "".join(c if c.isalnum() else "-" for c in dataset_name(data).lower()).strip("-"),
        "description": f"{dataset_name(data)}: {plural(len(data.images), 'image')} of {joined(data.classes)}, "
        f"{data.size} x {data.size} pixels, prepared by usgan {__version__}.",
        "version": data.content_digest()[:12],
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "manifest.json",
                "name": "manifest.json",
                "contentUrl": "manifest.json",
                "encodingFormat": "application/json",
                "sha256": files.sha256_bytes(data.to_json().encode()),
            },
            {
                "@type": "cr:FileSet",
                "@id": "image-files",
                "name": "image-files",
                "encodingFormat": "image/png",
                "includes": "images/*/*.png",
            },
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "field": [
                    field("file", "sc:Text", "Path of the image.", "file"),
                    field("class", "sc:Text", "Its class.", "class"),
                    field("split", "sc:Text", "train or test.", "split"),
                    field("group", "sc:Integer", "Images of one group are copies or of one patient.", "group"),
                    field("sha256", "sc:Text", "Digest of the file.", "sha256"),
                ],
            }
        ],
    }
    if license_:
        made["license"] = license_
    return made


CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The JSON-LD context of Croissant 1.0."""
