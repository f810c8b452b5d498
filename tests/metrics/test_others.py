"""The lower bound, nodes, separated sounds, embeddings, and boxes."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.codecs import audio
from kerazoo.errors import InputError, UsageError
from kerazoo.evaluation import evaluate
from kerazoo.metrics import detect, embed, sample, separate
from kerazoo.predictor import Predictor
from kerazoo.tasks.nodes import Nodes
from kerazoo.tasks.sample import Sample
from kerazoo.tasks.separate import Stems
from tests.metrics.stubs import folder, png, predictor

# --- the lower bound --------------------------------------------------------------------------------------------------


def test_the_bound_by_hand() -> None:
    assert sample.bernoulli(np.array([[1.0, 0.0]]), np.zeros((1, 2)))[0] == pytest.approx(2 * np.log(2))
    assert sample.divergence(np.zeros((1, 3)), np.zeros((1, 3)))[0] == 0
    assert sample.divergence(np.array([[2.0]]), np.array([[np.log(4.0)]]))[0] == pytest.approx(
        0.5 * (4 + 4 - 1 - np.log(4))
    )


class Layer:
    def __init__(self, name: str, run: Any) -> None:
        self.name, self.run = name, run

    def __call__(self, array: Any, training: bool) -> Any:
        assert not training
        return self.run(array)


def auto_encoder() -> Predictor:
    """Nothing is told by its latents, and every pixel is as likely black as white."""
    layers = [
        Layer("encoder", lambda x: [np.zeros((len(x), 2)), np.zeros((len(x), 2)), np.zeros((len(x), 2))]),
        Layer("decoder", lambda z: np.zeros((len(z), 4, 5, 1), np.float32)),
    ]
    network: Any = SimpleNamespace(model=SimpleNamespace(layers=layers))
    return Predictor("vae", Sample(2, 4, 5), "keras", lambda request: request, network=network)


def test_a_model_that_knows_nothing_pays_one_bit_a_pixel(tmp_path: Path) -> None:
    data = folder(tmp_path, {"a.png": png(np.full((4, 5), 200)), "b.png": png(np.zeros((8, 9, 3))), "c.png": b"no"})
    said: list[str] = []
    report = evaluate(auto_encoder(), data, say=said.append)
    assert report.figures["negative lower bound"] == pytest.approx(20 * np.log(2)) and report.count == 2
    assert report.figures["negative lower bound, binarised"] == pytest.approx(20 * np.log(2))
    assert "c.png" in said[0]
    np.savez(tmp_path / "x.npz", x_test=np.zeros((3, 4, 5), np.uint8))
    assert evaluate(auto_encoder(), tmp_path / "x.npz").count == 3


def test_the_bound_needs_the_encoder(tmp_path: Path) -> None:
    model = auto_encoder()
    with pytest.raises(UsageError, match="--engine keras"):
        evaluate(Predictor("vae", model.task, "onnx", model.answer), folder(tmp_path, {"a.png": png(np.zeros((4, 5)))}))
    model.network.model.layers[0].name = "generator"  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="no layers encoder and decoder; it has generator, decoder"):
        evaluate(model, tmp_path)


# --- nodes ------------------------------------------------------------------------------------------------------------


def graph_model() -> Predictor:
    """A node's class is its largest feature."""
    return predictor(Nodes(("a", "b"), 2), network=lambda inputs: {"logits": 9 * inputs["features"]})


def test_nodes_that_are_held_out(tmp_path: Path) -> None:
    graph: dict[str, Any] = {
        "features": np.array([[1, 0], [0, 1], [1, 0], [0, 3]], np.float32), "edges": np.array([[0, 1]]),
        "labels": np.array([1, 1, 0, 0]),
    }  # fmt: skip
    np.savez(tmp_path / "x.npz", **graph, test_idx=np.array([1, 2, 3]))
    report = evaluate(graph_model(), tmp_path / "x.npz")
    assert report.figures["node accuracy"] == pytest.approx(200 / 3) and report.count == 3
    assert report.confusion is not None and report.confusion.tolist() == [[1, 1], [0, 1]]
    np.savez(tmp_path / "y.npz", **graph)
    assert evaluate(graph_model(), tmp_path / "y.npz").figures["node accuracy"] == 50
    np.savez(tmp_path / "z.npz", **{**graph, "labels": np.array([0, 1, 2, 0])})
    with pytest.raises(UsageError, match="labels holds the class 2; the model has 2"):
        evaluate(graph_model(), tmp_path / "z.npz")
    np.savez(tmp_path / "w.npz", **{**graph, "features": np.ones((4, 3), np.float32)})
    with pytest.raises(InputError, match="has 2 features"):
        evaluate(graph_model(), tmp_path / "w.npz")
    with pytest.raises(UsageError, match="no .npz file of a graph"):
        evaluate(graph_model(), tmp_path)


