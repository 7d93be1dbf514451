"""The five parts of a StyleGAN2 training iteration, and the images they are shown.

Non-saturating logistic loss with lazy R1 and path length regularisation (Karras et al. 2020, "Analyzing and
improving the image quality of StyleGAN"). The three GANs of the study differ in the `augment` through which the
discriminator is shown images, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from usgan_cli.core import images
from usgan_cli.core.datasets import ImageSet
from usgan_cli.core.seeds import torch_generator
from usgan_cli.gan import losses
from usgan_cli.gan.augment import Augment
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.state import Training


class Shown:
    """The training images on the device, shown in a fresh order every epoch."""

    def __init__(self, data: ImageSet, config: GanConfig, device: torch.device) -> None:
        self.pixels = torch.from_numpy(data.pixels).to(device)
        self.labels = torch.from_numpy(data.labels).to(device)
        self.config = config
        self.device = device
        self._orders: dict[int, Tensor] = {}

    def reals(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the step's images, float in [-1, 1], and one-hot labels."""
        config = self.config
        picked = self._indices(step * config.batch, config.batch)
        batch = images.to_float(self.pixels[picked])
        if config.mirror:
            draws = torch_generator(config.seed, "mirror", step)
            flip = (torch.rand([config.batch, 1, 1, 1], generator=draws) < 0.5).to(self.device)
            batch = torch.where(flip, batch.flip(3), batch)
        return batch, self.one_hot(self.labels[picked])

    def labels_for_generated(self, count: int, draws: torch.Generator) -> Tensor:
        """Return one-hot labels drawn from the training set's labels."""
        picked = torch.randint(len(self.labels), [count], generator=draws)
        return self.one_hot(self.labels[picked.to(self.device)])

    def one_hot(self, labels: Tensor) -> Tensor:
        """Return labels [N] as one-hot vectors [N, c_dim]."""
        return F.one_hot(labels, self.config.c_dim).float()

    def _indices(self, first: int, count: int) -> Tensor:
        """Return positions `first` ... of the endless row of epochs."""
        n = len(self.labels)
        positions = [divmod(first + i, n) for i in range(count)]
        wanted = {epoch for epoch, _ in positions}
        self._orders = {
            epoch: self._orders[epoch] if epoch in self._orders else self._order(epoch) for epoch in sorted(wanted)
        }
        return torch.stack([self._orders[epoch][place] for epoch, place in positions]).to(self.device)

    def _order(self, epoch: int) -> Tensor:
        return torch.randperm(len(self.labels), generator=torch_generator(self.config.seed, "epoch", epoch))


