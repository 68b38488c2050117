"""Forecast of the server's score from suite scores, with an interval: an inference from few pairs, shown as what it is.

    model = Forecaster(own=[(suites_of_an_entry, 0.87), ...])
    model.predict(suites)          # {"score": .., "low": .., "high": .., "confidence": .8, ...}
    model.leave_one_out()          # how far it misses on the public pairs

The model is a line in log-odds, server = perturbed + corrections, fitted by ridge regression whose penalties are prior
standard deviations: a common offset, a slope, an offset for each source of pairs (every team perturbs its images in its
own way), and, once the team's own recorded scores are there, a weight for each suite beyond `stacked`: which
perturbations the hidden set seems to hold. With few pairs the penalties win, and the interval says so; it also holds how
few images the anchor's accuracy rests on. Not covered: the same of recorded entries, which all count alike, and the hidden
set changing between phases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t
from sklearn.linear_model import Ridge

from build.score.leaderboard.reported import CLEAN, COMPETITION, PAIRS, Pair
from build.score.metrics import Z

CONFIDENCE = 0.8
ANCHOR = "stacked"
"""The suite that stands where a public pair has its perturbed accuracy."""
OTHERS = ("held-out", "basic", "microscopy", "imagenet-c", "geometry", "laboratory", "surroundings")
"""Suites whose difference from the anchor may explain what the anchor leaves open."""
OWN_SOURCE = "own"
CLIP = (0.02, 0.995)
"""Accuracies are kept within these, so that a log-odds stays finite."""
OFFSET, WEIGHT = 0.5, 0.2
"""Prior standard deviations, in log-odds, of the common offset and of a suite's weight."""
TRUSTED = 0.5
"""How far below all public pairs, in log-odds, the line is still followed."""
EXTRAPOLATED = 1.25
"""How much wider the interval is below all public pairs."""
GRID = tuple(product((0.2, 0.3, 0.4, 0.55), (0.15, 0.3, 0.5, 0.8), (0.1, 0.25, 0.5, 0.8)))
"""Candidates for (noise, source offset, slope), standard deviations in log-odds.

The public pairs choose by their likelihood.
"""


@dataclass(frozen=True)
class Point:
    """One pair in log-odds: anchor and server, the source it comes from, suites' differences from the anchor."""

    x: float
    y: float
    source: str
    differences: tuple[float, ...]


def log_odds(share: float) -> float:
    """Log-odds of a share, clipped."""
    return float(logit(np.clip(share, *CLIP)))


def public_point(pair: Pair) -> Point:
    """A public pair; its suites beyond the perturbed accuracy are not known and count as no difference."""
    return Point(log_odds(pair.perturbed), log_odds(pair.server), pair.repository, (0.0,) * len(OTHERS))


def own_point(suites: Mapping[str, float], server: float = 0.5, usual: Mapping[str, float] | None = None) -> Point:
    """An entry of this store. usual: suite -> the mean difference of the entries with a record.

    Differences are counted from the usual one, so that a suite that an entry was not judged on says nothing; one that no record speaks
    of says nothing either, as nothing is known of its weight.
    """
    x, usual = log_odds(suites[ANCHOR]), usual or {}
    known = {name: log_odds(suites[name]) - x - usual[name] for name in OTHERS if name in suites and name in usual}
    return Point(x, log_odds(server), OWN_SOURCE, tuple(known.get(name, 0.0) for name in OTHERS))


def bounds_of(suites: Mapping[str, Mapping]) -> tuple[float, float] | None:
    """The 95 % interval of the accuracy on the anchor, of suites as a scorecard or an entry has them; None without it."""
    return (suites[ANCHOR]["low"], suites[ANCHOR]["high"]) if ANCHOR in suites else None


def usual_differences(own: Sequence[tuple[Mapping[str, float], float]]) -> dict[str, float]:
    """Suite beyond the anchor -> the mean difference in log-odds from it, over the entries that were judged on it."""
    found = {}
    for name in OTHERS:
        gaps = [log_odds(suites[name]) - log_odds(suites[ANCHOR]) for suites, _ in own if name in suites]
        if gaps:
            found[name] = float(np.mean(gaps))
    return found


def why_not(card: Mapping) -> str:
    """Why nothing is forecast from a scorecard, to follow "No forecast of the server's score: "; empty where something is."""
    if card.get("synthetic"):
        return "synthetic cells say nothing about real ones."
    if seen := card["submission"].get("seen"):
        return f"the zip was trained on {seen:,} of these cells."
    if card.get("competition") not in (None, "", COMPETITION):
        return "the public scores that it would learn from are of another competition."
    if ANCHOR not in card["suites"]:
        return f"the zip was not judged on the suite {ANCHOR}; name it too (--suites)."
    return ""


