"""The conditions of Karush, Kuhn and Tucker, solved: the least of a convex quadratic function within linear bounds.

    python docs/learn/kkt.py

Karush, "Minima of Functions of Several Variables with Inequalities as Side Constraints", 1939; Kuhn and Tucker,
"Nonlinear Programming", 1951. The method is the primal-dual interior point method of Boyd and Vandenberghe, "Convex
Optimization", 2004, section 11.7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Problem:
    """The least of `x P x / 2 + q x` where `G x <= h` and `A x = b`.

    Attributes:
        P: [n, n], symmetric, no eigenvalue below 0.
        q: [n].
        G: [inequalities, n].
        h: [inequalities].
        A: [equalities, n], its rows linearly independent; no rows where there are no equalities.
        b: [equalities].
    """

    P: np.ndarray
    q: np.ndarray
    G: np.ndarray
    h: np.ndarray
    A: np.ndarray
    b: np.ndarray

    def value(self, x: np.ndarray) -> float:
        return float(x @ self.P @ x / 2 + self.q @ x)


@dataclass(frozen=True)
class Solution:
    """A place and its multipliers.

    Attributes:
        x: [n].
        mu: [inequalities]: how much the least value would fall for each unit that `h` grows by; none below 0.
        lam: [equalities]: the same of `b`, of either sign.
    """

    x: np.ndarray
    mu: np.ndarray
    lam: np.ndarray


def conditions(problem: Problem, found: Solution) -> dict[str, float]:
    """By how much each of the four conditions is missed; all are 0 at a solution.

    Where the problem is convex they are enough: whoever meets them has the least value. They are necessary where some
    point lies strictly within all inequalities (Slater), or the bounds are linear, as here.
    """
    slack = problem.h - problem.G @ found.x
    return {
        "stationarity": _most(problem.P @ found.x + problem.q + problem.G.T @ found.mu + problem.A.T @ found.lam),
        "primal feasibility": max(_most(np.minimum(slack, 0)), _most(problem.A @ found.x - problem.b)),
        "dual feasibility": _most(np.minimum(found.mu, 0)),
        "complementary slackness": _most(found.mu * slack),
    }


def _most(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0))


def solve(problem: Problem, tolerance: float = 1e-9, steps: int = 100) -> Solution:
    """Newton's method on the conditions, of which the last, `mu slack = 0`, is softened to `mu slack = t`, t to 0.

    Raises:
        ValueError: The conditions are not met after so many steps: no point fits the bounds, or no value is the least.
    """
    count, equal = len(problem.h), len(problem.b)
    x = np.zeros(len(problem.q))
    slack = np.maximum(problem.h - problem.G @ x, 1.0)
    mu, lam = np.ones(count), np.zeros(equal)
    for _ in range(steps):
        # What is left of each condition. Slacks are variables of their own, so that x may begin outside the bounds.
        left = (
            problem.P @ x + problem.q + problem.G.T @ mu + problem.A.T @ lam,
            problem.G @ x + slack - problem.h,
            problem.A @ x - problem.b,
        )
        gap = float(mu @ slack) / max(count, 1)
        if max(map(_most, left)) < tolerance and gap < tolerance:
            return Solution(x, mu, lam)
        soft = mu * slack - 0.1 * gap
        # Slacks and mu are eliminated: two blocks of linear equations remain, for x and lam.
        matrix = np.block([
            [problem.P + problem.G.T * (mu / slack) @ problem.G, problem.A.T],
            [problem.A, np.zeros((equal, equal))],
        ])  # fmt: skip
        right = np.concatenate([-left[0] - problem.G.T @ ((mu * left[1] - soft) / slack), -left[2]])
        try:
            step = np.linalg.solve(matrix, right)
        except np.linalg.LinAlgError:
            break
        dx, dlam = step[: len(x)], step[len(x) :]
        dslack = -left[1] - problem.G @ dx
        dmu = -(soft + mu * dslack) / slack
        # As far as slacks and multipliers stay above 0, and a little less.
        values, moves = np.concatenate([slack, mu]), np.concatenate([dslack, dmu])
        falling = moves < 0
        length = min(1.0, 0.99 * np.min(-values[falling] / moves[falling], initial=np.inf))
        x, slack, mu, lam = x + length * dx, slack + length * dslack, mu + length * dmu, lam + length * dlam
    raise ValueError("The conditions cannot be met: the bounds leave no point, or there is no least value.")


def machine(points: np.ndarray, labels: np.ndarray) -> Problem:
    """The widest street between two kinds of points: a support vector machine, over x = (w, c).

    The least of `|w|^2 / 2` where `label (w point + c) >= 1` (Cortes and Vapnik, "Support-Vector Networks", 1995,
    equation 9 and following).

    Args:
        points: [n, features].
        labels: -1 or 1, [n].
    """
    features = points.shape[1]
    P = np.diag([1.0] * features + [0.0])
    G = -labels[:, None] * np.column_stack([points, np.ones(len(points))])
    return Problem(P, np.zeros(features + 1), G, -np.ones(len(points)), np.zeros((0, features + 1)), np.zeros(0))


def main() -> None:
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.normal(-1.5, 0.7, (20, 2)), rng.normal(1.5, 0.7, (20, 2))])
    labels = np.repeat([-1.0, 1.0], 20)
    problem = machine(points, labels)
    found = solve(problem)
    for name, missed in conditions(problem, found).items():
        print(f"{name}: missed by {missed:.1e}")
    w, c = found.x[:2], found.x[2]
    print(f"w = ({w[0]:.4f}, {w[1]:.4f}), c = {c:.4f}, street {2 / np.linalg.norm(w):.4f} wide")
    for index in np.flatnonzero(found.mu > 1e-6):
        x, y = points[index]
        print(f"held by ({x:.3f}, {y:.3f}) of kind {labels[index]:+.0f}, multiplier {found.mu[index]:.4f}")


if __name__ == "__main__":
    main()
