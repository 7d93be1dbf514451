"""What a training reports: the means of its log, TensorBoard, and the figures of the progress bar."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from usgan_cli.core.errors import MissingError
from usgan_cli.core.formats.generator import LogRow
from usgan_cli.core.images.codec import Pixels
from usgan_cli.core.progress import Task


@dataclass
class Means:
    """Running means of what the log reports, kept on the device so that training need not wait for them."""

    totals: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, value: Tensor) -> None:
        """Add one batch's mean."""
        self.totals[name] = self.totals[name] + value if name in self.totals else value
        self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the mean of each, and start over."""
        means = {name: float(total) / self.counts[name] for name, total in self.totals.items()}
        self.totals.clear()
        self.counts.clear()
        return means


class TensorBoard:
    """The log's figures and sample grids as TensorBoard reads them; its steps are images shown."""

    def __init__(self, folder: Path, images_now: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            hint = "Install it: pip install 'usgan[tensorboard]'"
            raise MissingError("--tensorboard needs TensorBoard.", hint) from None
        self.writer = SummaryWriter(str(folder), purge_step=images_now + 1)

    def row(self, row: LogRow) -> None:
        """Add a line of the log."""
        for name, value in row.model_dump(exclude_none=True, exclude={"kimg", "fd_extractor"}).items():
            self.writer.add_scalar(name, value, round(row.kimg * 1000))

    def grid(self, kimg: float, sheet: Pixels) -> None:
        """Add a sheet of samples, pixels [C, H, W]."""
        self.writer.add_image("samples", sheet, round(kimg * 1000))
        self.writer.flush()


def show(task: Task, row: LogRow) -> None:
    """Show the figures that matter beside the progress bar."""
    figures: dict[str, float | str] = {
        "s/kimg": row.s_per_kimg,
        "G": row.loss_g,
        "D": row.loss_d_real + row.loss_d_fake,
        "r_t": row.r_t,
        "p": row.p,
        "path": row.path_length,
        **({} if row.spectrum is None else {"spectrum": f"{row.spectrum:.2g} dB"}),
        "|grad G|": row.grad_g,
        "|grad D|": row.grad_d,
        "memory": f"{row.memory_mb / 1000:.2g} GB",
    }
    if row.fd is not None:
        figures["FD"] = row.fd
    task.advance(0, **figures)
