"""Transfer metrics as pure functions over arrays: rows are runs (seeds), columns are evaluation points.

`T` and `C` stand for a method's and its control's curves. Unless said otherwise curves are normalised returns
(`tlbench.analysis.curves.normalise`). Sources: Taylor and Stone, "Transfer Learning for Reinforcement Learning Domains:
A Survey" (JMLR 2009) for jumpstart, asymptotic gain, transfer ratio and time to threshold; Wolczyk et al., "Continual
World" (NeurIPS 2021) for forward transfer; Agarwal et al., "Deep RL at the Edge of the Statistical Precipice"
(NeurIPS 2021) for the interquartile mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tlbench.analysis.curves import BoolArray, FloatArray, normalise

__all__ = [
    "AUC_RANGE",
    "RATIO_CEILING",
    "RATIO_FLOOR",
    "asymptotic_gain",
    "auc",
    "contrast",
    "crossover",
    "depth",
    "forward_transfer",
    "interquartile_mean",
    "is_testable",
    "jumpstart",
    "negative_share",
    "normalise",
    "ratio_domain",
    "restricted_mean",
    "score",
    "share_reached",
    "speed_up",
    "time_to_threshold",
    "timestep_to_convergence",
    "transfer_gain",
    "transfer_ratio",
    "worse_than_control",
]

AUC_RANGE = (-1.0, 1.2)
"""Range that a run's AUC is clipped to, so that one run can't outweigh all others."""
RATIO_FLOOR = 0.05
"""Both arms' seed-mean AUC must be above this for ratios; a control must for a task to be testable."""
RATIO_CEILING = 0.95
"""The control's seed-mean AUC must be below this for ratios."""
ASYMPTOTE = 0.9
_GRID_TOLERANCE = 1e-9


def auc(g: npt.ArrayLike, fractions: npt.ArrayLike) -> FloatArray:
    """Area under the curve: trapezoid mean of normalised returns over nominal fractions, clipped to [-1, 1.2].

    The clip is applied to the mean of each run, not to single points: a curve that dips below -1 and recovers is
    judged by its average.

    Args:
        g: Normalised returns, ``[..., P]``.
        fractions: Nominal shares of the budget, ``[P]``.

    Returns:
        One AUC per run, ``[...]``.
    """
    x = np.asarray(fractions, dtype=np.float64)
    curve = np.asarray(g, dtype=np.float64)
    areas = (curve[..., 1:] + curve[..., :-1]) / 2 * np.diff(x)
    return np.asarray(np.clip(areas.sum(axis=-1) / (x[-1] - x[0]), *AUC_RANGE))


def jumpstart(g_method: npt.ArrayLike, g_control: npt.ArrayLike) -> FloatArray:
    """Jumpstart of each run: g(T(0)) - g(C(0)). Curves ``[R, P]``, result ``[R]``."""
    return np.asarray(g_method, dtype=np.float64)[..., 0] - np.asarray(g_control, dtype=np.float64)[..., 0]


def asymptotic_gain(g_method: npt.ArrayLike, g_control: npt.ArrayLike, fractions: npt.ArrayLike) -> FloatArray:
    """Asymptotic gain of each run: mean of g(T) - g(C) over points at fractions above 0.9.

    Args:
        g_method: Normalised returns, ``[R, P]``.
        g_control: Normalised returns, ``[R, P]``.
        fractions: Nominal shares of the budget, ``[P]``, ending at 1.

    Returns:
        One difference per run, ``[R]``.
    """
    late = np.asarray(fractions, dtype=np.float64) > ASYMPTOTE + _GRID_TOLERANCE
    difference = np.asarray(g_method, dtype=np.float64) - np.asarray(g_control, dtype=np.float64)
    return np.asarray(difference[..., late].mean(axis=-1))


def interquartile_mean(values: npt.ArrayLike) -> float:
    """Mean of the middle half: the floor(n / 4) lowest and highest values are left out (rliable's 25 % trimming)."""
    x = np.sort(np.asarray(values, dtype=np.float64), axis=None)
    cut = x.size // 4
    return float(x[cut : x.size - cut].mean())


