from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerazoo.codecs.text import END, SPECIAL, START, Text, Vocabulary, placeholder, tokens, vocabulary
from kerazoo.contract import Port
from kerazoo.engines import open_network
from kerazoo.errors import InputError, UsageError
from kerazoo.export import golden, verify
from kerazoo.export.convert import convert
from kerazoo.formats import FORMATS
from kerazoo.ops import numpy as ops
from kerazoo.ops import tensorflow as graph_ops
from kerazoo.tasks.translate import Aligned, Translate
from tests.conformance.models import fresh
from tests.tasks.stubs import Stub, again, both, pixels, text

# --- the codec ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Two dogs, running!", ["two", "dogs", ",", "running", "!"]),
        ("L’homme d'État", ["l'", "homme", "d'", "état"]),
        ("a well-known T-shirt -- no - yes-", ["a", "well-known", "t-shirt", "-", "-", "no", "-", "yes", "-"]),
        ("  3.5\t\u00a0km\n", ["3", ".", "5", "km"]),
        ("GROẞE ΣΊΣΥΦΟΣ İstanbul", ["große", "σίσυφοσ", "istanbul"]),
        ("e\u0301te\u0301 日本語 😀", ["e\u0301te\u0301", "日本語", "😀"]),
        ("<end> <pad>", ["<", "end", ">", "<", "pad", ">"]),
        ("", []),
    ],
)
def test_tokens(sentence, expected):
    assert tokens(sentence) == expected


def test_case_can_be_kept():
    assert tokens("Der Hund’s", lower=False) == ["Der", "Hund'", "s"]


def test_vocabulary_is_ordered_by_frequency_then_spelling():
    assert vocabulary([["b", "a", "c"], ["c", "a"], ["c"]], 6) == (*SPECIAL, "c", "a")


def test_encode_and_decode():
    codec = Text(Vocabulary((*SPECIAL, "l'", "homme", "(", "voit", ")", "été", "!", ",")), length=9)
    numbers = codec.prepare(ops, text("L'homme (voit) ÉTÉ!", "voit ça , homme"))
    assert numbers.tolist() == [[4, 5, 6, 7, 8, 9, 10, END, 0], [7, 1, 11, 5, END, 0, 0, 0, 0]]
    assert [line.decode() for line in codec.decode(ops, numbers)] == ["l'homme (voit) été!", "voit <unk>, homme"]


WORDS = vocabulary([tokens("the two dogs' run l'homme état, 日本語 voit-il ! ? a b c")], 40)


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.lists(st.sampled_from([*WORDS[4:], "A", "DOGS", "’", "-", "xyz", "É"]), min_size=1).map(" ".join),
            st.text(min_size=1, max_size=12),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_both_op_sets_read_alike(sentences):
    codec = Text(WORDS, length=64)
    sentences = [f"a {sentence}" for sentence in sentences]
    request = text(*[sentence.encode("utf-8", "replace") for sentence in sentences])
    host = codec.prepare(ops, request)
    graph = codec.prepare(graph_ops, tf.constant(request.tolist()))
    np.testing.assert_array_equal(graph.numpy(), host)
    index = {word: number for number, word in enumerate(WORDS)}
    for row, sentence in zip(host, request, strict=True):
        known = [index.get(token, 1) for token in tokens(sentence.decode())]
        assert row.tolist() == [*known, END, *[0] * (63 - len(known))]
    np.testing.assert_array_equal(codec.decode(graph_ops, graph).numpy(), codec.decode(ops, host))


@pytest.mark.parametrize("sentence", ["", " \n\u200b", "a " * 9])
def test_nothing_and_too_much_are_refused_not_cut(sentence):
    codec = Text(WORDS, length=9)
    with pytest.raises(InputError, match="empty|more than 8 words"):
        codec.prepare(ops, text("a b", sentence))
    with pytest.raises(tf.errors.InvalidArgumentError, match="empty|more than 8 words"):
        codec.prepare(graph_ops, tf.constant([b"a b", sentence.encode()]))
    assert codec.prepare(ops, text("a " * 8)).shape == (1, 9)


def test_a_vocabulary_must_be_one():
    with pytest.raises(UsageError, match="begins with <pad>"):
        Text(Vocabulary(("a", "b")), 5)
    with pytest.raises(UsageError, match="equal"):
        Text(Vocabulary((*SPECIAL, "a", "a")), 5).prepare(ops, text("a"))


# --- the task -----------------------------------------------------------------------------------------------------

CONTEXT, STATE = (Port(name, "float32", (None, 1)) for name in ("context", "state"))
TASK = Translate(Text(placeholder(10), 6), placeholder(10), (CONTEXT,), (STATE,), limit=5)


def counting(ops, token, state, context):
    """Says word4, word5, ... up to the context, then `<end>`; every choice has the probability 0.5."""
    following = ops.where(token == START, token * 0 + 4, token + 1)
    wanted = ops.where(ops.cast(following, "float32") > context[:, 0], token * 0 + END, following)
    hit = ops.cast(ops.arange(10)[None, :] == wanted[:, None], "float32")
    return {"logits": hit * float(np.log(9.0)), "next_state": state + 1.0}


def reading(ops, tokens):
    """The context is the number of the first word."""
    return {"context": ops.cast(tokens[:, :1], "float32"), "state": ops.cast(tokens[:, :1], "float32") * 0.0}


def test_rows_end_on_their_own():
    host, graph = both(TASK, {"text": text("word6", "word4 word9", "word9")}, encoder=reading, decoder=counting)
    for answer in (host, graph):
        said = [line.decode() for line in answer["translation"]]
        assert said == ["word4 word5 word6", "word4", "word4 word5 word6 word7 word8"]
        np.testing.assert_allclose(answer["score"], np.log(0.5), rtol=1e-5)


