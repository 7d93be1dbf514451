"""The packages that a run records."""

from __future__ import annotations

from importlib import metadata

from usgan_cli import __version__

RECORDED_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "pydicom",
    "python-gdcm",
)


def package_versions() -> dict[str, str]:
    """Return the versions of usgan and of the packages that can change a result."""
    versions = {"usgan": __version__}
    for name in RECORDED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