def score(aucs: list[FloatArray]) -> float:
    """Score in points: 100 x mean over tasks of the interquartile mean over seeds of AUC_T.

    Args:
        aucs: The method's AUCs of each scored task, each ``[R_task]``.
    """
    return 100 * float(np.mean([interquartile_mean(task) for task in aucs]))


def transfer_gain(method: list[FloatArray], control: list[FloatArray]) -> float:
    """Transfer gain in points: 100 x mean over tasks of the untrimmed mean paired difference AUC_T - AUC_C.

    Args:
        method: The method's AUCs of each scored task other than ``self`` tasks, each ``[R_task]``.
        control: The control's AUCs with the same seeds, each ``[R_task]``.
    """
    return 100 * float(np.mean([np.mean(t - c) for t, c in zip(method, control, strict=True)]))


def depth(mean_differences: npt.ArrayLike) -> float:
    """Depth of negative transfer in points: 100 x mean over tasks of min(0, mean paired difference); at most 0."""
    return 100 * float(np.minimum(0, np.asarray(mean_differences, dtype=np.float64)).mean())


def ratio_domain(auc_method: float, auc_control: float) -> bool:
    """Whether ratios are shown: both seed-mean AUCs above 0.05 and the control's below 0.95."""
    return auc_method > RATIO_FLOOR and RATIO_FLOOR < auc_control < RATIO_CEILING


