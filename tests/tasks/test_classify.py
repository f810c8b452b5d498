"""Classes of pictures and of sentences, whatever the network ends in."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import kerazoo
from kerazoo import seal
from kerazoo.codecs.image import Image
from kerazoo.codecs.text import SPECIAL, Text, Vocabulary
from kerazoo.errors import GateError, InputError, UsageError, WeightsDamaged
from kerazoo.ops import numpy as ops
from kerazoo.tasks.classify import Classify, Labels
from tests.tasks.stubs import Stub, again, both, png, scene, text

WORDS = Vocabulary((*SPECIAL, "good", "fine", "bad", "poor", "film", "!"))
SENTENCE = Text(WORDS, length=6)
GRADES = ("bad", "so-so", "good")
SENTIMENT = Classify(SENTENCE, GRADES)
PICTURE = Image(8, 8)


def grading(ops, tokens):
    """Logits by how many good and how many bad words there are."""
    good = ops.sum(ops.cast((tokens == 4) | (tokens == 5), "float32"), 1)
    bad = ops.sum(ops.cast((tokens == 6) | (tokens == 7), "float32"), 1)
    return ops.stack([bad * 3.0, good * 0.0 + 1.0, good * 3.0], -1)


def ending(name: str, values: np.ndarray):
    """A network over pictures that always says the same."""

    def network(ops, image):
        return {name: image[:, 0, 0, :1] * 0.0 + np.asarray(values, np.float32)}

    return network


def by_label(answer, row: int = 0) -> dict[str, float]:
    labels = [label.decode() for label in answer["label"][row]]
    return dict(zip(labels, answer["score"][row].tolist(), strict=True))


def softmax(values) -> np.ndarray:
    powers = np.exp(np.asarray(values, np.float64))
    return powers / powers.sum()


# --- sentences ------------------------------------------------------------------------------------------------------


def test_sentences_on_both_op_sets():
    request = {"text": text("Good film!", "bad, poor film", "film", "fine unheard-of")}
    host, graph = both(SENTIMENT, request, network=lambda ops, tokens: {"logits": grading(ops, tokens)})
    for answer in (host, graph):
        assert [row[0].decode() for row in answer["label"]] == ["good", "bad", "so-so", "good"]
        assert answer["index"][:, 0].tolist() == [2, 0, 1, 2]
        np.testing.assert_allclose(answer["score"][1], np.sort(softmax([6, 1, 0]))[::-1], rtol=1e-5)
    np.testing.assert_array_equal(host["index"], graph["index"])


@pytest.mark.parametrize(("sentence", "said"), [("", "empty"), ("good " * 6, "more than 5 words")])
def test_sentences_that_do_not_fit(sentence, said):
    network = Stub(ops, {"network": lambda ops, tokens: {"logits": grading(ops, tokens)}})
    with pytest.raises(InputError, match=said):
        SENTIMENT.answer(network, {"text": text(sentence)})


# --- what a network ends in -----------------------------------------------------------------------------------------

THREE = [1.0, -2.0, 0.5]


@pytest.mark.parametrize(
    ("fields", "values", "expected"),
    [
        ({}, THREE, softmax(THREE)),
        ({"output": "probabilities"}, [0.2, 0.7, 0.1], [0.2, 0.7, 0.1]),
        # Those that do not exclude each other need not sum to 1.
        ({"output": "probabilities"}, [0.9, 0.8, 0.1], [0.9, 0.8, 0.1]),
        ({"output": "independent"}, THREE, 1 / (1 + np.exp(-np.array(THREE)))),
        ({"background": "first"}, [9.0, *THREE], softmax(THREE)),
        ({"background": "last"}, [*THREE, 9.0], softmax(THREE)),
        ({"background": "first", "output": "probabilities"}, [0.6, 0.1, 0.1, 0.2], [0.25, 0.25, 0.5]),
        ({"background": "last", "output": "probabilities"}, [0.1, 0.1, 0.2, 0.6], [0.25, 0.25, 0.5]),
        ({"background": "last", "output": "independent"}, [*THREE, 9.0], 1 / (1 + np.exp(-np.array(THREE)))),
    ],
)
def test_scores(fields, values, expected):
    task = Classify(PICTURE, ("a", "b", "c"), **fields)
    (port,) = task.parts["network"].outputs
    assert port.shape == (None, len(values))
    host, graph = both(task, {"image_bytes": text(png(scene(8, 8)))}, network=ending(port.name, values))
    for answer in (host, graph):
        assert by_label(answer) == pytest.approx(dict(zip("abc", expected, strict=True)), abs=1e-6)
        assert answer["score"][0].tolist() == sorted(answer["score"][0].tolist(), reverse=True)
    assert again(task) == task


@pytest.mark.parametrize(("output", "value"), [("logits", 2.0), ("independent", 2.0), ("probabilities", 0.88079708)])
def test_a_single_output_is_the_second_of_two_classes(output, value):
    task = Classify(PICTURE, ("no", "yes"), output=output, single=True)
    (port,) = task.parts["network"].outputs
    assert port.shape == (None, 1)
    for answer in both(task, {"image_bytes": text(png(scene(8, 8)))}, network=ending(port.name, [value])):
        assert by_label(answer) == pytest.approx({"yes": 0.88079708, "no": 0.11920292}, abs=1e-6)
        assert answer["index"].tolist() == [[1, 0]]
    assert again(task) == task


def test_an_answer_holds_as_many_classes_as_were_asked_for():
    task = Classify(PICTURE, tuple("abcdef"), count=2)
    request = {"image_bytes": text(png(scene(8, 8)), png(scene(9, 9)))}
    for answer in both(task, request, network=ending("logits", [0, 3, 1, 2, 3, 0])):
        # Equals keep their order.
        assert [[label.decode() for label in row] for row in answer["label"]] == [["b", "e"]] * 2
        assert {port.name: port.shape for port in task.response}["label"] == (None, 2)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"output": "softmax"}, "logits, probabilities, independent"),
        ({"background": "middle"}, "None, first and last"),
        ({"single": True}, "3 labels"),
        ({"single": True, "labels": ("a", "b"), "background": "first"}, "2 labels"),
    ],
)
def test_settings_that_mean_nothing(fields, said):
    with pytest.raises(UsageError, match=said):
        Classify(**{"input": PICTURE, "labels": ("a", "b", "c")} | fields)


# --- cards, results, comparison -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    [
        SENTIMENT,
        Classify(PICTURE, ("no", "yes"), single=True),
        Classify(Image(8, 9, 1, resize=(10, 11), interpolation="bicubic"), GRADES, 2, "independent", "last"),
        Classify(Image(8, 9, fill="letterbox", pad=114.0), GRADES),
    ],
    ids=["text", "single", "crop", "letterbox"],
)
def test_the_card_brings_the_task_back(task):
    assert again(task) == task
    assert type(again(task).input) is type(task.input)


def test_result():
    response = {
        "label": np.array([[b"good", b"bad", b"so-so"]], object),
        "index": np.array([[2, 0, 1]]),
        "score": np.array([[0.75, 0.25, 0.0]], np.float32),
    }
    result = SENTIMENT.read(response, 0)
    assert result == Labels(("good", "bad", "so-so"), (2, 0, 1), (0.75, 0.25, 0.0))
    assert result.rows(2) == [" 75.00%  good", " 25.00%  bad"]
    assert result.to_json(1) == {"top": [{"label": "good", "index": 2, "score": 0.75}]}
    assert result.files() == {}


def response(*ranking: tuple[int, float]) -> dict[str, np.ndarray]:
    return {
        "label": np.array([[GRADES[index].encode() for index, _ in ranking]], object),
        "index": np.array([[index for index, _ in ranking]]),
        "score": np.array([[score for _, score in ranking]], np.float32),
    }


def test_comparing_does_not_mind_neighbours_that_change_places():
    one = response((2, 0.5), (0, 0.4999), (1, 0.0001))
    assert SENTIMENT.compare(one, one) == {"label": 0.0, "score": 0.0}
    swapped = response((0, 0.5), (2, 0.4999), (1, 0.0001))
    apart = SENTIMENT.compare(one, swapped)
    assert apart["label"] == 0 and apart["score"] == pytest.approx(0.0001 / 0.5, rel=1e-2)


def test_comparing_finds_what_is_wrong():
    one = response((2, 0.5), (0, 0.4), (1, 0.1))
    wrong = dict(one, label=np.array([[b"good", b"so-so", b"bad"]], object))
    assert SENTIMENT.compare(one, wrong)["label"] == pytest.approx(2 / 3)
    assert SENTIMENT.compare(one, response((0, 0.5), (2, 0.4), (1, 0.1)))["score"] == pytest.approx(0.2)
    # Rankings cut off: a class that is missing has at most the least that is shown.
    assert SENTIMENT.compare(response((2, 0.5), (0, 0.3)), response((2, 0.5), (1, 0.3)))["score"] == 0.0
    assert SENTIMENT.compare(response((2, 0.5), (0, 0.4)), response((2, 0.5), (1, 0.3)))["score"] > 0.1
    with pytest.raises(GateError, match="shape"):
        SENTIMENT.compare(one, response((2, 0.5), (0, 0.4)))
    with pytest.raises(GateError, match="NaN"):
        SENTIMENT.compare(one, response((2, np.nan), (0, 0.4), (1, 0.1)))


# --- a vocabulary travels beside the card ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A classifier of sentences in a `.keras` file: the mean of its words' grades."""
    keras.utils.set_random_seed(1)
    tokens = keras.Input((SENTENCE.length,), dtype="int32", name="tokens")
    words = keras.layers.Embedding(len(WORDS), len(GRADES), name="grades")(tokens)
    logits = keras.layers.GlobalAveragePooling1D(name="mean")(words)
    model = keras.Model(tokens, keras.layers.Rescaling(60.0, name="scale")(logits), name="grader")
    return kerazoo.save(model, tmp_path_factory.mktemp("text") / "grader.keras", task=SENTIMENT)


