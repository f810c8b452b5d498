from __future__ import annotations

import math
from dataclasses import replace

import keras
import numpy as np
import pytest

from kerazoo.applications import NVAEMNISTSmall, _nvae, nvae
from kerazoo.errors import UsageError
from kerazoo.layers import hierarchy
from kerazoo.layers.latent import mixture_nats
from kerazoo.layers.weight_norm import AutoregressiveConv2D, WeightNormConv2D
from kerazoo.ops import numpy as ops
from kerazoo.train.steps import hierarchical

TINY = nvae.VARIANTS["nvae_mnist_small"].small
COLOURS = nvae.VARIANTS["nvae_cifar10"].small


@pytest.fixture
def float64():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


def built(config):
    keras.utils.set_random_seed(0)
    model = nvae.build(config)
    random = np.random.default_rng(0)
    for variable in model.weights:  # So that no term of the bound is nothing.
        if variable.path.endswith(("moving_variance", "gamma")):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) == 1:
            variable.assign(variable.numpy() + random.normal(0, 0.1, variable.shape))
    return model


def asked(config, rows=2):
    random = np.random.default_rng(1)
    pictures = random.integers(0, 2, (rows, *config.input_shape)).astype(np.float64)
    return pictures, random.standard_normal((rows, config.noise))


def soft(x):
    return 5 * np.tanh(x / 5)


def moments(distribution):
    mean, log_deviation = np.split(soft(distribution), 2, axis=-1)
    return mean, np.exp(log_deviation) + 0.01


def convolved(layer, x):
    """A weight-normalised convolution of stride 1, kernel by kernel."""
    kernel = layer.kernel.numpy()
    length = np.sqrt((kernel**2).sum((0, 1, 2)))
    kernel = kernel * np.exp(layer.log_norm.numpy()) / (length + 1e-5)
    height, width = kernel.shape[:2]
    padded = np.pad(x, ((0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0)))
    rows, columns = x.shape[1:3]
    out = np.zeros((*x.shape[:3], kernel.shape[-1]))
    for i in range(height):
        for j in range(width):
            out += padded[:, i : i + rows, j : j + columns] @ kernel[i, j]
    return out + layer.bias.numpy()


def elu(x):
    return np.where(x > 0, x, np.expm1(x))


@pytest.mark.slow
def test_counts_of_the_published_sizes():
    model = NVAEMNISTSmall()
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_weights)
    assert trainable == 2_231_270
    assert model.count_params() == trainable + 19_328 == nvae.VARIANTS["nvae_mnist_small"].params
    assert hierarchy.groups(model) == [(4, 4, 20)] * 2 + [(8, 8, 20)] * 4
    assert nvae.SMALL.noise == 5760


def test_the_bound_is_what_numpy_says(float64):
    """Priors, residual posteriors, draws, divergences and costs, from the features of each group on."""
    model = built(TINY)
    pictures, noise = asked(TINY)
    logits, apart = (np.asarray(each) for each in hierarchy.describing(model)([pictures, noise], training=False))
    features = [np.asarray(each) for each in model.get_layer("encoder")(pictures, training=False)]
    state = np.broadcast_to(model.get_layer("start").maps.numpy(), features[0].shape)
    start = 0
    for index, (height, width, channels) in enumerate(hierarchy.groups(model)):
        end = start + height * width * channels
        own = noise[:, start:end].reshape(2, height, width, channels)
        start = end
        posterior, behind = model.get_layer(f"posterior{index}"), features[index]
        prior = np.zeros((2, height, width, 2 * channels))
        if index:
            prior = convolved(model.get_layer(f"prior{index}").get_layer(f"prior{index}_conv"), elu(state))
            behind = behind + convolved(posterior.get_layer(f"posterior{index}_combine"), state)
        change = convolved(posterior.get_layer(f"posterior{index}_conv"), behind)
        (mean, deviation), (theirs, other) = moments(prior + change), moments(prior)
        nats = np.log(other / deviation) + (deviation**2 + (mean - theirs) ** 2) / (2 * other**2) - 0.5
        np.testing.assert_allclose(apart[:, index], nats.sum((1, 2, 3)), rtol=1e-7)
        assert apart[:, index].min() > 0.01
        state = np.asarray(model.get_layer(f"group{index}")([state, mean + deviation * own], training=False))
    np.testing.assert_allclose(logits, model.get_layer("picture")(state, training=False), rtol=1e-7, atol=1e-7)
    costs = np.asarray(nvae.reconstruction()(pictures, logits))
    np.testing.assert_allclose(costs, (np.logaddexp(0, logits) - pictures * logits).sum((1, 2, 3)), rtol=1e-5)