class Forecaster:
    """The fitted forecast; see the module."""

    def __init__(self, own: Sequence[tuple[Mapping[str, float], float]] = (), pairs: Sequence[Pair] = PAIRS):
        """own: (suite -> accuracy, the server's score); entries without the suite `stacked` are passed over."""
        self.pairs = tuple(pairs)
        self.own = tuple((dict(suites), server) for suites, server in own if ANCHOR in suites)
        points = [public_point(pair) for pair in self.pairs]
        self.middle = float(np.mean([point.x for point in points]))
        self.lowest = min(point.x for point in points)
        self.floor = self.lowest - TRUSTED
        self.noise, self.source_spread, self.slope_spread = max(GRID, key=lambda s: self._likelihood(points, s))
        self.usual = usual_differences(self.own)
        self.points = points + [own_point(suites, server, self.usual) for suites, server in self.own]
        self.sources = tuple(dict.fromkeys((*(point.source for point in self.points), OWN_SOURCE)))
        self._fit()

    def _design(
        self, points: Sequence[Point], sources: Sequence[str], spreads: tuple[float, float, float]
    ) -> np.ndarray:
        """Columns offset, slope, sources, weights, each times its prior standard deviation."""
        _, source_spread, slope_spread = spreads
        return np.array(
            [
                # Far below all pairs nothing is known of the slope: a zip that knows nothing locally knows nothing there either.
                [OFFSET, slope_spread * (max(point.x, self.floor) - self.middle)]
                + [source_spread * (point.source == source) for source in sources]
                + [WEIGHT * difference for difference in point.differences]
                for point in points
            ]
        )

    def _likelihood(self, points: Sequence[Point], spreads: tuple[float, float, float]) -> float:
        """Log marginal likelihood of the pairs under these spreads, up to a constant."""
        sources = sorted({point.source for point in points})
        design = self._design(points, sources, spreads)
        covariance = design @ design.T + spreads[0] ** 2 * np.eye(len(points))
        rest = np.array([point.y - point.x for point in points])
        _, determinant = np.linalg.slogdet(covariance)
        return float(-0.5 * (rest @ np.linalg.solve(covariance, rest) + determinant))

    def _fit(self) -> None:
        spreads = (self.noise, self.source_spread, self.slope_spread)
        design = self._design(self.points, self.sources, spreads)
        rest = np.array([point.y - point.x for point in self.points])
        self.ridge = Ridge(alpha=self.noise**2, fit_intercept=False).fit(design, rest)
        precision = design.T @ design / self.noise**2 + np.eye(design.shape[1])
        self.covariance = np.linalg.inv(precision)

    def _predict(self, point: Point) -> tuple[float, float]:
        """Mean and standard deviation of the server's log-odds."""
        row = self._design([point], self.sources, (self.noise, self.source_spread, self.slope_spread))
        mean = point.x + float(self.ridge.predict(row)[0])
        return mean, float(np.sqrt(self.noise**2 + (row @ self.covariance @ row.T).item()))

    def _reach(self, deviation: float) -> float:
        """Half of an interval in log-odds."""
        # Few pairs estimate the noise: Student's t with their number less the offset, the slope and the noise itself.
        return float(t.ppf(0.5 + CONFIDENCE / 2, max(2, len(self.points) - 3))) * deviation

    def _sampled(self, x: float, bounds: tuple[float, float]) -> float:
        """What the 95 % interval `bounds` of an anchor's accuracy adds to the standard deviation of the server's log-odds."""
        low, high = map(log_odds, bounds)
        slope = self.slope_spread * float(self.ridge.coef_[1]) if x > self.floor else 0.0
        return (1 + slope) * (high - low) / (2 * Z)

    def predict(self, suites: Mapping[str, float], bounds: tuple[float, float] | None = None) -> dict | None:
        """Forecast for one entry's suite accuracies: score, low, high, and a sentence.

        bounds: the 95 % interval of the accuracy on `stacked` (`bounds_of`); the fewer images it rests on, the wider the forecast's
        own. None without the suite `stacked`.
        """
        if ANCHOR not in suites:
            return None
        mean, deviation = self._predict(own_point(suites, usual=self.usual))
        x = own_point(suites).x
        below = x < self.lowest
        deviation = float(np.hypot(deviation, self._sampled(x, bounds) if bounds else 0.0))
        reach = self._reach(deviation) * (EXTRAPOLATED if below else 1)
        lowest = f" It lies below all public pairs (from {expit(self.lowest):.2f} on): a guess." if below else ""
        error, what = self.error()
        pairs = f"{len(self.pairs)} public pairs" + (f" and {len(self.own)} of your own" if self.own else "")
        return {
            "score": float(expit(mean)),
            "low": float(expit(mean - reach)),
            "high": float(expit(mean + reach)),
            "confidence": CONFIDENCE,
            "pairs": len(self.points),
            "own_pairs": len(self.own),
            "sentence": (
                f"Forecast from {pairs} of a local perturbed score and the server's; mean absolute error {100 * error:.1f} points on "
                f"{what}. An inference about a set that nobody here has seen.{lowest}"
            ),
        }

    def error(self) -> tuple[float, str]:
        """Mean absolute error, a share, and of what: a team without records of its own is in the position of one left out as a whole.

        With records it is the larger one of the public pairs' and its own, each left out one by one.
        """
        errors = self.leave_one_out()
        if not self.own:
            return errors["new_source"], "public pairs, each forecast without its team's"
        known = errors["mean_absolute_error"], "public pairs, each forecast without itself"
        return max(known, (self._own_error, "your own records, each forecast without itself"))

    @cached_property
    def _own_error(self) -> float:
        """Mean absolute error of the forecasts of the own pairs, each from the others."""
        misses = []
        for index, (suites, server) in enumerate(self.own):
            model = Forecaster([*self.own[:index], *self.own[index + 1 :]], self.pairs)
            misses.append(abs(expit(model._predict(own_point(suites, usual=model.usual))[0]) - server))
        return float(np.mean(misses))

    def leave_one_out(self) -> dict:
        """Errors on the public pairs, in shares, each pair forecast from the others.

        mean_absolute_error: one pair left out. new_source: all pairs of its source left out, which is the position of a
        team without records. identity: the perturbed accuracy taken as the forecast. clean: a line through clean
        accuracies, left out one by one. covered: pairs that lie within the interval when left out.
        """
        if not hasattr(self, "_errors"):
            single, source, inside = [], [], 0
            for index, pair in enumerate(self.pairs):
                rest = [other for i, other in enumerate(self.pairs) if i != index]
                strangers = [other for other in self.pairs if other.repository != pair.repository]
                single.append(self._miss(pair, rest)[0])
                error, low, high = self._miss(pair, strangers)
                source.append(error)
                inside += low <= pair.server <= high
            self._errors = {
                "mean_absolute_error": float(np.mean(np.abs(single))),
                "new_source": float(np.mean(np.abs(source))),
                "identity": float(np.mean([abs(pair.perturbed - pair.server) for pair in self.pairs])),
                "clean": clean_error(),
                "covered": inside,
                "pairs": len(self.pairs),
            }
        return self._errors

    @staticmethod
    def _miss(pair: Pair, others: Sequence[Pair]) -> tuple[float, float, float]:
        """Forecast minus truth of one pair from others, and the interval."""
        model = Forecaster(pairs=others)
        point = public_point(pair)
        if point.source not in model.sources:
            point = Point(point.x, point.y, OWN_SOURCE, point.differences)
        mean, deviation = model._predict(point)
        reach = model._reach(deviation)
        return float(expit(mean)) - pair.server, float(expit(mean - reach)), float(expit(mean + reach))

    def weights(self) -> list[dict]:
        """What the own pairs say about the hidden set's perturbations.

        For each suite beyond `stacked`: the weight of its log-odds difference, its interval, and how much of the
        prior's spread the own pairs took away (0: they say nothing).
        """
        first = 2 + len(self.sources)
        rows = []
        for index, name in enumerate(OTHERS):
            mean = WEIGHT * float(self.ridge.coef_[first + index])
            deviation = WEIGHT * float(np.sqrt(self.covariance[first + index, first + index]))
            reach = self._reach(deviation)
            rows.append(
                {
                    "suite": name,
                    "weight": mean,
                    "low": mean - reach,
                    "high": mean + reach,
                    "learned": 1 - deviation / WEIGHT,
                }
            )
        return rows


