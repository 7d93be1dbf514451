"""Multi-reader multi-case analysis: published examples, a second implementation, scipy, properties, simulations."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from usgan_cli.core.errors import DataError
from usgan_cli.stats import mrmc, tests
from usgan_cli.stats.mrmc import Effect, compare_arms, effect_of, holm, judge

# Van Dyke's study of spin-echo and cine MRI for aortic dissection: areas under the empirical ROC curves of five readers
# on 114 cases. Areas as the MRMCaov toolbox prints them (github.com/brian-j-smith/MRMCaov.m, README).
VAN_DYKE = np.array([[0.91965, 0.85878, 0.90386, 0.97311, 0.82979], [0.94783, 0.90531, 0.92174, 0.99936, 0.92995]])


def van_dyke(var: float, cov1: float, cov2: float, cov3: float) -> Effect:
    """The readers' differences have variance 2 (Var - Cov1) over cases, and covariance 2 (Cov2 - Cov3)."""
    covariance = np.full((5, 5), 2 * (cov2 - cov3))
    np.fill_diagonal(covariance, 2 * (var - cov1))
    return effect_of(VAN_DYKE[0] - VAN_DYKE[1], covariance, images=114, clusters=114)


def with_hillis(effect: Effect) -> Effect:
    return dataclasses.replace(effect, df=effect.hillis_df)


def test_van_dykes_study_with_jackknife_covariances() -> None:
    """Figures of RJafroc, as its book prints them for `dataset02` (dpc10ster/RJafrocBook, OR applications)."""
    effect = van_dyke(8.0228827e-4, 3.4661371e-4, 3.4407483e-4, 2.3902837e-4)
    assert (effect.difference / effect.standard_error) ** 2 == pytest.approx(4.456, abs=1e-3)
    assert effect.hillis_df == pytest.approx(15.26, abs=5e-3)
    assert with_hillis(effect).p == pytest.approx(0.05167, abs=2e-5)
    assert with_hillis(effect).interval == pytest.approx((-0.0879595, 0.0003589), abs=5e-6)
    assert effect.df == 4


def test_van_dykes_study_with_unbiased_covariances() -> None:
    """Figures of the MRMCaov toolbox's README, which prints the covariances to five digits."""
    effect = van_dyke(0.00078839, 0.00034167, 0.00033906, 0.00023561)
    assert effect.standard_error == pytest.approx(0.020672, abs=2e-6)
    assert effect.hillis_df == pytest.approx(15.034, abs=3e-3)
    assert with_hillis(effect).p == pytest.approx(0.051162, abs=1e-5)
    assert with_hillis(effect).interval == pytest.approx((-0.087852, 0.0002513), abs=5e-6)


def test_van_dykes_first_reader_alone() -> None:
    """Figures of OR-DBM MRMC 2.51 for fixed readers and random cases, which takes the normal distribution for t."""
    effect = effect_of(np.array([-0.02818035]), np.array([[2 * (0.00069890 - 0.00037347)]]), images=114, clusters=114)
    assert effect.standard_error == pytest.approx(0.02551, abs=5e-6)
    assert dataclasses.replace(effect, df=np.inf).p == pytest.approx(0.2693, abs=1e-4)
    assert dataclasses.replace(effect, df=np.inf).interval == pytest.approx((-0.07818, 0.02182), abs=1e-5)
    assert effect.df == 113


