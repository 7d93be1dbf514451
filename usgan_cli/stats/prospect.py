"""What a study will be able to show, before it is run: the smallest difference, and what would show a smaller one.

The variances are those of `mrmc.LINEAR_HEADS`, an assumption: fine-tuned networks may vary twice as much from training
to training. Holm's first step decides, in which no other comparison has passed its share of the 5 % on.
"""

from __future__ import annotations

from dataclasses import dataclass

from usgan_cli.core.text import plural
from usgan_cli.stats.mrmc import ALPHA, LINEAR_HEADS, TARGET, Variances, ways_to_show, weights_of


@dataclass(frozen=True)
class Prospect:
    """What one comparison of a planned study can show; differences are shares of the test images (0 to 1)."""

    what: str
    """"the primary comparison", or "each of 12 comparisons"."""
    repeats: int
    images: int
    detectable: float | None
    """The difference that four of five such studies would show; None with one repeat."""
    repeats_needed: int | None
    """Repeats that would show `TARGET` with these test images; None where no feasible number does."""
    images_needed: int | None
    """Test images that would show `TARGET` with these repeats."""
    copies: bool = False
    """Whether some test images are copies of others, which `images` leaves out."""
    unit: str = "repeat"
    """What a repeat is: a "split" where several are pooled, of which `images` are the test images of one."""

    def sentence(self) -> str:
        """Return it in words."""
        images = f"{self.images} test images{' (copies count once)' if self.copies else ''}"
        if self.detectable is None:
            return f"One repeat gives no verdict, on {images} or more. Three can: [grid] seeds = [0, 1, 2]."
        # More than all test images cannot be classified correctly, so a difference of 100 points is out of reach.
        size = f"about {100 * self.detectable:.1f} points" if self.detectable < 1 else "no difference, however large,"
        text = f"{plural(self.repeats, self.unit)} on {images}{' each' * (self.unit == 'split')} can show {size}"
        text = f"{text} in {self.what} (in four of five such studies; variances as of linear heads on BUSI)"
        if self.detectable <= TARGET:
            return f"{text}."
        ways = ways_to_show([self.repeats_needed], [self.images_needed], self.unit)
        return f"{text}; {ways} would show {100 * TARGET:g}."


def prospects(
    repeats: int,
    images: int,
    comparisons: int,
    *,
    primary: bool,
    copies: bool = False,
    unit: str = "repeat",
    variances: Variances = LINEAR_HEADS,
) -> list[Prospect]:
    """Return what the primary comparison, if there is one, and what each of the others can show.

    `repeats` are trainings of one split, or splits, as `unit` says ("split"); `images` is the number of test images of
    one, of which clusters of copies count once; `copies` says whether there are any.
    """
    weights = weights_of(comparisons, 0 if primary else None)
    kinds = {"the primary comparison": 0} if primary else {}
    others = comparisons - primary
    if others:
        first = "each of the others" if primary else "each comparison" if others > 1 else "its comparison"
        kinds[first] = int(primary)
    made = []
    for what, place in kinds.items():
        alpha = ALPHA * float(weights[place] / weights.sum())
        if repeats == 1:
            return [Prospect(what, 1, images, None, None, None, copies, unit)]
        shown = variances.detectable(repeats, images, alpha)
        more = variances.repeats_needed(images, alpha), variances.images_needed(repeats, 1.0, alpha)
        made.append(Prospect(what, repeats, images, shown, *more, copies, unit))
    return made