@pytest.mark.slow
def test_the_gradient_of_the_bound_is_its_slope(float64):
    import tensorflow as tf

    model = built(TINY)
    pictures, noise = asked(TINY)
    network, random = hierarchy.describing(model), np.random.default_rng(2)

    def bound():
        logits, apart = network([pictures, noise], training=False)
        return tf.reduce_sum(tf.nn.softplus(logits) - pictures * logits) + tf.reduce_sum(apart)

    with tf.GradientTape() as tape:
        value = bound()
    weights = model.trainable_variables
    slopes = tape.gradient(value, [weight.value for weight in weights])
    assert all(slope is not None for slope in slopes)
    moves = [random.standard_normal(weight.shape) for weight in weights]
    expected = sum(float(np.sum(np.asarray(slope) * move)) for slope, move in zip(slopes, moves, strict=True))
    ends = []
    for sign in (1, -1):
        for weight, move in zip(weights, moves, strict=True):
            weight.assign_add(sign * 1e-5 * move)
        ends.append(float(bound()))
        for weight, move in zip(weights, moves, strict=True):
            weight.assign_add(-sign * 1e-5 * move)
    np.testing.assert_allclose((ends[0] - ends[1]) / 2e-5, expected, rtol=1e-3)


@pytest.mark.slow
def test_where_the_posterior_is_the_prior_the_description_is_the_drawing():
    model = built(TINY)
    for index in range(len(hierarchy.groups(model))):
        last = model.get_layer(f"posterior{index}").get_layer(f"posterior{index}_conv")
        last.log_norm.assign(np.full(last.log_norm.shape, -100.0))
        last.bias.assign(np.zeros(last.bias.shape))
    pictures, noise = (each.astype(np.float32) for each in asked(TINY))
    logits, apart = hierarchy.describing(model)([pictures, noise], training=False)
    np.testing.assert_allclose(apart, np.zeros(apart.shape), atol=1e-3)
    np.testing.assert_allclose(logits, hierarchy.generating(model)(noise, training=False), atol=1e-5)
    other = hierarchy.describing(model)([1 - pictures, noise], training=False)[0]
    np.testing.assert_allclose(logits, other, atol=1e-5)


@pytest.mark.slow
def test_fit_reports_the_negative_lower_bound():
    model = built(TINY)
    pictures = asked(TINY)[0].astype(np.float32)
    model.compile("adam", nvae.reconstruction())
    nothing = np.zeros((2, TINY.noise), np.float32)  # Outside training means are described.
    logits, apart = hierarchy.describing(model)([pictures, nothing], training=False)
    expected = float(np.mean(nvae.reconstruction()(pictures, logits)) + np.mean(np.sum(apart, 1)))
    np.testing.assert_allclose(model.evaluate(pictures, pictures, batch_size=2, verbose=0), expected, rtol=1e-4)
    assert not np.array_equal(model(pictures, training=True), model(pictures, training=True))


