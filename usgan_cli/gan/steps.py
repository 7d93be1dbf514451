"""The five parts of a StyleGAN2 training iteration.

Non-saturating logistic loss with lazy R1 and path length regularisation (Karras et al. 2020, "Analyzing and
improving the image quality of StyleGAN"). The three GANs of the paper differ in the `augment` through which the
discriminator is shown images, and nowhere else; a projected discriminator brings its own loss.

Each part first draws everything random for the whole batch, then computes on parts of it (see `microbatch`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from usgan_cli.core.machine.placement import to_device
from usgan_cli.core.machine.seeds import torch_generator
from usgan_cli.gan import losses
from usgan_cli.gan.augment import Augment
from usgan_cli.gan.batches import Batch, TrainingImages, named, under
from usgan_cli.gan.config import GanConfig
from usgan_cli.gan.cuda_graph import Graphs, GraphsWanted
from usgan_cli.gan.distributed import ALONE, World
from usgan_cli.gan.log import Means
from usgan_cli.gan.losses import AdversarialLoss
from usgan_cli.gan.microbatch import Gradients, Microbatches
from usgan_cli.gan.projected.discriminator import ProjectedDiscriminator
from usgan_cli.gan.spectrum import SpectrumPenalty
from usgan_cli.gan.state import Training


@dataclass(frozen=True)
class Draws:
    """A step's random generators: of the host, for small draws, and of the device, for noise; the same one on a CPU."""

    host: torch.Generator
    device: torch.Generator

    @classmethod
    def of(cls, seed: int, purpose: str, step: int, device: torch.device) -> Draws:
        """Return the generators that belong to one purpose of one step."""
        host = torch_generator(seed, purpose, step)
        if device.type == "cpu":
            return cls(host, host)
        return cls(host, torch_generator(seed, purpose, step, "device", device=device))