def branching(ops, token, state, context):
    """word4 or word5 first, 0.6 to 0.4; from word4 three ways go on alike, from word5 only `<end>`."""
    odds = np.full((10, 10), 1e-9, np.float32)
    odds[START, [4, 5]] = 0.6, 0.4
    odds[4, [6, 7, END]] = 0.3, 0.3, 0.4
    odds[5, END] = 1.0
    odds[[6, 7], END] = 1.0
    return {"logits": ops.gather(np.log(odds), token) + context * 0.0, "next_state": state + 1.0}


@pytest.mark.parametrize(("search", "said"), [("greedy", "word4"), ("beam", "word5")])
def test_a_beam_finds_the_likelier_sentence(search, said):
    task = replace(TASK, search=search, width=3, length_penalty=0.0)
    host, graph = both(task, {"text": text("word6", "word4 word9")}, encoder=reading, decoder=branching)
    for answer in (host, graph):
        assert [line.decode() for line in answer["translation"]] == [said, said]
        expected = np.log(0.24 if search == "greedy" else 0.4) / 2
        np.testing.assert_allclose(answer["score"], expected, rtol=1e-4)
    assert again(task) == task


@pytest.mark.slow
def test_a_beam_is_the_same_in_every_format(tmp_path):
    made = fresh("rnn_encdec")
    task = replace(made.task, search="beam", width=3)
    made = replace(made, tasks={task.kind: task})
    assert convert(made, FORMATS, tmp_path) == dict.fromkeys(FORMATS)
    goldens = golden.load(tmp_path / "golden.npz")
    assert {call.outputs["logits"].shape[0] for call in goldens[task.kind].calls if call.part == "decoder"} == {3}
    for form in FORMATS.values():
        network, card = open_network(form.engine, tmp_path / form.file)
        assert card.task == task
        verify.check(card.tasks, goldens, network, form, form.name)


def test_a_search_must_be_known():
    with pytest.raises(UsageError, match="allowed are greedy, beam"):
        replace(TASK, search="best")
    with pytest.raises(UsageError, match="width=0"):
        replace(TASK, width=0)


def test_the_loop_stops_with_the_longest_row():
    network = Stub(ops, {"encoder": reading, "decoder": counting})
    TASK.answer(network, {"text": text("word5", "word4")})
    assert len(network.calls) == 1 + 3


def test_padding_unknown_and_start_are_never_said():
    def tempted(ops, token, state, context):
        logits = np.zeros((len(token), 10), np.float32)
        logits[:, :3] = 9.0
        logits[:, 7] = 1.0
        return {"logits": logits, "next_state": state}

    network = Stub(ops, {"encoder": reading, "decoder": tempted})
    assert TASK.answer(network, {"text": text("word5")})["translation"][0] == b" ".join([b"word7"] * 5)


def looking(ops, token, state, context):
    """As `counting`, and looks at the place that the word to come has."""
    said = counting(ops, token, state, context)
    place = ops.where(token == START, token * 0, token - 3)
    return {**said, "attention": ops.cast(ops.arange(6)[None, :] == place[:, None], "float32")}


@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_where_it_looked_is_told_on_request(search):
    asked = {"text": text("word6", "word4 word9")}
    plain = replace(TASK, looks=True, search=search)
    told = replace(plain, attention=True)
    assert [port.name for port in plain.response] == ["translation", "score"]
    assert [port.name for port in plain.parts["decoder"].outputs] == ["logits", "next_state", "attention"]
    for before, answer in zip(
        both(plain, asked, encoder=reading, decoder=looking),
        both(told, asked, encoder=reading, decoder=looking),
        strict=True,
    ):
        assert list(answer) == [port.name for port in told.response]
        assert answer["attention"].shape == (2, 5, 6)
        np.testing.assert_array_equal(answer["attention"][0, :4], np.eye(6)[:4])
        assert answer["translation"].tolist() == before["translation"].tolist()
        result = told.read(answer, 1)
        assert result.target == ("word4", "<end>") and result.source == ("word4", "word9", "<end>")
        assert result.to_json() == {
            "text": "word4", "score": pytest.approx(np.log(0.5), abs=1e-5), "source": ["word4", "word9", "<end>"],
            "target": ["word4", "<end>"], "attention": [[1, 0, 0], [0, 1, 0]],
        }  # fmt: skip
    assert again(told) == told
    assert plain.also == {"attention": told} and not told.also and not TASK.also


def test_the_chart_is_dark_where_it_looked():
    words = ("größer", "$", "д", "<end>"), ("a", "$b$", "<end>")
    ((name, data),) = Aligned("a $b$", 0.0, *words, np.eye(3, 4, dtype=np.float32)).files().items()
    chart = pixels(data)[..., :3].min(-1)
    # The middles of the cells, 24 pixels wide and high, that end 10 before the picture does.
    centres = chart[-70:-10:24, -94:-10:24]
    assert name == "attention.png"
    np.testing.assert_array_equal(centres < 30, np.eye(3, 4))
    assert (centres[np.eye(3, 4) == 0] > 240).all()


def test_a_network_that_does_not_say_so_has_no_attention():
    with pytest.raises(UsageError, match="does not say which words"):
        replace(TASK, attention=True)


def test_result():
    result = TASK.read({"translation": text("a", "é b"), "score": np.array([-1, -0.25], np.float32)}, 1)
    assert result.rows() == ["é b"]
    assert result.to_json() == {"text": "é b", "score": -0.25}
    assert again(TASK) == TASK