def correctness(seed: int, repeats: int = 4, images: int = 40, gain: float = 0.0, training: float = 0.3) -> Any:
    """Two arms [repeats, 3 folds, images] of a probit model, and clusters of one to three images."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=images)
    by_image, by_repeat = rng.normal(scale=0.3, size=(2, 1, 1, images)), rng.normal(size=(2, repeats, 1, 1)) * training
    latent = 0.5 + hard + by_image + by_repeat + rng.normal(size=(2, repeats, 3, images))
    latent[0] += gain
    treated, control = (latent > 0).astype(float)
    return treated, control, rng.integers(0, images // 2, images)


def by_the_published_formulas(treated: np.ndarray, control: np.ndarray, clusters: np.ndarray) -> tuple[float, ...]:
    """F, Hillis' degrees of freedom and the standard error, each mean square and covariance computed separately."""
    score = np.stack([treated, control]).mean(2)
    t, r, _ = score.shape
    accuracy = score.mean(-1)
    left_out = np.array([score[..., clusters != c].mean(-1) for c in np.unique(clusters)])
    count = len(left_out)

    def covariance(i: int, j: int, k: int, m: int) -> float:
        one, two = left_out[:, i, j], left_out[:, k, m]
        return (count - 1) / count * float(((one - one.mean()) * (two - two.mean())).sum())

    arms, readers = range(t), range(r)
    cov2 = np.mean([covariance(i, j, i, m) for i in arms for j in readers for m in readers if m != j])
    cov3 = np.mean([covariance(i, j, 1 - i, m) for i in arms for j in readers for m in readers if m != j])
    mean, by_arm, by_reader = accuracy.mean(), accuracy.mean(1), accuracy.mean(0)
    ms_t = r * ((by_arm - mean) ** 2).sum() / (t - 1)
    ms_tr = ((accuracy - by_arm[:, None] - by_reader + mean) ** 2).sum() / ((t - 1) * (r - 1))
    denominator = ms_tr + max(r * (cov2 - cov3), 0)
    ddf = denominator**2 / (ms_tr**2 / ((t - 1) * (r - 1)))
    return ms_t / denominator, ddf, np.sqrt(2 / r * denominator)


@pytest.mark.parametrize("seed", range(6))
def test_as_by_the_published_formulas(seed: int) -> None:
    arms = correctness(seed, training=(0.0, 0.3)[seed % 2])
    f, ddf, error = by_the_published_formulas(*arms)
    effect = compare_arms(*arms)
    assert (effect.difference / effect.standard_error) ** 2 == pytest.approx(f)
    assert effect.hillis_df == pytest.approx(ddf)
    assert effect.standard_error == pytest.approx(error)
    assert effect.df == 3


def test_one_repeat_is_the_paired_t_test_over_images() -> None:
    treated, control, _ = correctness(0, repeats=1)
    effect = compare_arms(treated, control, np.arange(40))
    expected = stats.ttest_rel(treated.mean(1)[0], control.mean(1)[0])
    assert effect.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert effect.interval == pytest.approx((interval.low, interval.high))


def test_without_variance_between_images_it_is_the_paired_t_test_over_repeats() -> None:
    """Every image of a repeat has the same difference: leaving one out changes nothing."""
    rng = np.random.default_rng(1)
    control = np.repeat(rng.uniform(0.5, 0.7, (6, 1, 1)), 30, axis=2)
    treated = np.repeat(rng.uniform(0.5, 0.7, (6, 1, 1)), 30, axis=2)
    effect = compare_arms(treated, control, np.arange(30))
    expected = stats.ttest_rel(treated[:, 0, 0], control[:, 0, 0])
    assert effect.p == pytest.approx(expected.pvalue)
    assert effect.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert effect.p_equivalence(0.1) == pytest.approx(ttost_paired(treated[:, 0, 0], control[:, 0, 0], -0.1, 0.1)[0])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_the_order_of_repeats_folds_images_and_clusters_changes_nothing(seed: int, data: st.DataObject) -> None:
    treated, control, clusters = correctness(seed)
    j, f, k = (data.draw(st.permutations(range(size))) for size in treated.shape)
    shuffled = compare_arms(treated[j][:, f][..., k], control[j][:, f][..., k], 7 - 3 * clusters[k])
    effect = compare_arms(treated, control, clusters)
    assert sorted(shuffled.by_repeat) == pytest.approx(sorted(effect.by_repeat))
    for name in ("difference", "standard_error", "df", "clusters", "only_treated", "only_control"):
        assert getattr(shuffled, name) == pytest.approx(getattr(effect, name))
    swapped = compare_arms(control, treated, clusters)
    assert (swapped.difference, swapped.p) == pytest.approx((-effect.difference, effect.p))