# --- sounds -----------------------------------------------------------------------------------------------------------

RATE = 4000


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(int(RATE * seconds)) / RATE
    return (0.3 * np.sin(2 * np.pi * hertz * time) * (1 + np.sin(2 * np.pi * 3 * time))).astype(np.float32)[:, None]


class Splitting:
    """Gives low and high back with a little of the other."""

    kind, batched, stems = "separate", False, ("low", "high")

    def __init__(self, leak: float) -> None:
        self.leak = leak
        from kerazoo.contract import Port

        self.request = (Port("audio_bytes", "string", (1,), "audio"),)

    def answer(self, request: Any) -> Any:
        from kerazoo.ops.numpy import open_sound

        samples = open_sound(request["audio_bytes"][0])[0][:, 0]
        spectrum = np.fft.rfft(samples)
        low = spectrum.copy()
        low[len(spectrum) // 4 :] *= self.leak
        return {"low": np.fft.irfft(low, len(samples)), "high": np.fft.irfft(spectrum - low, len(samples))}

    def read(self, response: Any, row: int) -> Stems:
        sounds = (audio.encoded(response[stem].astype(np.float32)[:, None], RATE) for stem in self.stems)
        return Stems(self.stems, tuple(sounds))


def splitting(leak: float) -> Predictor:
    task: Any = Splitting(leak)
    return Predictor("splitting", task, "keras", task.answer)


def test_stems(tmp_path: Path) -> None:
    pytest.importorskip("mir_eval")
    files: dict[str, Any] = {
        "one/low.wav": audio.encoded(tone(200), RATE), "one/high.wav": audio.encoded(tone(900), RATE),
        "quiet/low.wav": audio.encoded(tone(200), RATE), "quiet/high.wav": audio.encoded(0 * tone(900), RATE),
        "other/low.wav": audio.encoded(tone(200), RATE),
    }  # fmt: skip
    said: list[str] = []
    report = evaluate(splitting(0.1), folder(tmp_path, files), say=said.append)
    assert report.count == 1 and "a stem is silent" in said[0]
    # A tenth of high is in low, and nothing of low is in high; a short sound flatters a little.
    assert report.classes["SIR"][0] == pytest.approx(20, abs=1) and report.classes["SIR"][1] > 40
    # Against the mixture, of which either stem is half: SDR about 0 dB.
    assert report.figures["NSDR"] == pytest.approx(report.figures["SDR"], abs=2)
    with pytest.raises(UsageError, match=r"low\.wav and high\.wav"):
        evaluate(splitting(0.1), tmp_path, only="other/*")


def test_ratios_of_known_noise() -> None:
    pytest.importorskip("mir_eval")
    rng = np.random.default_rng(0)
    truths = rng.normal(size=(2, 8000))
    found = separate.separation(truths, truths + 0.1 * truths[::-1])
    # A tenth of the other: 20 dB of interference, and nothing else; a short sound flatters a little.
    assert found[1] == pytest.approx([20, 20], abs=0.5) and found[2].min() > 40
    stereo = np.stack([truths, truths], -1)
    both = separate.separation(stereo, stereo + 0.1 * stereo[::-1])
    assert both == pytest.approx(found, abs=1e-6)
    with pytest.raises(InputError, match="shape"):
        separate.separation(truths, truths[:, :-1])


# --- what is drawn ----------------------------------------------------------------------------------------------------


def test_the_frechet_distance_of_known_distributions() -> None:
    """Of equal ones 0; of ones that are moved the square of that; of wider ones by the difference of deviations."""
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    a = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4))
    assert sample.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert sample.frechet(a, a + [1, 2, 0, 0]) == pytest.approx(5)
    assert sample.frechet(a, 3 * (a - a.mean(0)) + a.mean(0)) == pytest.approx(4 * np.trace(np.cov(a.T)))
    b = rng.normal(size=(400, 4)) @ rng.normal(size=(4, 4)) + 1
    first, second = np.cov(a.T), np.cov(b.T)
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert sample.frechet(a, b) == pytest.approx(expected)


