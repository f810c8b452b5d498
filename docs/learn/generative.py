"""Generative models in one dimension: the bound of a VAE, the best critic of a GAN, and the way between two noises.

    python docs/learn/generative.py [--draw docs/images/learn/generative.png]

Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, arXiv:1312.6114; Goodfellow et al., "Generative
Adversarial Nets", NIPS 2014, arXiv:1406.2661; Arjovsky, Chintala, Bottou, "Wasserstein GAN", ICML 2017,
arXiv:1701.07875.
"""

from __future__ import annotations

import sys

import numpy as np


def divergence(mean: np.ndarray, deviation: np.ndarray) -> float:
    """Kullback and Leibler's, of a normal distribution from the standard one, in nats (Kingma, Welling, appendix B)."""
    return float(0.5 * np.sum(mean**2 + deviation**2 - 1 - 2 * np.log(deviation)))


def sampled(mean: np.ndarray, deviation: np.ndarray, count: int, rng: np.random.Generator) -> float:
    """The same as a mean over samples `z = mean + deviation * noise`, through which gradients can go."""
    noise = rng.normal(size=(count, len(mean)))
    z = mean + deviation * noise
    return float(np.mean(np.sum(0.5 * (z**2 - noise**2) - np.log(deviation), axis=1)))


LINE = np.linspace(-12, 12, 4801)


def density(mean: float) -> np.ndarray:
    """Of a normal distribution of deviation 1 at each place of the line."""
    return np.exp(-((LINE - mean) ** 2) / 2) / np.sqrt(2 * np.pi)


def critic(real: np.ndarray, drawn_: np.ndarray) -> np.ndarray:
    """The best discriminator: how probably what lies there is real (Goodfellow et al., proposition 1)."""
    return real / (real + drawn_)


def apart(real: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Two densities: Jensen and Shannon's divergence in nats, and Wasserstein's distance, the earth mover's."""
    step = LINE[1] - LINE[0]
    middle = (real + other) / 2
    shannon = sum(np.sum(each * np.log(np.maximum(each, 1e-300) / middle)) for each in (real, other)) * step / 2
    return float(shannon), float(np.abs(np.cumsum(real - other)).sum() * step**2)


def between(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """On the sphere from one noise to another (Shoemake, SIGGRAPH 1985)."""
    angle = np.arccos(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
    return (np.sin((1 - share) * angle) * one + np.sin(share * angle) * other) / np.sin(angle)


def drawn(path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 2.8), layout="constrained")
    for axes, mean in zip(figure.subplots(1, 2, sharey=True), (1.0, 6.0), strict=True):
        real, other = density(0.0), density(mean)
        axes.plot(LINE, real, label="real")
        axes.plot(LINE, other, label="drawn")
        axes.plot(LINE, critic(real, other), "k--", label="best critic")
        axes.set(xlim=(-4, 10), title=f"{mean:.0f} apart")
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> None:
    rng = np.random.default_rng(0)
    mean, deviation = np.array([0.5, -1.0]), np.array([0.8, 0.3])
    exact, drawn_ = divergence(mean, deviation), sampled(mean, deviation, 200_000, rng)
    print(f"divergence by the formula {exact:.3f}, of 200,000 samples {drawn_:.3f} nats")
    for far in (0.0, 1.0, 3.0, 6.0):
        shannon, moved = apart(density(0.0), density(far))
        at = critic(density(0.0), density(far))[np.searchsorted(LINE, far)]
        print(f"{far:.0f} apart: Jensen-Shannon {shannon:.3f}, Wasserstein {moved:.3f}, critic there {at:.6f}")
    one, other = rng.normal(size=(2, 100))
    lengths = np.linalg.norm((one + other) / 2), np.linalg.norm(between(one, other, 0.5))
    ends = f"{np.linalg.norm(one):.1f} and {np.linalg.norm(other):.1f}"
    print(f"noise {ends} long; half way straight {lengths[0]:.1f}, on the sphere {lengths[1]:.1f}")
    if arguments[:1] == ["--draw"]:
        drawn(arguments[1])


if __name__ == "__main__":
    main(sys.argv[1:])