def test_copies_of_test_images_are_no_evidence() -> None:
    """Trap: with every image three times, an analysis by image finds its error divided by the root of three."""
    treated, control, _ = correctness(3)
    once = compare_arms(treated, control, np.arange(40))
    thrice = [np.tile(arm, 3) for arm in (treated, control)]
    together, apart = compare_arms(*thrice, np.tile(np.arange(40), 3)), compare_arms(*thrice, np.arange(120))
    assert (together.images, together.clusters) == (120, once.clusters)
    for name in ("difference", "standard_error", "df", "only_treated", "only_control"):
        assert getattr(together, name) == pytest.approx(getattr(once, name))
    assert apart.variances is not None
    assert once.variances is not None
    assert apart.variances.own / apart.clusters == pytest.approx(once.variances.own / once.clusters / 3, rel=0.05)


def test_several_splits_are_repeats_over_the_union_of_their_images() -> None:
    treated, control, clusters = correctness(5)
    tested = np.zeros((4, 40), dtype=bool)
    tested[:2, :25] = tested[2:, 15:] = True
    for arm in (treated, control):
        arm[np.broadcast_to(~tested[:, None], arm.shape)] = np.nan
    effect = compare_arms(treated, control, clusters)
    score = treated.mean(1) - control.mean(1)
    assert effect.by_repeat == pytest.approx(np.nanmean(score, axis=1))
    left_out = np.array([np.nanmean(score[:, clusters != c], axis=1) for c in np.unique(clusters)])
    covariance = (len(left_out) - 1) * np.cov(left_out.T, ddof=0)
    assert (effect.images, effect.images_by_repeat, effect.images_each) == (40, (25,) * 4, 25)
    again = effect_of(np.nanmean(score, axis=1), covariance, 40, len(left_out))
    assert (effect.standard_error, effect.hillis_df) == pytest.approx((again.standard_error, again.hillis_df))


def test_repeats_that_happen_to_differ_by_the_same_amount_are_not_taken_for_certain() -> None:
    """Trap: two repeats won other images, three each, so the variance between repeats is 0."""
    treated, control = np.zeros((2, 2, 1, 40))
    treated[0, 0, :3] = treated[1, 0, 3:6] = 1
    effect = compare_arms(treated, control, np.arange(40))
    assert effect.by_repeat == pytest.approx([0.075, 0.075]) and effect.variances is not None
    within = np.var((treated - control)[:, 0], axis=1, ddof=1).mean() / 40
    shared = np.cov(*(treated - control)[:, 0])[0, 1] / 40
    assert shared < 0, "images that one repeat wins are not won by the other"
    assert effect.standard_error == pytest.approx(np.sqrt((within - shared) / 2))
    assert effect.standard_error == pytest.approx(effect.variances.standard_error(2, 40))
    assert effect.p is not None and effect.interval[0] < 0


def test_few_test_images_give_no_false_effects_and_no_interval_without_width() -> None:
    """With 20 images and two repeats of equally good arms, 5 % of studies have repeats that differ equally."""
    outside = false = equal = 0
    studies = 600
    for seed in range(studies):
        treated, control, _ = correctness(seed, repeats=2, images=20, training=0.0)
        effect = compare_arms(treated[:, :1], control[:, :1], np.arange(20))
        low, high = effect.interval
        assert high > low or not (treated[:, :1] - control[:, :1]).any()
        equal += bool(effect.difference) and np.ptp(effect.by_repeat) < 1e-12
        outside += not low <= 0 <= high
        false += effect.p is not None and effect.p < 0.05
    assert equal > 0.02 * studies and outside <= 0.05 * studies and false <= 0.05 * studies


def test_arms_that_do_not_pair_are_refused() -> None:
    treated, control, clusters = correctness(0)
    with pytest.raises(DataError, match="do not pair"):
        compare_arms(treated[:3], control, clusters)
    treated[0, :, 3] = np.nan
    with pytest.raises(DataError, match="same images"):
        compare_arms(treated, control, clusters)
    with pytest.raises(DataError, match="fewer than two clusters"):
        compare_arms(control, control, np.zeros(40, dtype=int))