def test_digits_that_are_noise_are_told_from_real_ones(tmp_path: Path) -> None:
    from kerazoo.ops import numpy as ops

    rng = np.random.default_rng(0)
    strokes = np.zeros((240, 28, 28), np.uint8)
    for row, picture in enumerate(strokes):
        picture[4:24, 8 + row % 10 : 11 + row % 10] = rng.integers(180, 255)
    np.savez(tmp_path / "x.npz", x_test=strokes)
    task = Sample(4, 28, 28, part="generator", output="unit")

    def noise(inputs: Any) -> Any:
        return {"unit": ops.sigmoid(np.repeat(inputs["noise"], 196, 1)).reshape(-1, 28, 28, 1)}

    def same(inputs: Any) -> Any:
        return {"unit": strokes[: len(inputs["noise"]), ..., None] / np.float32(255)}

    said: list[str] = []
    found = [
        evaluate(predictor(task, generator=each), tmp_path / "x.npz", say=said.append, batch=240).figures
        for each in (noise, same)
    ]
    assert found[1]["Frechet distance"] < 1e-3 < found[0]["Frechet distance"]
    assert found[0]["Frechet distance of real pictures"] == found[1]["Frechet distance of real pictures"]
    assert 10 < found[0]["confidence"] <= 100 and found[0]["classes drawn"] >= 1
    assert "no FID" in said[0] and "drawn as asked" not in found[1]
    told = Sample(4, 28, 28, part="generator", output="unit", labels=tuple("0123456789"))
    report = evaluate(predictor(told, generator=same), tmp_path / "x.npz", batch=240)
    shares = report.details["drawn as asked"]
    assert list(shares) == list("0123456789") and report.figures["classes drawn"] == found[1]["classes drawn"]
    assert report.figures["drawn as asked"] == pytest.approx(np.mean(list(shares.values())))
    np.savez(tmp_path / "few.npz", x_test=strokes[:20])
    with pytest.raises(UsageError, match="too few for a covariance"):
        evaluate(predictor(task, generator=noise), tmp_path / "few.npz")


# --- embeddings -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=20))
def test_spearman_is_scipys(pairs: list[tuple[int, int]]) -> None:
    import warnings

    from scipy.stats import spearmanr

    a, b = np.array(pairs, float).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = spearmanr(a, b).statistic
    assert embed.spearman(a, b) == pytest.approx(expected, nan_ok=True, abs=1e-9)


def test_cosine() -> None:
    a = np.array([[1, 0], [1, 1], [0, 0]])
    np.testing.assert_allclose(embed.cosine(a, np.array([[2, 0], [1, -1], [1, 1]])), [1, 0, 0])


def lengths() -> Predictor:
    """A text's vector points where its length says."""
    from kerazoo.contract import Port
    from kerazoo.errors import InputError

    class Task:
        kind, batched, request = "embed", True, (Port("text", "string", (None,), "text"),)

        def read(self, response: Any, row: int) -> Any:
            angle = len(response["text"][row]) / 10
            if angle > 1:
                raise InputError("too long")
            return SimpleNamespace(vector=np.array([np.cos(angle), np.sin(angle)]))

    return Predictor("lengths", Task(), "keras", lambda request: request)  # type: ignore[arg-type]


def test_likeness_of_pairs(tmp_path: Path) -> None:
    text = "5.0\tabc\tabc\n3.0\tabc\tab\n1\ta\tabcdef\n0\ta\tabcdefghijkl\n"
    said: list[str] = []
    report = evaluate(lengths(), folder(tmp_path, {"x.tsv": text}) / "x.tsv", say=said.append, batch=3)
    assert (report.figures["Spearman"], report.count, len(report.failed)) == (pytest.approx(1), 3, 1)
    assert "line 4, second text: too long" in said[0]
    expected = np.corrcoef([1, np.cos(0.1), np.cos(0.5)], [5, 3, 1])[0, 1]
    assert report.figures["Pearson"] == pytest.approx(expected)
    for broken, match in (("x\ta\tb\n", "'x' is no number"), ("1\ta\n", "must hold score and first and second")):
        with pytest.raises(UsageError, match=match):
            evaluate(lengths(), folder(tmp_path, {"x.tsv": broken}) / "x.tsv")
    with pytest.raises(InputError, match="of 1 pairs; ranks need two"):
        evaluate(lengths(), folder(tmp_path, {"x.tsv": "1\ta\tb\n"}) / "x.tsv")


# --- boxes ------------------------------------------------------------------------------------------------------------


def truth(*boxes: Any, labels: Any = None, **more: Any) -> detect.Truth:
    return detect.Truth(np.array(boxes, float).reshape(-1, 4), np.array(labels or [0] * len(boxes), int), **more)