@pytest.fixture(scope="module")
def exported(saved, tmp_path_factory) -> dict[str, Path]:
    """The same in every format."""
    folder = tmp_path_factory.mktemp("exported")
    kerazoo.export(saved, ("savedmodel", "onnx", "litert"), folder)
    found = {
        "savedmodel": next(path.parent for path in folder.rglob("saved_model.pb")),
        "onnx": next(folder.rglob("*.onnx")),
        "litert": next(folder.rglob("*.tflite")),
    }
    return found | {"keras": saved}


SENTENCES = ["Good film!", "bad, poor film", "unheard-of"]
FORMATS = ["keras", "savedmodel", "onnx", "litert"]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_every_artefact_brings_its_vocabulary(exported, saved, form):
    expected = [result.to_json(3) for result in kerazoo.load(saved, engine="keras")(SENTENCES)]
    predictor = kerazoo.load(exported[form], engine="keras" if form == "keras" else "auto")
    assert predictor.task == SENTIMENT
    assert isinstance(predictor.task.input.words, Vocabulary)
    for mine, theirs in zip([result.to_json(3) for result in predictor(SENTENCES)], expected, strict=True):
        assert [each["label"] for each in mine["top"]] == [each["label"] for each in theirs["top"]]
        for one, other in zip(mine["top"], theirs["top"], strict=True):
            assert one["score"] == pytest.approx(other["score"], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_vocabulary_is_refused(exported, form, tmp_path):
    source = exported[form]
    damaged = WORDS.dumps().replace(b"good", b"gold")
    if source.is_dir():
        import shutil

        copy = Path(shutil.copytree(source, tmp_path / "damaged" / "1"))
        (file,) = copy.rglob("vocabulary-*.txt")
        file.write_bytes(damaged)
    else:
        copy = tmp_path / f"damaged{source.suffix}"
        copy.write_bytes(source.read_bytes().replace(WORDS.dumps(), damaged))
        assert copy.read_bytes() != source.read_bytes(), "the vocabulary is not stored plain, so this damages nothing"
    with pytest.raises((UsageError, WeightsDamaged)):
        kerazoo.load(copy, engine="keras" if form == "keras" else "auto")


@pytest.mark.slow
def test_a_vocabulary_is_held_to_its_hash_where_the_seal_is_made_anew(exported, tmp_path):
    import shutil

    from kerazoo.engines import card as card_

    copy = Path(shutil.copytree(exported["savedmodel"], tmp_path / "resealed" / "1"))
    (file,) = copy.rglob("vocabulary-*.txt")
    file.write_bytes(WORDS.dumps().replace(b"good", b"gold"))
    seal.seal_folder(copy, card_.FOLDER)
    with pytest.raises(UsageError, match="vocabulary-.*sha256"):
        kerazoo.load(copy)
    file.unlink()
    seal.seal_folder(copy, card_.FOLDER)
    with pytest.raises(UsageError, match="vocabulary-"):
        kerazoo.load(copy)


def test_a_card_names_plain_files_alone():
    from kerazoo import tasks

    card, files = tasks.to_card(SENTIMENT)
    (name,) = files
    for bad in ("../words.txt", "/etc/words", ".hidden", "a\\b"):
        card["input"] = dict(card["input"], words=dict(card["input"]["words"], file=bad))
        with pytest.raises(UsageError, match="no plain file name"):
            tasks.from_card(card, lambda _, data=files[name]: data)