@pytest.mark.parametrize("primary", [None, 2])
def test_holm_is_the_closed_test_of_weighted_bonferroni(primary: int | None) -> None:
    """A hypothesis falls when every intersection that contains it does; an undefined one has p = 1 and counts."""
    rng = np.random.default_rng(4)
    weights = np.ones(4)
    if primary is not None:
        weights[primary] = 3
    for _ in range(50):
        p: list[float | None] = list(rng.uniform(0, 0.1, 4))
        p[3] = None
        values = np.array([1.0 if one is None else one for one in p])
        subsets = [np.array(s) for size in range(1, 5) for s in itertools.combinations(range(4), size)]

        def intersection(subset: np.ndarray, values: np.ndarray = values) -> float:
            return float(min(1.0, (values[subset] * weights[subset].sum() / weights[subset]).min()))

        closed = [max(intersection(s) for s in subsets if i in s) for i in range(3)]
        adjusted = holm(p, weights)
        assert adjusted[3] is None
        assert adjusted[:3] == pytest.approx(closed)
        if primary is None:
            assert adjusted[:3] == pytest.approx(tests.holm([*p[:3], 1.0])[:3])


def made(difference: float, between: float = 0.01, shared: float = 1e-5, repeats: int = 5) -> Effect:
    """An effect with the difference, the standard deviation between repeats and the covariance."""
    steps = stats.zscore(np.arange(repeats), ddof=1) if repeats > 1 else np.zeros(1)
    return effect_of(difference + between * steps, np.full((repeats, repeats), shared), images=280, clusters=250)


def test_verdicts_and_their_words() -> None:
    effects = [made(0.09), made(-0.09), made(0.001, 0.004, 1e-6), made(0.02, 0.03), made(0.5, repeats=1)]
    findings = judge(effects)
    assert [finding.verdict for finding in findings] == ["helped", "hurt", "equivalent", "undecided", "undecided"]
    sentences = [finding.sentence() for finding in findings]
    assert sentences[0].startswith("helped: +9.0 points (95 % interval +7.")
    assert sentences[2].startswith("no more than ± 2 points: +0.1 points")
    assert "this study could have shown" in sentences[3]
    assert f"{findings[3].repeats_needed} repeats would show 3 points" in sentences[3]
    assert "for these trained classifiers alone" in sentences[4]
    assert findings[4].p_adjusted is None
    assert effects[4].p is not None
    assert effects[4].p < 1e-6
    assert judge([made(0.001, 0.004, 1e-6)], margin=0.001)[0].verdict == "undecided"


def test_failed_comparisons_make_the_others_no_easier() -> None:
    effect, failed = made(0.03, 0.012), made(0.0, repeats=1)
    assert judge([effect])[0].verdict == "helped"
    assert judge([effect, *[failed] * 20])[0].verdict == "undecided"
    assert judge([effect, *[failed] * 20], primary=0)[0].verdict == "helped"
    assert judge([effect, *[failed] * 20], primary=0)[0].alpha == pytest.approx(0.025)
    (alone,) = judge([effect], missing=20)
    assert alone == judge([effect, *[failed] * 20])[0]


def test_predictions_without_any_difference_are_undefined() -> None:
    _, control, clusters = correctness(0)
    (finding,) = judge([compare_arms(control, control, clusters)])
    assert (finding.effect.p, finding.p_adjusted, finding.verdict) == (None, None, "undecided")


def test_the_detectable_difference_is_that_of_a_paired_t_test() -> None:
    for repeats, alpha in ((2, 0.05), (5, 0.05), (5, 0.05 / 9), (20, 0.01)):
        expected = TTestPower().solve_power(nobs=repeats, alpha=alpha, power=0.8) * repeats**0.5
        assert mrmc.detectable_in_errors(repeats - 1, alpha) == pytest.approx(expected, rel=0.01)


def test_what_a_study_can_show_before_it_begins() -> None:
    """Five repeats and 280 images: sqrt((0.01^2 + 0.011^2) / 5 + 0.002^2) = 0.69 points, times 3.76."""
    assert mrmc.LINEAR_HEADS.standard_error(5, 280) == pytest.approx(0.00694, abs=1e-5)
    assert mrmc.LINEAR_HEADS.detectable(5, 280) == pytest.approx(0.0261, abs=1e-4)