def found(*boxes: Any, scores: Any = (), labels: Any = None) -> detect.Found:
    return detect.Found(
        np.array(boxes, float).reshape(-1, 4), np.array(labels or [0] * len(boxes), int), np.array(scores, float)
    )


A, B, FAR = (0, 0, 40, 40), (100, 100, 140, 140), (300, 300, 340, 340)


def test_boxes_by_hand() -> None:
    pytest.importorskip("pycocotools")
    truths = [truth(A, B), truth(labels=[])]
    guesses = [found(A, FAR, B, scores=(0.9, 0.8, 0.7)), found(FAR, scores=(0.95,))]
    # Right, in order of score: no, yes, no, yes.
    (curve,) = detect.voc(truths, guesses, 1)
    assert curve.precision == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2]) and curve.count == 2
    assert curve.area == pytest.approx(50)
    figures = detect.coco(truths, guesses, 1)
    assert figures["AP50"] == pytest.approx(50, abs=0.1) and figures["AR100"] == 100
    assert np.isnan(figures["AP large"]) and figures["AP medium"] > 0


def test_a_box_is_found_once_and_only_where_it_overlaps_enough() -> None:
    pytest.importorskip("pycocotools")
    shifted = (0, 10, 40, 50)  # Overlaps A by 30 / 50.
    twice = [found(A, A, scores=(0.9, 0.8))]
    assert detect.voc([truth(A)], twice, 1)[0].precision.tolist() == [1, 0.5]
    for overlap, area in ((0.5, 100), (0.59, 100), (0.61, 0)):
        assert detect.voc([truth(A)], [found(shifted, scores=(0.9,))], 1, overlap)[0].area == area


def test_boxes_that_need_not_be_found() -> None:
    pytest.importorskip("pycocotools")
    hard = truth(A, B, ignored=np.array([False, True]))
    for guesses in (found(A, scores=(0.9,)), found(A, B, scores=(0.5, 0.9))):
        (curve,) = detect.voc([hard], [guesses], 1)
        assert (curve.area, curve.count) == (100, 1)
        assert detect.coco([hard], [guesses], 1)["AP"] == pytest.approx(100)
    # A box around many takes any number.
    crowd = truth(A, (0, 0, 400, 400), crowd=np.array([False, True]))
    assert detect.voc([crowd], [found(A, B, FAR, scores=(0.5, 0.9, 0.8))], 1)[0].area == 100


def test_classes_are_apart_and_those_without_a_box_count_for_nothing() -> None:
    pytest.importorskip("pycocotools")
    curves = detect.voc([truth(A, B, labels=[0, 1])], [found(A, B, scores=(0.9, 0.8), labels=[0, 0])], 3)
    assert [curve.area for curve in curves[:2]] == [100, 0] and np.isnan(curves[2].area)
    assert detect.mean(curves) == 50
    assert np.isnan(detect.mean(detect.voc([truth(labels=[])], [found(labels=[])], 1)))


def _matched(truths: list[Any], guesses: list[Any]) -> list[tuple[float, bool]]:
    """Score, and whether it is right, by the rule itself: the surest first, each the best that is left."""
    rows = []
    for one, other in zip(truths, guesses, strict=True):
        left = [tuple(box) for box in one.boxes]
        for place in np.argsort(-other.scores, kind="stable"):
            box = tuple(other.boxes[place])
            best = max(left, key=lambda each: _overlap(each, box), default=None)
            right = best is not None and _overlap(best, box) >= 0.5
            if right:
                left.remove(best)
            rows.append((float(other.scores[place]), right))
    return rows


def _overlap(a: Any, b: Any) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (area - shared)


BOX = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(3, 11)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.lists(BOX, max_size=4), st.lists(BOX, max_size=4)), min_size=1, max_size=3), st.randoms())
def test_precision_is_that_of_the_rule_itself(pictures: Any, random: Any) -> None:
    pytest.importorskip("pycocotools")
    scores = itertools.count(1)
    truths = [truth(*boxes) for boxes, _ in pictures]
    guesses = []
    for _, boxes in pictures:
        mine = [next(scores) / 100 for _ in boxes]
        random.shuffle(mine)
        guesses.append(found(*boxes, scores=mine))
    (curve,) = detect.voc(truths, guesses, 1)
    rows = sorted(_matched(truths, guesses), reverse=True)
    hits = np.cumsum([right for _, right in rows])
    np.testing.assert_allclose(curve.precision, hits / np.arange(1, len(rows) + 1))