class Steps:
    """The five parts of a training iteration, which change `training`.

    The processes of `world` share each batch, and each computes `at_once` images at a time, by default as many as its
    memory holds. With `graphs` each part is recorded as a CUDA graph; "auto" warns and goes on without where that
    fails.

    Raises
    ------
    SettingsError
        The batch cannot be cut in this way.
    """

    def __init__(
        self,
        config: GanConfig,
        training: Training,
        data: TrainingImages,
        augment: Augment,
        device: torch.device,
        world: World = ALONE,
        at_once: int | None = None,
        graphs: GraphsWanted = "off",
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.config = config
        self.training = training
        self.data = data
        self.augment = augment
        self.device = device
        self.world = world
        in_one_block = device.type == "cuda" or graphs != "off"
        self.g_gradients, self.d_gradients = (
            Gradients([p for p in network.parameters() if p.requires_grad], in_one_block=in_one_block)
            for network in (training.generator, training.discriminator)
        )
        recorded = None
        if graphs != "off":
            blocks = [*self.g_gradients.tensors(), *self.d_gradients.tensors()]
            recorded = Graphs(blocks, warn if graphs == "auto" else None)
        self.loss: AdversarialLoss[Any] = losses.loss_of(config.discriminator, config.pixel_weight)
        self.spectrum = None if training.spectrum is None else SpectrumPenalty(data.everything(), training.spectrum)
        self.microbatches = Microbatches(config, device, world, at_once, recorded)
        self._batch_length: Tensor | None = None
        self._shared: Batch = {}
        """With `share_images`: the images of the last generator's step and their labels."""
        self.means = Means()
        self.grad_g = self.grad_d = torch.zeros(())
        average, generator = training.average, training.generator
        self._averaged = list[Tensor](average.parameters()), list[Tensor](generator.parameters())
        self._copied = list(average.buffers()), list(generator.buffers())

    def follow(self, progress: float) -> bool:
        """Do what changes towards the end, of which this share, 0 to 1, is done; return whether features changed.

        These are the learning rates, and how large a projected discriminator sees images.
        """
        self.training.set_rate(self.config.rate_at(progress))
        discriminator = self.training.discriminator
        if not isinstance(discriminator, ProjectedDiscriminator):
            return False
        if not discriminator.look_at(self.config.feature_size_at(progress)):
            return False
        self.microbatches.forget_graphs()  # what they replay has the former size in it
        return True

    def generator_step(self) -> None:
        """Move the generator towards images that the discriminator takes for real."""
        config, draws = self.config, self._draws("generator")
        inputs = self._draw_generated(config.batch, draws) | self._draw_augmentation(config.batch, draws)
        if config.share_images:
            inputs |= self._place_for_shared(inputs["labels"])
        with self._frozen(self.d_gradients):
            totals = self.microbatches.from_zero(
                self.g_gradients, lambda: self.microbatches.sums("generator", self._generator_part, inputs)
            )
            self.grad_g = self._update(self.training.adam_g, self.g_gradients, totals)
        self._update_w_avg(totals["w"] / config.batch)
        if self.spectrum is not None:
            self.spectrum.observe(totals["spectrum"] / config.batch, config.batch)
            self.means.add("spectrum", self.spectrum.decibels())
        self.means.add("loss_g", totals["loss_g"] / config.batch)

    def path_length_step(self) -> None:
        """Path length regularisation on a part of the batch, its weight multiplied by the interval between steps."""
        config, training, draws = self.config, self.training, self._draws("path length")
        count = config.batch // config.pl_batch_shrink
        inputs = self._draw_generated(count, draws)
        shape = self._image_shape(count)
        inputs["direction"] = torch.randn(shape, generator=draws.device, device=draws.device.device).to(self.device)
        self._batch_length = None
        with self._frozen(self.d_gradients):
            totals = self.microbatches.from_zero(self.g_gradients, lambda: self._path_length_loss(inputs))
            self._update(training.adam_g, self.g_gradients, totals)
        mean = totals["path_length"] / count
        training.path_length_mean.lerp_(mean, config.pl_decay)
        self._update_w_avg(totals["w"] / count)
        self.means.add("path_length", mean)

    def discriminator_step(self) -> None:
        """Move the discriminator towards separating generated images from real ones."""
        config, training, draws = self.config, self.training, self._draws("discriminator")
        fakes = dict(self._shared) if config.share_images else self._draw_generated(config.batch, draws)
        fakes |= self._draw_augmentation(config.batch, draws)
        reals = self.data.draw(training.step) | self._draw_augmentation(config.batch, draws)
        if isinstance(training.discriminator, ProjectedDiscriminator):
            training.discriminator.update_norms()  # once a step, so that every part of the batch meets the same weights
        with self._frozen(self.g_gradients):
            totals = self.microbatches.from_zero(
                self.d_gradients,
                lambda: (
                    self.microbatches.sums("discriminator, generated", self._generated_part, fakes)
                    | self.microbatches.sums("discriminator, real", self._real_part, reals)
                ),
            )
            self.grad_d = self._update(training.adam_d, self.d_gradients, totals)
        if "w" in totals:
            self._update_w_avg(totals["w"] / config.batch)
        if training.lecam is not None:
            training.lecam.observe(totals["opinion_real"] / config.batch, totals["opinion_fake"] / config.batch)
        for name in ("loss_d_fake", "loss_d_real"):
            self.means.add(name, totals[name] / config.batch)
        self.means.add("r_t", totals["signs"] / config.batch)
        if config.adapts:
            training.ada.observe(totals["signs"], config.batch)

    def r1_step(self) -> None:
        """R1 regularisation: the gradient is with respect to the real image before augmentation."""
        config, training, draws = self.config, self.training, self._draws("r1")
        inputs = self.data.draw(training.step) | self._draw_augmentation(config.batch, draws)
        with self._frozen(self.g_gradients):
            totals = self.microbatches.from_zero(
                self.d_gradients, lambda: self.microbatches.sums("r1", self._r1_part, inputs)
            )
            self._update(training.adam_d, self.d_gradients, totals)
        self.means.add("r1", totals["r1"] / config.batch)

    @torch.no_grad()
    def average_step(self) -> None:
        """Let the averaged generator follow with its half-life; buffers are copied."""
        config, training = self.config, self.training
        half_life = config.ema_kimg * 1000
        if config.ema_rampup is not None:
            half_life = min(half_life, training.images * config.ema_rampup)
        beta = 0.5 ** (config.batch / max(half_life, 1e-8))
        torch._foreach_lerp_(*self._averaged, 1 - beta)
        torch._foreach_copy_(*self._copied)

    # What is drawn for a batch

    def _draws(self, purpose: str) -> Draws:
        return Draws.of(self.config.seed, purpose, self.training.step, self.device)

    def _draw_generated(self, count: int, draws: Draws) -> Batch:
        """Draw what generated images are made from: labels, two latents, which layers follow the second, noise."""
        config, synthesis = self.config, self.training.generator.synthesis
        labels = self.data.draw_labels(count, draws.host)
        drawn = {"labels": labels, "z": torch.randn([count, config.z_dim], generator=draws.host)}
        if config.style_mixing_prob > 0:
            # Style mixing: one cut for the batch; from it on the layers follow other latents.
            drawn["other_z"] = torch.randn([count, config.z_dim], generator=draws.host)
            cut = int(torch.randint(1, synthesis.num_ws, [], generator=draws.host))
            mixes = bool(torch.rand([], generator=draws.host) < config.style_mixing_prob)
            follows = torch.arange(synthesis.num_ws) >= (cut if mixes else synthesis.num_ws)
            drawn["follows_other"] = follows.expand(count, -1)
        noise = synthesis.draw_noise(count, draws.device)
        on_device = {name: to_device(value, self.device) for name, value in drawn.items()}
        return on_device | named("noise", {f"{i:02d}": plane for i, plane in enumerate(noise)})

    def _place_for_shared(self, labels: Tensor) -> Batch:
        """Make room for the images that a step will make with these labels, and return the row of each in it."""
        if not self._shared:
            self._shared["images"] = torch.empty(
                self._image_shape(len(labels)), device=self.device, dtype=self.training.generator.mapping.w_avg.dtype
            )
        self._shared["labels"] = labels
        return {"row": torch.arange(len(labels), device=self.device)}

    def _draw_augmentation(self, count: int, draws: Draws) -> Batch:
        p = self.training.ada.p_tensor
        return named("augment", self.augment.draw(self._image_shape(count), p, draws.device, self.device))

    def _image_shape(self, count: int) -> tuple[int, int, int, int]:
        return count, self.config.img_channels, self.config.resolution, self.config.resolution

    # What is computed on a part of a batch: adds to the gradients, returns sums

    def _generator_part(self, part: Batch) -> Batch:
        generated, ws = self._generate(part)
        if "row" in part:
            self._shared["images"].index_copy_(0, part["row"], generated.detach())
        loss = penalised = self.loss.generator(self._logits(generated, part)).sum()
        sums: Batch = {}
        if self.spectrum is not None:
            ratios = self.spectrum.ratios(generated)
            penalised = loss + self.config.spectrum_weight * self.spectrum.of_generated(ratios).sum()
            sums["spectrum"] = ratios.detach().sum(dim=0)
        torch.autograd.backward(penalised / self.config.batch)
        return sums | {"loss_g": loss.detach(), "w": ws[:, 0].detach().sum(dim=0)}

    def _generated_part(self, part: Batch) -> Batch:
        sums: Batch = {}
        if "images" in part:
            generated = part["images"]
        else:
            with torch.no_grad():
                generated, ws = self._generate(part)
            sums["w"] = ws[:, 0].sum(dim=0)
        logits = self._logits(generated, part)
        loss = penalised = self.loss.fake(logits).sum()
        if (lecam := self.training.lecam) is not None:
            opinion = self.loss.opinion(logits)
            penalised = loss + self.config.lecam * lecam.of_generated(opinion).sum()
            sums["opinion_fake"] = opinion.detach().sum()
        torch.autograd.backward(penalised / self.config.batch)
        return sums | {"loss_d_fake": loss.detach()}

    def _real_part(self, part: Batch) -> Batch:
        logits = self._logits(self.data.images(part), part)
        loss = penalised = self.loss.real(logits).sum()
        opinion = self.loss.opinion(logits)
        sums = {"loss_d_real": loss.detach(), "signs": opinion.detach().sign().sum()}
        if (lecam := self.training.lecam) is not None:
            penalised = loss + self.config.lecam * lecam.of_real(opinion).sum()
            sums["opinion_real"] = opinion.detach().sum()
        torch.autograd.backward(penalised / self.config.batch)
        return sums

    def _r1_part(self, part: Batch) -> Batch:
        config = self.config
        inputs, logits = self._penalised(part)
        penalty = losses.r1_penalty(logits, *inputs).sum()
        # The last term keeps every parameter in the graph, as the published loss does.
        nothing = 0 * (logits.sum() + sum(one.sum() for one in self._besides()))
        loss = penalty * (config.r1_gamma / 2 * config.r1_interval / config.batch) + nothing
        torch.autograd.backward(loss)
        return {"r1": penalty.detach()}

    def _path_length_loss(self, inputs: Batch) -> Batch:
        """The path length penalty (l - m)², m = a + decay (mean(l) - a), from parts of a batch.

        m depends on every image of the batch, so the gradient of the mean penalty with respect to one image's l is
        2 ((l - m) - decay (mean(l) - m)) / batch: it needs the batch's mean and otherwise only the image's own length.
        """
        count = len(inputs["z"])
        if self._batch_length is None and self.microbatches.split > 1:
            total = torch.zeros_like(self.training.path_length_mean)
            for part in self.microbatches.parts(inputs, group=1):
                total += self._lengths(part)[0].detach().sum()
            self._batch_length = self._mean_over_processes(total, count)
        if self._batch_length is not None:
            inputs = inputs | {"batch_length": self._batch_length.expand(count)}
        return self.microbatches.sums("path length", self._path_length_part, inputs, group=1)

    def _path_length_part(self, part: Batch) -> Batch:
        config = self.config
        count = config.batch // config.pl_batch_shrink
        lengths, generated, ws = self._lengths(part)
        if "batch_length" in part:
            batch_length = part["batch_length"][0]
        else:
            batch_length = self._mean_over_processes(lengths.detach().sum(), count)
            self._batch_length = batch_length
        mean = self.training.path_length_mean.lerp(batch_length, config.pl_decay)
        slope = 2 / count * ((lengths.detach() - mean) - config.pl_decay * (batch_length - mean))
        # The term in the image keeps every parameter in the graph, as the published loss does.
        loss = (lengths * slope).sum() * (config.pl_weight * config.pl_interval) + generated[:, 0, 0, 0].sum() * 0
        torch.autograd.backward(loss)
        return {"path_length": lengths.detach().sum(), "w": ws[:, 0].detach().sum(dim=0)}

    def _lengths(self, part: Batch) -> tuple[Tensor, Tensor, Tensor]:
        generated, ws = self._generate(part)
        return losses.path_lengths(generated, ws, part["direction"]), generated, ws

    def _mean_over_processes(self, total: Tensor, count: int) -> Tensor:
        self.world.sum_([total])
        return total / count

    def _generate(self, part: Batch) -> tuple[Tensor, Tensor]:
        """Return generated images [n, C, H, W] and the w they were made from [n, num_ws, w_dim]."""
        generator = self.training.generator
        ws = first = generator.mapping(part["z"], part["labels"])
        if "other_z" in part:
            other = generator.mapping(part["other_z"], part["labels"])
            ws = torch.where(part["follows_other"][:, :, None], other, first)
        noise = [plane for _, plane in sorted(under("noise", part).items())]
        return generator.synthesis(ws, noise), ws

    def _logits(self, images: Tensor, part: Batch) -> Any:
        """Return what the discriminator makes of images through the augmentation, as its loss takes it."""
        return self.training.discriminator(self._augmented(images, part), part["labels"])

    def _augmented(self, images: Tensor, part: Batch) -> Tensor:
        return self.augment.apply(images, under("augment", part))

    def _penalised(self, part: Batch) -> tuple[list[Tensor], Tensor]:
        """Return what R1 takes the gradient by, of real images, and the logits computed from it."""
        discriminator, real = self.training.discriminator, self.data.images(part)
        if isinstance(discriminator, ProjectedDiscriminator) and discriminator.pixels is not None:
            real.requires_grad_(True)
            return [real], discriminator.pixels(self._augmented(real, part), part["labels"])
        if isinstance(discriminator, ProjectedDiscriminator):
            inputs = [one.requires_grad_(True) for one in discriminator.features(self._augmented(real, part))]
            return inputs, self.loss.opinion(discriminator.judge(inputs, part["labels"]))
        real.requires_grad_(True)
        return [real], self.loss.opinion(self._logits(real, part))

    def _besides(self) -> Iterator[Tensor]:
        """Yield the parameters that `_penalised` leaves out: those of heads beside a discriminator of pixels."""
        discriminator = self.training.discriminator
        if isinstance(discriminator, ProjectedDiscriminator) and discriminator.pixels is not None:
            yield from discriminator.heads.parameters()

    # Updates

    @contextmanager
    def _frozen(self, gradients: Gradients) -> Iterator[None]:
        """Compute no gradients of one network's parameters."""
        for parameter in gradients.parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in gradients.parameters:
                parameter.requires_grad_(True)

    def _update(self, adam: torch.optim.Adam, gradients: Gradients, totals: Batch) -> Tensor:
        """Add up over processes, take one optimiser step and return the norm of the gradient."""
        self.world.sum_([*gradients.tensors(), *totals.values()])
        gradients.make_finite()
        adam.step()
        return gradients.norm()

    def _update_w_avg(self, mean: Tensor) -> None:
        self.training.generator.update_w_avg(mean[None, None], self.config.w_avg_decay)