def test_what_is_needed_is_the_least_that_shows_three_points() -> None:
    finding = judge([made(0.0, 0.03, 1e-5), made(0.0, 0.001, 4e-4)])
    variances, alpha = finding[0].effect.variances, finding[0].alpha
    assert variances is not None
    needed = finding[0].repeats_needed
    assert needed is not None
    assert variances.detectable(needed, 250, alpha) <= 0.03 < variances.detectable(needed - 1, 250, alpha)
    assert finding[0].images_needed is None  # trainings differ too much for any number of images
    assert finding[1].repeats_needed is None  # images do: no number of repeats is enough
    images = finding[1].images_needed
    assert images is not None
    assert finding[1].effect.variances is not None
    assert finding[1].effect.variances.detectable(5, images * 250 / 280, alpha) <= 0.03
    assert f"{images} test images would show 3 points" in finding[1].sentence()
    (enough,) = judge([made(0.012, 0.012, 1e-6)])
    assert enough.verdict == "undecided"
    assert enough.sentence().endswith("this study could have shown 2.1 points")


def test_of_splits_the_need_is_splits_and_test_images_of_each() -> None:
    """Trap: seeds within a split add no reader, and all splits together have more test images than a user can set."""
    effect = made(0.0, 0.001, 4e-4)
    (whole,) = judge([effect])
    (finding,) = judge([dataclasses.replace(effect, images_by_repeat=(140,) * 5)])
    assert whole.images_needed is not None and finding.images_needed == -(-whole.images_needed // 2)
    assert f"{finding.images_needed} test images in each split would show 3 points" in finding.sentence("split")
    (many,) = judge([made(0.0, 0.03, 1e-5)])
    assert f"{many.repeats_needed} splits would show 3 points" in many.sentence("split")
    assert "repeat" not in many.sentence("split")


def test_the_parts_of_the_variance_predict_another_study() -> None:
    """Planned from few repeats and images, the standard error of more is met on average."""
    planned, met = [], []
    for seed in range(60):
        treated, control, clusters = correctness(seed, repeats=6, images=60)
        effect = compare_arms(treated, control, clusters)
        assert effect.variances is not None
        planned.append(effect.variances.standard_error(12, 120 * effect.clusters / 60) ** 2)
        met.append(compare_arms(*correctness(seed, repeats=12, images=120)).standard_error ** 2)
    assert np.mean(planned) == pytest.approx(np.mean(met), rel=0.15)


def test_the_probability_of_a_false_claim_is_that_of_the_dirichlet_posterior() -> None:
    effect = dataclasses.replace(made(0.01), only_treated=17.0, only_control=11.0)
    draws = np.random.default_rng(0).dirichlet([18, 12, 254], 200_000)
    assert effect.false_claim == pytest.approx((draws[:, 0] <= draws[:, 1]).mean(), abs=0.003)
    assert dataclasses.replace(effect, only_treated=11.0, only_control=17.0).false_claim == effect.false_claim
    assert dataclasses.replace(effect, only_treated=9.0, only_control=9.0).false_claim == pytest.approx(0.5)
    treated, control, clusters = correctness(2)
    counted = compare_arms(treated, control, clusters)
    scale = len(np.unique(clusters)) / 40 / 12
    assert counted.only_treated == pytest.approx(((treated == 1) & (control == 0)).sum() * scale)
    assert counted.only_control == pytest.approx(((treated == 0) & (control == 1)).sum() * scale)


def test_trainings_that_differ_give_no_false_effects() -> None:
    """Traps: images as the unit, with one repeat's trainings fixed; and Hillis' degrees of freedom with few repeats."""
    false = {"repeats": 0, "hillis": 0, "fixed": 0}
    studies = 400
    for seed in range(studies):
        treated, control, clusters = correctness(seed, repeats=3, images=100)
        effect = compare_arms(treated, control, clusters)
        fixed = compare_arms(treated[:1], control[:1], clusters)
        for name, one in (("repeats", effect), ("hillis", with_hillis(effect)), ("fixed", fixed)):
            false[name] += one.p is not None and one.p < 0.05
    assert false["repeats"] <= 0.06 * studies
    assert false["hillis"] > false["repeats"]
    assert false["fixed"] > 0.2 * studies