@dataclass
class Sums:
    """Running sums of what the log reports, kept on the device so that training need not wait for them."""

    totals: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, values: Tensor) -> None:
        """Add the mean of the values."""
        value = values.detach().float().mean()
        self.totals[name] = self.totals[name] + value if name in self.totals else value
        self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Return the mean of each sum, and begin anew."""
        found = {name: float(total) / self.counts[name] for name, total in self.totals.items()}
        self.totals.clear()
        self.counts.clear()
        return found


class Steps:
    """The five parts of a training iteration."""

    def __init__(
        self, config: GanConfig, training: Training, shown: Shown, augment: Augment, device: torch.device
    ) -> None:
        self.config = config
        self.training = training
        self.shown = shown
        self.augment = augment
        self.device = device
        self.sums = Sums()
        self.grad_g = self.grad_d = torch.zeros(())

    def generator_step(self) -> None:
        """Move the generator towards images that the discriminator takes for real."""
        draws = self._draws("generator")
        self.training.discriminator.requires_grad_(False)
        generated, labels, _ = self._generate(self.config.batch, draws)
        logits = self._judge(generated, labels, draws)
        loss = losses.generator_loss(logits)
        self.sums.add("loss_g", loss)
        self.grad_g = self._update(self.training.adam_g, loss.mean())
        self.training.discriminator.requires_grad_(True)

    def path_length_step(self) -> None:
        """Path length regularisation on a part of the batch, weighted for being done only now and then."""
        config, training = self.config, self.training
        draws = self._draws("path length")
        generated, _, ws = self._generate(config.batch // config.pl_batch_shrink, draws)
        noise = torch.randn(generated.shape, generator=draws).to(self.device)
        lengths = losses.path_lengths(generated, ws, noise)
        penalty, mean = losses.path_length_penalty(lengths, training.path_length_mean, config.pl_decay)
        training.path_length_mean.copy_(mean.detach())
        self.sums.add("path_length", lengths)
        # The term in the image keeps every parameter in the graph, as the published loss does.
        loss = penalty.mean() * config.pl_weight + generated[:, 0, 0, 0].mean() * 0
        self._update(training.adam_g, loss * config.pl_interval)

    def discriminator_step(self) -> None:
        """Move the discriminator towards telling generated images from real ones."""
        config, training = self.config, self.training
        draws = self._draws("discriminator")
        with torch.no_grad():
            generated, labels, _ = self._generate(config.batch, draws)
        fake_loss = losses.discriminator_loss_fake(self._judge(generated, labels, draws))
        real, real_labels = self.shown.reals(training.step)
        real_logits = self._judge(real, real_labels, draws)
        real_loss = losses.discriminator_loss_real(real_logits)
        self.sums.add("loss_d_fake", fake_loss)
        self.sums.add("loss_d_real", real_loss)
        self.sums.add("r_t", real_logits.sign())
        if config.aug == "ada":
            training.ada.observe(real_logits)
        self.grad_d = self._update(training.adam_d, fake_loss.mean() + real_loss.mean())

    def r1_step(self) -> None:
        """R1 regularisation: the gradient is with respect to the real image before augmentation."""
        config, training = self.config, self.training
        draws = self._draws("r1")
        real, labels = self.shown.reals(training.step)
        real.requires_grad_(True)
        logits = self._judge(real, labels, draws)
        penalty = losses.r1_penalty(logits, real)
        self.sums.add("r1", penalty)
        loss = penalty.mean() * (config.r1_gamma / 2) + logits.mean() * 0
        self._update(training.adam_d, loss * config.r1_interval)

    @torch.no_grad()
    def average_step(self) -> None:
        """Let the averaged generator follow with its half-life; buffers are copied."""
        config, training = self.config, self.training
        half_life = config.ema_kimg * 1000
        if config.ema_rampup is not None:
            half_life = min(half_life, training.images * config.ema_rampup)
        beta = 0.5 ** (config.batch / max(half_life, 1e-8))
        torch._foreach_lerp_(list(training.average.parameters()), list(training.generator.parameters()), 1 - beta)
        for old, new in zip(training.average.buffers(), training.generator.buffers(), strict=True):
            old.copy_(new)

    def _draws(self, purpose: str) -> torch.Generator:
        return torch_generator(self.config.seed, purpose, self.training.step)

    def _generate(self, count: int, draws: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return generated images, their labels and the w they were made from; follow the average w."""
        config, generator = self.config, self.training.generator
        labels = self.shown.labels_for_generated(count, draws)
        ws = generator.mapping(torch.randn([count, config.z_dim], generator=draws).to(self.device), labels)
        generator.update_w_avg(ws.detach())
        if config.style_mixing_prob > 0:
            # Style mixing: one cut for the batch; beyond it the layers follow other latents.
            other = generator.mapping(torch.randn([count, config.z_dim], generator=draws).to(self.device), labels)
            cut = int(torch.randint(1, ws.shape[1], [], generator=draws))
            mixed = bool(torch.rand([], generator=draws) < config.style_mixing_prob)
            ws = losses.style_mix(ws, other, cut if mixed else ws.shape[1])
        return generator.synthesis(ws, noise_mode="random", draws=draws), labels, ws

    def _judge(self, batch: Tensor, labels: Tensor, draws: torch.Generator) -> Tensor:
        shown: Tensor = self.training.discriminator(self.augment(batch, self.training.ada.p, draws), labels)
        return shown

    def _update(self, adam: torch.optim.Adam, loss: Tensor) -> Tensor:
        """Take one optimiser step; gradients that are not finite become 0 or 1e5 in size. Returns their norm."""
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for group in adam.param_groups for p in group["params"] if p.grad is not None]
        for gradient in gradients:
            torch.nan_to_num(gradient, nan=0.0, posinf=1e5, neginf=-1e5, out=gradient)
        adam.step()
        return torch.nn.utils.get_total_norm(gradients)
