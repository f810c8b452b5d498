"""Networks are named: layers, variables and ports."""

from kerazoo import registry
from kerazoo.engines import keras as keras_engine
from tests.conformance.models import assets, built, config, every_kind, family, flat


@every_kind
def test_names_do_not_depend_on_what_was_built_before(name):
    # Keras numbers what has no name (`conv2d_3`) with a counter of the process, so a second build tells.
    first, second = (family(name).build(config(name)) for _ in range(2))
    names = [layer.name for layer in flat(first)]
    assert names == [layer.name for layer in flat(second)]
    assert len(set(names)) == len(names)
    paths = [variable.path for variable in first.weights]
    assert paths == [variable.path for variable in second.weights]
    assert len(set(paths)) == len(paths)
    assert first.name == second.name


@every_kind
def test_ports_agree_with_the_task(name):
    made = built(name)
    for part, signature in made.task.parts.items():
        if part != "network" and hasattr(made.task, "derived"):
            continue  # A function of the whole network, whose answers the golden holds.
        model = keras_engine.network(made).part(part).model
        # Of a whole whose outputs have names a part has some.
        outputs = model.outputs
        if isinstance(model.output, dict):
            outputs = [model.output[port.name] for port in signature.outputs]
        assert len(model.inputs) == len(signature.inputs)
        assert len(outputs) == len(signature.outputs)
        for ports, tensors in ((signature.inputs, model.inputs), (signature.outputs, outputs)):
            for port, tensor in zip(ports, tensors, strict=True):
                assert port.dtype == tensor.dtype, port.name
                assert len(port.shape) == len(tensor.shape), port.name
                for mine, theirs in zip(port.shape, tensor.shape, strict=True):
                    assert mine == theirs or mine is None or theirs is None, (port.name, port.shape, tensor.shape)


@every_kind
def test_the_description_agrees_with_the_network(name):
    module, described = registry.variants()[name]
    assert built(name).task.kind == described.task
    if described.small is None:
        there = built(name).keras.inputs[0].shape
    else:  # The task describes the full size without building it.
        task = next(iter(module.tasks(described.config, assets(described.config)).values()))
        there = next(iter(task.parts.values())).inputs[0].shape
    assert len(there) == len(described.input) + 1
    assert all(
        mine in (None, theirs) or theirs is None for mine, theirs in zip(described.input, there[1:], strict=True)
    )
