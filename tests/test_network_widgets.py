"""NetworkExplorer and DigitPad in Python: what they take and refuse, and that they say what Keras says."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import traitlets
from ipywidgets.widgets.widget import _remove_buffers

from course_lib import record
from course_lib.backend import keras
from course_lib.data import load_mnist
from course_lib.networks import cifar10_cnn, mnist_cnn
from course_lib.widgets.digit_pad import DigitPad, as_mnist
from course_lib.widgets.network import Network
from course_lib.widgets.network_explorer import NetworkExplorer

layers = keras.layers
RECORDED = Path(record.__file__).parent / "recorded"


@functools.cache
def trained_mnist():
    """The network of 1.4 as the book's recorded run left it."""
    model = mnist_cnn()
    for path in sorted(RECORDED.glob("*.npz")):
        try:
            weights = record.load(path, model.get_weights())["weights"]
        except record.Damaged:  # of another network
            continue
        if weights:  # else only its history was kept
            model.set_weights(weights)
            return model
    raise AssertionError("the recorded run of mnist_cnn is missing")


@functools.cache
def sample_digits():
    """Digits of the offline sample and their labels, 500 that the training order has mixed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DATA", "sample")
        mnist = load_mnist()
    return mnist.x_test[:500], mnist.y_test[:500]


@pytest.fixture(scope="module")
def explorer():
    images, labels = sample_digits()
    return NetworkExplorer(trained_mnist(), images, labels=labels)


def sequential(*parts, shape=(8, 8, 1)):
    return keras.Sequential([keras.Input(shape), *parts, layers.Flatten(), layers.Dense(3)])


# --- a network is copied ------------------------------------------------------------------------------------


def test_weights_travel_as_float16_where_that_is_exact():
    model = trained_mnist()
    network = Network(model)
    kernels = sum(weight.size for weight in model.get_weights() if weight.ndim > 1)
    biases = sum(weight.size for weight in model.get_weights() if weight.ndim == 1)
    assert len(network.weights) == 2 * kernels + 4 * biases
    assert len(Network(mnist_cnn()).weights) > 4 * kernels  # new weights are no float16 numbers


def test_a_copy_does_not_change_when_the_model_learns():
    model = sequential(layers.Conv2D(2, 3))
    network, image = Network(model), np.ones((8, 8, 1))
    before = network.outputs(image)[-1]
    model.set_weights([weight + 1 for weight in model.get_weights()])
    np.testing.assert_array_equal(network.outputs(image)[-1], before)


REFUSED = {
    "a depthwise layer": (layers.DepthwiseConv2D(3, name="odd"), "layer 'odd': the layer DepthwiseConv2D"),
    "a nested network": (keras.Sequential([layers.Flatten()], name="odd"), "'odd': the layer Sequential"),
    "dilation": (layers.Conv2D(2, 3, dilation_rate=2, name="odd"), "'odd': dilation"),
    "oblong strides": (layers.Conv2D(2, 1, strides=(1, 2), name="odd"), "'odd': strides of 1 × 2"),
    "an activation": (layers.Conv2D(2, 3, activation="gelu", name="odd"), "'odd': the activation gelu"),
    "a capped ReLU": (layers.ReLU(max_value=6, name="odd"), "'odd': the activation ReLU"),
    "softmax on maps": (
        layers.Conv2D(2, 3, activation="softmax", name="odd"),
        "'odd': softmax on feature maps",
    ),
    "dense on maps": (layers.Dense(2, name="odd"), "'odd': Dense on feature maps"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_layer_that_is_not_supported_is_named(name):
    layer, said = REFUSED[name]
    with pytest.raises(ValueError, match=said) as problem:
        Network(sequential(layer))
    assert "Conv2D, MaxPooling2D" in str(problem.value)


def test_what_is_no_trained_network_is_refused():
    with pytest.raises(TypeError, match="Sequential, got int"):
        Network(3)
    with pytest.raises(ValueError, match="is not built"):
        Network(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(ValueError, match="must take images"):
        Network(keras.Sequential([keras.Input((4,)), layers.Dense(3)]))
    with pytest.raises(ValueError, match="a number for each class"):
        Network(keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3)]))
    diverged = sequential()
    diverged.set_weights([np.full_like(weight, np.nan) for weight in diverged.get_weights()])
    with pytest.raises(ValueError, match="its training diverged"):
        Network(diverged)


def test_importing_the_widgets_does_not_import_keras():
    code = (
        "import sys, course_lib.widgets.network_explorer, course_lib.widgets.digit_pad\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- NetworkExplorer ----------------------------------------------------------------------------------------


def test_answers_and_maps_are_those_of_keras(explorer):
    images, labels = sample_digits()
    model, x = trained_mnist(), (images[..., np.newaxis] / 255).astype("float32")
    np.testing.assert_array_equal(explorer.answers, model.predict(x, verbose=0).argmax(axis=1))
    assert (explorer.answers == labels).mean() > 0.98
    explorer.index, explorer.layer, explorer.channel = 7, 2, 5
    maps = model.layers[2](model.layers[1](model.layers[0](x[7:8])))
    np.testing.assert_allclose(explorer.feature_map, np.asarray(maps)[0, :, :, 5], rtol=1e-5, atol=1e-5)
    explorer.layer = 5
    np.testing.assert_allclose(
        explorer.feature_map, model.predict(x[7:8], verbose=0)[0], rtol=1e-4, atol=1e-6
    )
    explorer.index = explorer.layer = explorer.channel = 0


def test_logits_become_probabilities():
    explorer = NetworkExplorer(cifar10_cnn(), np.zeros((1, 32, 32, 3), np.uint8))
    assert explorer.network.gives_logits
    probabilities = explorer.network.probabilities(explorer.network.outputs(np.zeros((32, 32, 3))))
    assert probabilities.sum() == pytest.approx(1)


def test_pixels_divided_by_255_travel_as_bytes(explorer):
    images, _ = sample_digits()
    divided = NetworkExplorer(trained_mnist(), (images[:5, :, :, np.newaxis] / 255).astype("float32"))
    assert (divided.images.dtype, divided.divisor) == (np.uint8, 255)
    np.testing.assert_array_equal(divided.answers, explorer.answers[:5])
    other = NetworkExplorer(trained_mnist(), images[:5] / 100)
    assert (other.images.dtype, other.divisor) == (np.float64, 1)
    scaled = NetworkExplorer(sequential(layers.Rescaling(1 / 255)), np.zeros((1, 8, 8), np.uint8))
    assert scaled.divisor == 1


def test_what_does_not_fit_together_is_refused(explorer):
    images, model = np.zeros((3, 28, 28), np.uint8), trained_mnist()
    with pytest.raises(ValueError, match=r"\(n, 28, 28, 1\), but these have \(3, 28, 27\)"):
        NetworkExplorer(model, images[:, :, 1:])
    with pytest.raises(ValueError, match=r"these have \(0, 28, 28\)"):
        NetworkExplorer(model, images[:0])
    with pytest.raises(ValueError, match="NaN"):
        NetworkExplorer(model, images * np.nan)
    with pytest.raises(ValueError, match="real numbers"):
        NetworkExplorer(model, images.astype(str))
    with pytest.raises(ValueError, match="each of the 3 images"):
        NetworkExplorer(model, images, labels=[1, 2])
    with pytest.raises(ValueError, match="from 0 to 9"):
        NetworkExplorer(model, images, labels=[1, 2, 10])
    with pytest.raises(ValueError, match="2 class names"):
        NetworkExplorer(model, images, class_names=["cat", "dog"])
    with pytest.raises(ValueError, match="1 image names"):
        NetworkExplorer(model, images, image_names=["a"])
    with pytest.raises(traitlets.TraitError, match="index must be from 0 to 499, got 500"):
        explorer.index = 500
    with pytest.raises(traitlets.TraitError, match="layer must be from 0 to 5, got 6"):
        explorer.layer = 6


def test_a_page_gets_it_all_and_compactly(explorer):
    page = json.loads(json.dumps(explorer.on_a_page()))
    sizes = {buffer["path"][0]: len(buffer["data"]) * 3 // 4 for buffer in page["buffers"]}
    assert sizes["weights"] == pytest.approx(len(explorer.weights), abs=3)
    assert sizes["images"] == pytest.approx(500 * 28 * 28, abs=3)
    assert page["state"]["has_kernel"] is False


def test_the_picture_and_its_description(explorer):
    figure = explorer.picture()
    assert len(figure.axes) == 2 + 3  # image and bars, then the three layers with maps
    plt.close(figure)
    answer = explorer.answers[0]
    assert f"It answers {answer} with a probability of" in explorer.description()
    assert f"of class {explorer.labels[0]}" in explorer.description()


# --- DigitPad -----------------------------------------------------------------------------------------------


@pytest.fixture
def pad():
    return DigitPad(trained_mnist())


def test_digits_of_mnist_are_already_as_mnist_was_made():
    images, _ = sample_digits()
    for image in images:
        np.testing.assert_array_equal(as_mnist(image)[1], image)
        moved = np.pad(np.kron(image, np.ones((4, 4), np.uint8)), ((9, 30), (0, 5)))  # larger, and elsewhere
        assert np.abs(as_mnist(moved)[1].astype(int) - image).max() <= 1


def test_an_image_is_drawn_and_read(pad):
    images, labels = sample_digits()
    assert pad.image is pad.probabilities is None
    pad.image = images[0]
    np.testing.assert_array_equal(pad.drawing, images[0])
    assert pad.probabilities.argmax() == labels[0]
    expected = trained_mnist().predict((images[:1, :, :, np.newaxis] / 255).astype("float32"), verbose=0)[0]
    np.testing.assert_allclose(pad.probabilities, expected, atol=1e-6)
    pad.image = None
    assert pad.drawing is pad.image is pad.probabilities is None


def test_the_step_decides_what_the_network_sees(pad):
    corner = np.zeros((280, 280), np.uint8)
    corner[200:260, 230:240] = 255  # a small 1 in a corner
    pad.drawing = corner
    assert pad.probabilities.argmax() == 1
    assert pad.image.any(axis=1).sum() == 20
    pad.centred = False
    assert pad.image[20:26, 23].all() and not pad.image[:20].any()
    assert pad.probabilities[1] < 0.9


def test_what_the_page_draws_reaches_python(pad):
    drawing = np.zeros((280, 280), np.uint8)
    drawing[40:240, 130:150] = 255
    seen = []
    pad.observe(lambda change: seen.append(change["new"].argmax()), "probabilities")
    pad.set_state({"drawing": {"shape": [280, 280], "dtype": "uint8", "data": memoryview(drawing.tobytes())}})
    assert seen == [1]
    np.testing.assert_array_equal(pad.drawing, drawing)
    _, paths, _ = _remove_buffers(pad.get_state())
    assert ["drawing", "data"] in paths and ["image", "data"] not in paths


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("drawing", np.zeros((30, 30), np.uint8), "a side that 28 divides"),
        ("drawing", np.zeros((2800, 2800), np.uint8), "560 at most"),
        ("drawing", np.zeros((28, 28)), "uint8"),
        ("image", np.zeros((56, 56), np.uint8), "28 × 28"),
        ("image", np.zeros((28, 28, 1), np.uint8), "2-D"),
        ("brush", 0.0, "brush"),
    ],
)
def test_what_can_not_be_drawn_is_refused(pad, name, value, said):
    with pytest.raises(traitlets.TraitError, match=said):
        setattr(pad, name, value)


def test_a_network_for_other_images_is_refused():
    with pytest.raises(ValueError, match=r"takes \(32, 32, 3\)"):
        DigitPad(cifar10_cnn())
    with pytest.raises(ValueError, match="1 to 20"):
        DigitPad(trained_mnist(), images=np.zeros((21, 28, 28), np.uint8))


def test_its_picture_empty_and_drawn(pad):
    assert "empty pad" in pad.description()
    plt.close(pad.picture())
    images, labels = sample_digits()
    drawn = DigitPad(trained_mnist(), images=images[:3])
    figure = drawn.picture()
    assert len(figure.axes) == 4
    plt.close(figure)
    assert f"answers {labels[0]} with" in drawn.description()