def clean_error() -> float:
    """Mean absolute error of a least-squares line from clean log-odds to the server's, left out one by one."""
    x, y = (np.array([log_odds(value) for value in column]) for column in zip(*CLEAN, strict=True))
    truth = np.array([server for _, server in CLEAN])
    errors = []
    for index in range(len(x)):
        keep = np.arange(len(x)) != index
        slope, offset = np.polyfit(x[keep], y[keep], 1)
        errors.append(abs(float(expit(offset + slope * x[index])) - truth[index]))
    return float(np.mean(errors))


def report(model: Forecaster) -> list[str]:
    """The forecast's standing in a few sentences, for the terminal and the page."""
    errors = {name: f"{100 * value:.1f}" for name, value in model.leave_one_out().items()}
    covered, count = (model.leave_one_out()[name] for name in ("covered", "pairs"))
    lines = [
        f"Forecast: {count} public pairs; a left-out pair is missed by {errors['mean_absolute_error']} points, "
        f"or by {errors['new_source']} when all pairs of its team are left out ({covered} of {count} then lie in the "
        f"{CONFIDENCE:.0%} interval). Taking the perturbed accuracy itself misses by {errors['identity']}, "
        f"a line through clean accuracies by {errors['clean']}."
    ]
    if not model.own:
        lines.append(
            "No recorded scores of your own yet, so nothing is known about which suite resembles the hidden set; "
            "record some: `nox -s leaderboard -- --record ENTRY SCORE`."
        )
        return lines
    ranked = sorted(model.weights(), key=lambda row: -abs(row["weight"]))
    shown = ", ".join(
        f"{row['suite']} {row['weight']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})" for row in ranked
    )
    lines.append(
        f"From {len(model.own)} recorded score(s) of your own, weights of the suites beyond {ANCHOR} ({CONFIDENCE:.0%} "
        f"intervals): {shown}. An interval that holds 0 says nothing about what the hidden set is made of."
    )
    return lines