def test_a_kernels_length_is_its_own_number():
    keras.utils.set_random_seed(0)
    layer, x = WeightNormConv2D(3, 3, padding="same"), np.random.default_rng(0).random((1, 5, 5, 2), np.float32)
    first = np.asarray(layer(x))
    np.testing.assert_allclose(first, convolved(layer, x), atol=1e-5)
    layer.kernel.assign(layer.kernel * 7)
    np.testing.assert_allclose(layer(x), first, rtol=1e-3, atol=1e-5)
    lengths = np.sqrt(np.sum(np.square(layer.normalised), (0, 1, 2)))
    np.testing.assert_allclose(lengths, np.exp(layer.log_norm), rtol=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_flow_sees_only_what_came_before(mirrored):
    """So its Jacobian is triangular with ones on the diagonal, and volumes are kept."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 2))
    flow = keras.Model(inputs, nvae._flow(inputs, "flow", mirrored))
    for layer in flow.layers:
        if isinstance(layer, AutoregressiveConv2D):
            layer.log_norm.assign(np.zeros(layer.log_norm.shape))
    z = tf.constant(np.random.default_rng(0).standard_normal((1, 4, 4, 2)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(z)
        out = flow(z)
    jacobian = tape.jacobian(out, z).numpy()[0, :, :, :, 0]
    if mirrored:  # Places in the other order; channels in the same.
        jacobian = jacobian[::-1, ::-1, :, ::-1, ::-1]
    matrix = jacobian.reshape(32, 32)
    np.testing.assert_allclose(matrix, np.tril(matrix), atol=1e-6)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-6)
    assert np.abs(matrix - np.eye(32)).max() > 0.01


def test_the_levels_of_a_colour_share_all_probability(float64):
    random = np.random.default_rng(0)
    parameters = random.standard_normal((1, 1, 1, 20))
    levels = np.arange(256) / 255
    pictures = np.full((256, 1, 1, 3), 0.4)
    pictures[:, 0, 0, 2] = levels  # Nothing depends on blue.
    nats = np.asarray(mixture_nats(pictures, np.repeat(parameters, 256, 0))).reshape(-1)
    weights, rest = parameters[0, 0, 0, :2], parameters[0, 0, 0, 2:].reshape(3, 6)
    means, scales, slopes = rest[:, :2], np.exp(np.maximum(rest[:, 2:4], -7)), np.tanh(rest[:, 4:])
    red, green = 2 * 0.4 - 1, 2 * 0.4 - 1

    def share(value, mean, scale):
        edges = [1 / (1 + np.exp(-(value + step - mean) / scale)) for step in (1 / 255, -1 / 255)]
        return edges[0] - edges[1]

    both = share(red, means[0], scales[0]) * share(green, means[1] + slopes[0] * red, scales[1])
    mixed = np.exp(weights) / np.exp(weights).sum()
    np.testing.assert_allclose(np.exp(-nats).sum(), (mixed * both).sum(), rtol=1e-6)


def test_divergences_are_balanced_while_they_are_warmed_up():
    sizes = hierarchical.balance([(4, 4, 20)] * 2 + [(8, 8, 20)] * 4)
    np.testing.assert_allclose(sizes, [1, 1, 2, 2, 2, 2])
    apart = np.array([[1.0, 0.0, 4.0, 2.0, 0.0, 1.0], [3.0, 0.0, 4.0, 2.0, 0.0, 1.0]], np.float32)
    says = (apart.mean(0) + 0.01) / sizes
    expected = says / says.mean() * apart.mean(0)
    np.testing.assert_allclose(hierarchical.weighed(apart, sizes, np.float32(0.5)), expected, rtol=1e-5)
    np.testing.assert_allclose(hierarchical.weighed(apart, sizes, np.float32(1.0)), apart.mean(0), rtol=1e-6)


@pytest.mark.slow
def test_roughness_is_the_largest_singular_values_and_scales():
    model = built(replace(TINY, groups=(1,)))
    network = hierarchy.describing(model)
    kernels = [np.asarray(each) for several in hierarchical._kernels(network).values() for each in several]
    scales = [variable.numpy() for variable in model.trainable_weights if variable.path.endswith("gamma")]
    expected = sum(np.linalg.norm(each, 2) for each in kernels) + sum(np.abs(each).max() for each in scales)
    random = np.random.default_rng(0)
    sizes = hierarchical.directions_of(network)
    directions = {name: random.standard_normal(size).astype(np.float32) for name, size in sizes.items()}
    for _ in range(30):
        found, directions = hierarchical.rough(network, directions)
    np.testing.assert_allclose(float(found), expected, rtol=0.01)


def test_digits_are_drawn_anew_by_their_levels():
    grey = np.full((400, 4, 4, 1), 64, np.uint8)
    first, noise = hierarchical.Binarised(7)((grey,), np.random.default_rng(0), 0)
    assert set(np.unique(first)) == {0, 1}
    assert abs(first.mean() - 64 / 255) < 0.02
    assert noise.shape == (400, 7)
    kept, _ = hierarchical.Binarised(7, levels=True)((grey,), np.random.default_rng(0), 0)
    np.testing.assert_allclose(kept, 64 / 255)


@pytest.mark.slow
def test_colours_are_described_and_drawn():
    keras.utils.set_random_seed(0)
    model = nvae.build(COLOURS)
    task = nvae.tasks(COLOURS, None)["sample"]
    drawn = np.asarray(task.derived("decoder", model)(ops.normal(np.array([7]), task.latents)))
    assert drawn.shape == (1, 8, 8, 3)
    assert drawn.min() >= 0 and drawn.max() <= 1
    pictures, noise = (each.astype(np.float32) for each in asked(COLOURS))
    described, apart = hierarchy.describing(model)([pictures, noise], training=False)
    assert np.isfinite(nvae.reconstruction()(pictures, described)).all()
    assert apart.shape == (2, 2)


def test_wrong_arguments():
    with pytest.raises(UsageError, match="imagenet"):
        NVAEMNISTSmall(weights="imagenet")


def test_the_authors_module_tree():
    """Names that the reference implementation gives, each once, with PyTorch's shapes."""
    config = nvae.CIFAR10
    names = _nvae.torch_names(config)
    assert len(names) == len(set(names.values()))
    modules = set(names.values())
    # Two halving cells and one more before the groups, thirty of two cells each, and all combiners but the last.
    assert {name.split(".")[1] for name in modules if name.startswith("enc_tower")} == set(map(str, range(60 + 29)))
    assert {name.split(".")[1] for name in modules if name.startswith("dec_tower")} == set(map(str, range(30 + 58)))
    assert {name.split(".")[1] for name in modules if name.startswith("nf_cells")} == set(map(str, range(30)))
    assert names["before1_cell2_skip_conv4"] == "pre_process.1.skip.conv_4"
    assert names["after1_cell1_depthwise:depthwise"] == "post_process.0._ops.0.conv.3.conv.0"
    assert names["after1_cell2_depthwise:depthwise"] == "post_process.1._ops.0.conv.2.conv.0"


@pytest.mark.parametrize("config", [TINY, pytest.param(COLOURS, marks=pytest.mark.slow)], ids=["grey", "colours"])
def test_files_of_the_authors_load(config):
    model = built(config)
    arrays = {variable.path: variable.numpy() for variable in model.weights}
    recipe, tensors = _nvae.torch_recipe(config), {"pre_process.0._ops.0.bn_act.num_batches_tracked": np.array(3)}
    assert recipe.keys() == arrays.keys()
    for path, (source, _) in recipe.items():
        array, last = arrays[path], path.rpartition("/")[2]
        if "depthwise" in path and array.ndim == 4:
            array = array.transpose(2, 3, 0, 1)
        elif array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        elif last == "log_norm":
            array = array.reshape(-1, 1, 1, 1)
        elif path == "start/maps":
            array = array.transpose(2, 0, 1)
        elif last == "kernel":
            array = array.T
        tensors[source] = array
    assert tensors["stem.log_weight_norm"].shape == (4, 1, 1, 1)
    assert tensors["prior_ftr0"].shape[0] == tensors["enc0.1.weight"].shape[0]
    for path, array in nvae.SOURCES["torch"](config, tensors).items():
        np.testing.assert_array_equal(array, arrays[path], err_msg=path)
    with pytest.raises(UsageError, match=r"image_conditional\.1\.weight"):
        nvae.SOURCES["torch"](config, {n: t for n, t in tensors.items() if n != "image_conditional.1.weight"})