def _signed_quotient(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> FloatArray:
    """Quotient; where the denominator is not positive, the infinity of the numerator's sign (0 for 0)."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    out = np.where(top == 0, 0.0, np.copysign(np.inf, top))
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out


def transfer_ratio(auc_method: npt.ArrayLike, auc_control: npt.ArrayLike) -> FloatArray:
    """Transfer ratio AUC_T / AUC_C of seed-mean AUCs (1: no effect). A control at or below 0 gives an infinity."""
    return _signed_quotient(auc_method, auc_control)


def contrast(auc_method: npt.ArrayLike, auc_control: npt.ArrayLike) -> FloatArray:
    """Contrast (AUC_T - AUC_C) / (AUC_T + AUC_C) of seed-mean AUCs: 0 is no effect, +-1 the limits of the domain."""
    method, control = np.asarray(auc_method, dtype=np.float64), np.asarray(auc_control, dtype=np.float64)
    return _signed_quotient(method - control, method + control)


def forward_transfer(auc_method: npt.ArrayLike, auc_control: npt.ArrayLike) -> FloatArray:
    """Forward transfer (AUC_T - AUC_C) / (1 - AUC_C) of seed-mean AUCs: the share of the head-room that was gained."""
    method, control = np.asarray(auc_method, dtype=np.float64), np.asarray(auc_control, dtype=np.float64)
    return _signed_quotient(method - control, 1 - control)


def time_to_threshold(
    returns: npt.ArrayLike, fractions: npt.ArrayLike, threshold: float, window: int = 3
) -> tuple[FloatArray, BoolArray]:
    """Fraction of the budget at which each run first holds the threshold.

    It is the fraction at the last of the first `window` consecutive points whose mean is at or above the threshold; a
    run that never gets there is censored at 1. A run that starts above it has the fraction of point `window - 1`.

    Args:
        returns: Returns in the threshold's units, ``[R, P]``.
        fractions: Nominal shares of the budget, ``[P]``.
        threshold: Return that counts as solved.
        window: Number of consecutive points that are averaged.

    Returns:
        Times ``[R]`` in shares of the budget, and whether the threshold was reached, ``[R]``.
    """
    curve = np.asarray(returns, dtype=np.float64)
    x = np.asarray(fractions, dtype=np.float64)
    means = np.lib.stride_tricks.sliding_window_view(curve, window, axis=-1).mean(axis=-1)
    above = means >= threshold
    reached = np.asarray(above.any(axis=-1))
    times = np.where(reached, x[window - 1 :][above.argmax(axis=-1)], 1.0)
    return times, reached


def restricted_mean(times: npt.ArrayLike) -> float:
    """Restricted mean time to threshold (restricted to the budget): mean of times censored at 1, over seeds."""
    return float(np.mean(np.asarray(times, dtype=np.float64)))


def share_reached(reached: npt.ArrayLike) -> float:
    """Share of seeds that reached the threshold within the budget."""
    return float(np.mean(np.asarray(reached, dtype=np.float64)))


def speed_up(restricted_method: npt.ArrayLike, restricted_control: npt.ArrayLike) -> FloatArray:
    """Speed-up: the control's restricted mean time over the method's (above 1: the method is faster).

    Where both are there before the first sample, which needs a smoothing window of 1, it is 1.
    """
    control, method = (np.asarray(x, dtype=np.float64) for x in (restricted_control, restricted_method))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((control == 0) & (method == 0), 1.0, control / method)


def timestep_to_convergence(bins: npt.ArrayLike, max_return: float) -> float | None:
    """First moment at which every seed is at the highest return (the SPAM report's "timestep to convergence").

    It grows with the number of seeds, so it is shown with n and without an interval.

    Args:
        bins: Mean return of the training episodes that ended in each bin, ``[R, B]``; NaN (none ended) is not at it.
        max_return: Highest return that the task allows.

    Returns:
        Share of the budget at the end of that bin, or None if there is none.
    """
    values = np.asarray(bins, dtype=np.float64)
    tolerance = 1e-9 * max(1.0, abs(max_return))
    converged = np.flatnonzero((values >= max_return - tolerance).all(axis=0))
    return float(converged[0] + 1) / values.shape[1] if converged.size else None


def worse_than_control(differences: npt.ArrayLike) -> FloatArray:
    """1 for each run with AUC_T < AUC_C, half for a tie, else 0; paired differences ``[R]``, result ``[R]``."""
    d = np.asarray(differences, dtype=np.float64)
    return np.asarray((d < 0) + 0.5 * (d == 0), dtype=np.float64)


def negative_share(differences: npt.ArrayLike) -> float:
    """Paired share of seeds with AUC_T < AUC_C; ties count half.

    Args:
        differences: Paired differences AUC_T - AUC_C, ``[R]``.
    """
    return float(worse_than_control(differences).mean())


def is_testable(control_auc_low: float | None) -> bool:
    """Whether a task can show negative transfer: the control's seed-mean AUC is above 0.05 with its whole interval.

    Args:
        control_auc_low: Lower end of the interval; None (one seed has no interval) is not testable.
    """
    return control_auc_low is not None and control_auc_low > RATIO_FLOOR


def crossover(method: npt.ArrayLike, control: npt.ArrayLike, fractions: npt.ArrayLike, window: int = 3) -> float | None:
    """Last fraction after which the smoothed seed-mean control curve stays at or above the method's.

    Smoothing is the mean of the points within ``window // 2`` on either side, fewer at the ends. The DQN layer-copying
    report calls it "ahead until 80 %".

    Args:
        method: Returns, ``[R, P]``.
        control: Returns in the same units, ``[R, P]``.
        fractions: Nominal shares of the budget, ``[P]``.
        window: Width of the smoothing.

    Returns:
        The last fraction at which the method is ahead (1 if it is ahead at the end), None if it never is.
    """
    difference = np.asarray(method, dtype=np.float64).mean(axis=0) - np.asarray(control, dtype=np.float64).mean(axis=0)
    half = window // 2
    kernel = np.ones(2 * half + 1)
    weights = np.convolve(np.ones_like(difference), kernel)[half : half + difference.size]
    smoothed = np.convolve(difference, kernel)[half : half + difference.size] / weights
    noise = 1e-12 * max(1.0, float(np.abs(difference).max()))
    ahead = np.flatnonzero(smoothed > noise)
    return float(np.asarray(fractions, dtype=np.float64)[ahead[-1]]) if ahead.size else None
