"""How an ultrasound image is formed: scatterers, point-spread function, envelope, log compression.

The linear model of Field II (Jensen, Medical & Biological Engineering & Computing 34, 351-353, 1996): scatterers
convolved with a point-spread function, here separable and, after demodulation, complex. A wave of wavelength lambda
reflected at depth z arrives with phase 4 pi z / lambda, so the many scatterers within one cell of the grid add up to
a circular complex Gaussian number, whose magnitude after convolution is Rayleigh distributed: fully developed speckle
with a mean of 1.91 standard deviations (Wagner, Smith, Sandrik, Lopez, IEEE Transactions on Sonics and Ultrasonics 30,
156-163, 1983).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from usgan_cli.core.images.codec import Pixels

Field = NDArray[np.float32]

_AXIAL_OVERSAMPLING = 2
"""Rows of the speckle field per row of the tissue map: the pulse is shorter than the beam is wide."""
_LOOKS = 2
"""Envelopes averaged by spatial compounding."""


@dataclass(frozen=True)
class Scanner:
    """The settings of an examination: field of view, pulse and beam."""

    depth_mm: float = 40.0
    width_mm: float = 40.0
    pulse_mm: float = 0.11
    """Standard deviation of the pulse's envelope along the beam."""
    beam_mm: float = 0.22
    """Standard deviation of the beam's width at the focus."""
    focus_mm: float = 18.0
    """Depth of the focus; the beam widens linearly away from it."""
    divergence: float = 0.012
    """Widening of the beam, mm per mm."""

    def beam_width(self, depth_mm: Field) -> Field:
        """Return the beam's standard deviation in mm at some depths."""
        widening = np.float32(self.divergence) * (depth_mm - np.float32(self.focus_mm))
        return np.asarray(np.hypot(np.float32(self.beam_mm), widening))


def envelope(echogenicity_db: Field, scanner: Scanner, generator: np.random.Generator) -> Field:
    """Return the magnitude of the received, demodulated signal over the field of view [rows, columns].

    `echogenicity_db` is the level of the backscattered signal. In a region at 0 dB larger than the point-spread
    function the magnitude is Rayleigh distributed with mean square 1. Near the left and right borders scatterers of the
    opposite side add a little.
    """
    rows, columns = echogenicity_db.shape
    amplitude = np.exp(echogenicity_db * np.float32(np.log(10) / 20))
    scatterers = generator.standard_normal((rows, columns, 2), dtype=np.float32).view(np.complex64)[..., 0]
    signal = scatterers * amplitude

    # Laterally the beam's width changes with depth: each row is filtered by its own Gaussian, as a product of
    # spectra. Kernels have unit energy, so the level does not depend on the width (the scanner's gain sees to it).
    depth = centres(rows, scanner.depth_mm)
    k = (2 * np.pi * scipy.fft.fftfreq(columns, scanner.width_mm / columns)).astype(np.float32)
    spectrum = scipy.fft.fft(signal, axis=1)
    spectrum *= _unit_energy(np.exp(-0.5 * (scanner.beam_width(depth)[:, None] * k) ** 2), axis=1)
    signal = scipy.fft.ifft(spectrum, axis=1, overwrite_x=True)

    # Axially the pulse is the same everywhere. Empty rows below keep the far end from wrapping round to the top.
    step = scanner.depth_mm / rows
    padded = scipy.fft.next_fast_len(rows + int(np.ceil(6 * scanner.pulse_mm / step)))
    k = (2 * np.pi * scipy.fft.fftfreq(padded, step)).astype(np.float32)
    pulse = _unit_energy(np.exp(-0.5 * (scanner.pulse_mm * k) ** 2), axis=0)
    spectrum = scipy.fft.fft(signal, n=padded, axis=0)
    spectrum *= pulse[:, None]
    signal = scipy.fft.ifft(spectrum, axis=0, overwrite_x=True)[:rows]
    return np.abs(signal) * np.float32(np.sqrt(0.5))


def _unit_energy(response: Field, axis: int) -> Field:
    """Scale a filter's frequency response so that white noise keeps its power (Parseval)."""
    return np.asarray(response / np.sqrt(np.mean(response**2, axis=axis, keepdims=True)))


def centres(count: int, length_mm: float) -> Field:
    """Return the positions in mm of the centres of `count` cells that fill `length_mm`."""
    return ((np.arange(count, dtype=np.float32) + np.float32(0.5)) * np.float32(length_mm / count)).astype(np.float32)


def receive(echo_db: Field, loss_db_per_mm: Field, scanner: Scanner, generator: np.random.Generator) -> Field:
    """Return the received envelope [rows, columns] in decibels, with the noise of the scanner's electronics.

    `echo_db` is the echogenicity over the field of view, `loss_db_per_mm` the two-way attenuation that the scanner's
    time gain does not make up for.
    """
    rows, columns = echo_db.shape
    level_db = echo_db - np.cumsum(loss_db_per_mm, axis=0, dtype=np.float32) * np.float32(scanner.depth_mm / rows)
    fine = np.repeat(level_db, _AXIAL_OVERSAMPLING, axis=0)
    # Spatial compounding: looks from different angles have independent speckle, and their envelopes are averaged.
    looks = [envelope(fine, scanner, generator) for _ in range(_LOOKS)]
    received = np.mean(looks, axis=0).reshape(rows, _AXIAL_OVERSAMPLING, columns).mean(axis=1)
    # Time gain amplifies the noise as much as the echoes, so the floor rises with depth.
    depth = centres(rows, scanner.depth_mm)[:, None]
    floor_db = np.float32(generator.uniform(-62, -50)) + 10 * depth / np.float32(scanner.depth_mm)
    noise = np.abs(generator.standard_normal(received.shape, dtype=np.float32))
    return np.asarray(20 * np.log10(received + noise * 10 ** (floor_db / 20)))


def log_compress(decibels: Field, white_db: float, dynamic_range_db: float) -> Pixels:
    """Map decibels to gray levels, shape [1, rows, columns]: 255 at `white_db`, 0 at the dynamic range below it."""
    gray = (decibels - np.float32(white_db)) / np.float32(dynamic_range_db) + 1
    return np.asarray(np.rint(np.clip(gray, 0, 1) * 255).astype(np.uint8)[None])
