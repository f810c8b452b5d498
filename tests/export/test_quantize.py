"""Less precision, held to a target: the user's pictures calibrate, what they did not see judges."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from kerazoo import formats
from kerazoo.codecs import image as image_
from kerazoo.engines import open_network
from kerazoo.errors import GateError, UsageError
from kerazoo.export import Artefact, again, agreement, lower, quantize
from kerazoo.export import golden as golden_
from kerazoo.export.quantize import calibrate, correct, equalise, search
from kerazoo.export.quantize.graph import Graph, Layer, Step
from tests.export.models import tiny

LOWER = [form for form in formats.ROWS.values() if form.precision != formats.FLOAT]
EACH = pytest.mark.parametrize("form", LOWER, ids=lambda form: form.name)
FLOATS = pytest.mark.parametrize("form", formats.NETWORKS, ids=lambda form: form.name)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    for index in range(24):
        (folder / f"{index:02}.png").write_bytes(image_.drawn(tiny().task.request[0], rng))
    return folder


def _lowered(made: Path, form: formats.Format, how: lower.How, said: list[str] | None = None) -> Artefact:
    base = formats.find(form.word)
    folder = Path(tempfile.mkdtemp(dir=made.parent))
    shutil.copy(made / base.file, folder)
    shutil.copy(made / "golden.npz", folder)
    for name in ("layers.npz",):
        if (made / name).exists():
            shutil.copy(made / name, folder)
    artefact = Artefact(base.name, folder / base.file)
    return lower.lowered(artefact, form, folder, how, (said if said is not None else []).append)


@EACH
def test_every_precision_answers_and_says_how_well(made, pictures, form):
    artefact = _lowered(made, form, lower.How(str(pictures), 0.9))
    network, card = open_network(form.engine, artefact.path)
    assert card.precision == form.precision
    assert card.quantisation["agreement"] >= 0.9 and card.quantisation["judged"] == 12
    report = again.verified(artefact.path)
    assert (report.format, report.precision) == (form.name, form.precision)
    call = golden_.load(made / "golden.npz")["classify"].calls[0]
    logits = network(call.inputs)["logits"]
    assert logits.dtype == np.float32 and logits.shape == call.outputs["logits"].shape
    assert not np.array_equal(logits, call.outputs["logits"]), "it is the one in floats"


def test_matrices_are_rounded_to_signed_numbers(made, pictures):
    import onnx

    artefact = _lowered(made, formats.find("onnx", "dynamic"), lower.How(str(pictures), 0.9))
    graph = onnx.load(artefact.path).graph
    types = {each.name: onnx.TensorProto.DataType.Name(each.data_type) for each in graph.initializer}
    found = {(node.op_type, types[node.input[1]]) for node in graph.node if node.op_type.endswith("Integer")}
    assert found == {("ConvInteger", "UINT8"), ("MatMulInteger", "INT8")}


@FLOATS
def test_tools_round_as_their_engines_run(made, form):
    own = quantize.tool(form)
    model = own.read(made / form.file)
    calls = golden_.load(made / "golden.npz")["classify"].calls
    seen = calibrate.statistics(own.graph(model), own.observe(model, calls))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / form.file
        own.write(model, seen.ranges(), frozenset(), "int8", path)
        found = own.network(path, ["network"], True)(calls[0].inputs)["logits"]
    spread = np.ptp(calls[0].outputs["logits"])
    assert np.abs(found - calls[0].outputs["logits"]).max() < 0.1 * spread


@FLOATS
def test_equalised_networks_answer_as_before(made, form):
    own = quantize.tool(form)
    model = own.read(made / form.file)
    graph = own.graph(model)
    assert len(graph.layers) == 2
    calls = golden_.load(made / "golden.npz")["classify"].calls
    seen = calibrate.statistics(graph, own.observe(model, calls))
    changed = equalise.equalised(graph, seen.highest)
    assert changed, "nothing was equalised"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / form.file
        even = own.with_constants(model, changed)
        own.write(even, {}, frozenset(), "fp16", path)
        found = own.network(path, ["network"], True)(calls[0].inputs)["logits"]
    assert np.allclose(found, calls[0].outputs["logits"], rtol=0.01, atol=0.02)
    after = own.graph(even)
    last = after.constants[after.layers[1].weight]
    before = graph.constants[graph.layers[1].weight]

    def uneven(weights):
        each = np.abs(weights).max(0)
        return each.max() / each.min()

    assert uneven(last) != uneven(before)


def _pair(weight, after, depthwise=False, bound=float("inf")):
    first = Layer("a", "a.w", "a.b", "x", "t", bound=bound)
    second = Layer("b", "b.w", "b.b", "t", "y", depthwise=depthwise)
    constants = {"a.w": weight, "a.b": np.zeros(len(weight), np.float32), "b.w": after, "b.b": np.zeros(len(after))}
    return Graph((first, second), (), constants, frozenset({"y"}))


def test_quiet_channels_grow_and_those_cut_off_stay():
    weight = np.ones((3, 1, 1, 2), np.float32)
    graph = _pair(weight, np.ones((3, 3, 3, 1), np.float32), depthwise=True, bound=6.0)
    changed = equalise.equalised(graph, {"t": np.array([6.0, 0.3, 0.0])})
    scales = changed["a.w"][:, 0, 0, 0]
    assert scales[0] == 1.0, "it is cut off at 6"
    assert scales[1] == pytest.approx(0.9 * 6 / 0.3)
    assert scales[2] == 1.0, "a dead channel"
    assert np.allclose(changed["a.w"][:, 0, 0, 0] * changed["b.w"][:, 0, 0, 0], 1.0)


def test_an_output_that_others_read_is_left_alone():
    weight = np.ones((2, 1, 1, 2), np.float32)
    graph = _pair(weight, np.ones((4, 1, 1, 2), np.float32))
    high = {"t": np.array([4.0, 1.0])}
    assert equalise.equalised(graph, high)
    assert not equalise.equalised(dataclasses.replace(graph, steps=(Step("add", ("t",), ("z",)),)), high)
    assert not equalise.equalised(dataclasses.replace(graph, results=frozenset({"t", "y"})), high)
    assert not equalise.equalised(dataclasses.replace(graph, shared=frozenset({"b.w"})), high)


def test_the_bias_takes_what_rounding_adds():
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 1, (4, 3, 3, 8)).astype(np.float32)
    layer = Layer("a", "w", "b", "x", "y")
    graph = Graph((layer,), (), {"w": weight, "b": np.zeros(4, np.float32)}, frozenset({"y"}))
    inputs = rng.uniform(0, 3, (500, 3, 3, 8)) + rng.uniform(0, 3, 8)

    def mean(kernel):
        return np.einsum("nhwi,ohwi->no", inputs, kernel).mean(0)

    fixed = correct.bias(graph, layer, {"x": inputs.reshape(-1, 8).mean(0)})
    off = mean(correct.rounded(weight)) - mean(weight)
    assert np.abs(off + fixed).max() < 0.2 * np.abs(off).max()
    assert correct.bias(graph, dataclasses.replace(layer, bias=None), {"x": np.zeros(8)}) is None


def test_layers_that_hurt_only_together_are_found(monkeypatch):
    """Behind one another at the entrance; each of the last ones tells a little more when it goes alone."""
    chain = [
        Layer(name, f"{name}_w", None, f"{index}", f"{index + 1}") for index, name in enumerate("abcdefghijklmnop")
    ]
    graph = Graph(tuple(chain), (), {}, frozenset({str(len(chain))}))

    def error(plan):
        first = len(plan.floats & set("cdef"))
        return 1 - (0.9 if first == 4 else 0.001 * first) - 0.01 * len(plan.floats & set("klmnop"))

    def made(self, plan):
        return Path(), plan

    monkeypatch.setattr(search.Search, "_made", made)
    monkeypatch.setattr(search.Search, "_error", lambda self, plan: error(plan))
    monkeypatch.setattr(search.Search, "_agreement", lambda self, plan: 1 - error(plan))
    form = formats.find("onnx", "int8")
    looking = search.Search(None, form, tiny().task, [], Path(), [], [], 0.9, lambda line: None)  # type: ignore[arg-type]
    plan = search.Candidate(frozenset(), {}, {}, None)
    _, tried, taken = looking._searched(plan, graph, Path(), search.Try("as it is", 1.0, 0.0))
    assert tried.agreement >= 0.9
    assert {graph.layers[int(output) - 1].name for output, _ in taken} == set("cdef")


@pytest.mark.parametrize("word", [form.word for form in formats.NETWORKS])
def test_a_target_out_of_reach_is_refused_with_what_was_tried(made, pictures, word):
    said: list[str] = []
    with pytest.raises(GateError, match=r"1\.01 is wanted. Tried: as it is") as caught:
        _lowered(made, formats.find(word, "int8"), lower.How(str(pictures), 1.01), said)
    assert "biases corrected" in str(caught.value) and "in floats" in str(caught.value)
    assert any("looking for the layers that hurt most" in line for line in said)


def test_learned_ranges_are_found_by_what_the_layer_answers(made):
    import keras

    call = golden_.load(made / "golden.npz")["classify"].calls[0]
    model = keras.Model(tiny().keras.input, tiny().keras.get_layer("conv").output)
    expected = np.asarray(model(tiny().normalise(call.inputs["image"]), training=False))
    for form in formats.NETWORKS:
        own = quantize.tool(form)
        read = own.read(made / form.file)
        found = quantize.matched(own, read, {"conv": ((0.0, 3.5), expected)}, [call])
        assert set(found.values()) == {(0.0, 3.5)} and 1 <= len(found) <= 3
        np.savez(made / "layers.npz", conv=expected)
        how = lower.How("random", 0.5, {"conv": (0.0, float(expected.max()))}, False)
        artefact = _lowered(made, formats.find(form.word, "int8"), how)
        assert [each["what"] for each in artefact.report["tried"]][0] == "learned ranges"


@FLOATS
def test_what_the_runtime_refuses_to_run_is_no_artefact(made, pictures, form, monkeypatch):
    """LiteRT takes some files, and refuses to run them."""

    class Refused:
        def part(self, name):
            return self

        def __call__(self, inputs):
            raise RuntimeError("a traceback\nfailed to delegate SPLIT node #16")

    monkeypatch.setattr(quantize.tool(form), "network", lambda *given: Refused())
    with pytest.raises(GateError, match=r"int8 cannot be made: failed to delegate SPLIT node #16$"):
        _lowered(made, formats.find(form.word, "int8"), lower.How(str(pictures), 0.9))


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_pictures_are_refused(made, pictures, tmp_path, count):
    for file in sorted(pictures.iterdir())[:count]:
        shutil.copy(file, tmp_path)
    with pytest.raises(UsageError, match=f"{count} items for image_bytes were found there, and 16"):
        _lowered(made, formats.find("litert", "int8"), lower.How(str(tmp_path)))


def test_a_folder_of_other_things_is_refused(made, tmp_path):
    for index in range(20):
        (tmp_path / f"{index}.jpg").write_bytes(b"no picture")
    with pytest.raises(UsageError, match="0 items .* 20 could not be read"):
        _lowered(made, formats.find("litert", "int8"), lower.How(str(tmp_path)))
    with pytest.raises(UsageError, match="no such folder"):
        _lowered(made, formats.find("litert", "int8"), lower.How(str(tmp_path / "none")))


def test_some_bad_pictures_are_left_out_and_told(made, pictures, tmp_path):
    for file in pictures.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "zz.png").write_bytes(b"half a pict")
    said: list[str] = []
    _lowered(made, formats.find("litert", "int8"), lower.How(str(tmp_path), 0.5), said)
    assert any(line.startswith("1 of 25 calibration items could not be read") for line in said)


def test_made_up_items_come_with_a_note(made):
    said: list[str] = []
    artefact = _lowered(made, formats.find("litert", "int8"), lower.How("random", 0.5), said)
    assert said[0].startswith("NOTE: calibrated with made-up items")
    assert artefact.report["judged"] == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "forms"),
    [("gcn_cora", tuple(formats.ROWS)), ("bert_tiny", ("onnx-fp16", "onnx-dynamic", "litert-fp16", "litert-dynamic"))],
)
def test_graphs_have_no_rows_and_texts_with_a_gap_are_not_drawn(name, forms):
    from benchmarks.formats import measure

    assert not {form: cell["why"] for form, cell in measure(name, forms).items() if "why" in cell}


def test_precisions_that_a_format_does_not_have():
    with pytest.raises(UsageError, match="savedmodel has no int8; it has fp32. int8 goes to onnx, litert"):
        formats.find("savedmodel", "int8")
    with pytest.raises(UsageError, match="onnx has no int16x8; it has fp32, fp16, dynamic, int8"):
        formats.find("onnx", "int16x8")
    with pytest.raises(UsageError, match="Unknown precision 'int7'.*int8"):
        formats.find("onnx", "int7")


def test_agreement_is_the_tasks_own(golden):
    task = tiny().task
    assert agreement.of(task, golden.response, golden.response) == 1.0
    other = {**golden.response, "index": golden.response["index"][:, ::-1]}
    assert agreement.of(task, golden.response, other) == 0.0
    assert agreement.measure(task).name == "equal first classes"
