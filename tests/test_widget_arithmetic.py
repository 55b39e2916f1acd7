"""The arithmetic of the widgets equals that of NumPy and Keras: the same vectors for Node and a browser."""

import base64
import json
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
from test_network_widgets import sample_digits, trained_mnist

from course_lib.backend import keras
from course_lib.convolution import conv2d, max_pool2d
from course_lib.networks import cifar10_cnn, cifar10_cnn_regularized, mnist_cnn
from course_lib.widgets.digit_pad import area_mean, as_mnist
from course_lib.widgets.network import Network

layers = keras.layers
WIDGETS = Path(__file__).parents[1] / "course_lib" / "widgets"
CHECK = Path(__file__).with_name("arithmetic.test.mjs")


def packed(array):
    array = np.ascontiguousarray(array)
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "data": base64.b64encode(array.tobytes()).decode(),
    }


def vector(name, kind, expected, **given):
    given = {key: packed(value) if isinstance(value, np.ndarray) else value for key, value in given.items()}
    return {"name": name, "kind": kind, "given": given, "expected": [packed(array) for array in expected]}


def normal(random, *shape):
    return random.normal(size=shape).astype(np.float32)


def of_keras(layer, image, *weights):
    """What a Keras layer makes of one image."""
    layer.build((None, *image.shape))
    layer.set_weights(weights)
    return np.asarray(layer(image[np.newaxis]))[0]


def convolutions(random):
    for case in range(40):
        height, width = random.integers(1, 14, 2)
        padding = str(random.choice(["valid", "same"]))
        largest = (7, 7) if padding == "same" else (min(7, height), min(7, width))
        size = [int(random.integers(1, side + 1)) for side in largest]
        depth, maps, stride = (int(random.integers(1, most)) for most in (5, 6, 4))
        image, kernel, bias = (
            normal(random, height, width, depth),
            normal(random, *size, depth, maps),
            normal(random, maps),
        )
        ours = conv2d(image[np.newaxis], kernel, stride=stride, padding=padding)[0] + bias
        theirs = of_keras(layers.Conv2D(maps, size, stride, padding), image, kernel, bias)
        name = f"convolution {case}: {height}×{width}×{depth}, kernel {size}, stride {stride}, {padding}"
        for whose, expected in [("NumPy", ours), ("Keras", theirs)]:
            yield vector(
                f"{name}, {whose}", "convolution", [expected],
                image=image, kernel=kernel, bias=bias, stride=stride, padding=padding,
            )  # fmt: skip


def poolings(random):
    for case in range(40):
        height, width = (int(side) for side in random.integers(1, 14, 2))
        padding = str(random.choice(["valid", "same"]))
        size = int(random.integers(1, 5 if padding == "same" else min(5, height, width) + 1))
        stride = int(random.integers(1, 5))
        image = normal(random, height, width, 3) - 3  # nearly all negative: a zero of padding must not win
        ours = max_pool2d(image[np.newaxis], size, stride=stride, padding=padding)[0]
        theirs = of_keras(layers.MaxPooling2D(size, stride, padding), image)
        name = f"pooling {case}: {height}×{width}, blocks of {size}, stride {stride}, {padding}"
        for whose, expected in [("NumPy", ours), ("Keras", theirs)]:
            yield vector(
                f"{name}, {whose}",
                "pooling",
                [expected],
                image=image,
                size=size,
                stride=stride,
                padding=padding,
            )


def vectors_of_numbers(random):
    for case in range(12):
        inputs, outputs = (int(number) for number in random.integers(1, 200, 2))
        x, kernel, bias = normal(random, inputs), normal(random, inputs, outputs), normal(random, outputs)
        yield vector(f"dense {case}, NumPy", "dense", [x @ kernel + bias], image=x, kernel=kernel, bias=bias)
        theirs = of_keras(layers.Dense(outputs), x, kernel, bias)
        yield vector(f"dense {case}, Keras", "dense", [theirs], image=x, kernel=kernel, bias=bias)
        logits = (x * 10.0**case).clip(-3e38, 3e38)  # up to numbers whose exp overflows
        yield vector(
            f"softmax {case}, Keras", "softmax", [np.asarray(keras.ops.softmax(logits))], image=logits
        )
        yield vector(f"relu {case}, Keras", "relu", [np.asarray(keras.ops.relu(x))], image=x)
        leaky = of_keras(layers.LeakyReLU(negative_slope=0.1), x)
        yield vector(
            f"leaky ReLU {case}, Keras", "leaky_relu", [leaky], image=x, slope=float(np.float32(0.1))
        )


def every_layer():
    """All kinds of layers that the widgets know, with settings that no chapter's network has."""
    return keras.Sequential(
        [
            keras.Input((15, 11, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(4, (3, 2), strides=2, padding="same", activation="tanh", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(3, strides=2, padding="same"),
            layers.Conv2D(5, 2, activation=layers.LeakyReLU(negative_slope=0.3)),
            layers.LeakyReLU(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(7, activation="sigmoid"),
            layers.Activation("leaky_relu"),
            layers.Dense(4),
            layers.Softmax(),
        ]
    )


def networks(random):
    for build in (mnist_cnn, cifar10_cnn, cifar10_cnn_regularized, every_layer):
        keras.utils.set_random_seed(1)
        model = build()
        for layer in model.layers:  # moving means and variances as after some training
            if isinstance(layer, layers.BatchNormalization):
                layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        network = Network(model)
        largest = 255 if network.rescales else 1
        image = (random.random(network.input_shape) * largest).astype(np.float32)
        x, theirs = image[np.newaxis], []
        for layer in model.layers:
            x = layer(x)
            theirs.append(np.asarray(x)[0])
        theirs.append(np.asarray(keras.ops.softmax(x))[0] if network.gives_logits else theirs[-1])
        ours = network.outputs(image)
        for whose, expected in [("NumPy", [*ours, network.probabilities(ours)]), ("Keras", theirs)]:
            yield vector(
                f"network {build.__name__}, {whose}", "network", expected,
                image=image, layers=network.layers, weights=base64.b64encode(network.weights).decode(),
            )  # fmt: skip


def digits(random):
    for case in range(10):
        drawing = np.zeros((280, 280), np.uint8)
        top, left = random.integers(0, 200, 2)
        drawing[top : top + random.integers(1, 80), left : left + random.integers(1, 80)] = random.integers(
            1, 256
        )
        drawing[random.integers(0, 280), random.integers(0, 280)] = 255
        expected = [area_mean(drawing, 28, 28), *as_mnist(drawing)]
        yield vector(f"a drawing {case} as MNIST, NumPy", "digit", expected, image=drawing)


def answers(random):
    """The trained network of 1.4 on 200 digits: the same answers as Keras, all of them."""
    images, _ = sample_digits()
    model, pixels = trained_mnist(), images[:200, :, :, np.newaxis]
    network = Network(model)
    expected = model.predict((pixels / 255).astype("float32"), verbose=0).argmax(axis=1).astype(np.int32)
    yield vector(
        "200 digits, Keras", "answers", [expected],
        images=pixels, layers=network.layers, weights=base64.b64encode(network.weights).decode(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The modules, the check and the vectors in one folder, which Node reads as ECMAScript."""
    folder = tmp_path_factory.mktemp("arithmetic")
    for source in WIDGETS.glob("*.js"):
        shutil.copy(source, folder)
    shutil.copy(CHECK, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    random = np.random.default_rng(3)
    makers = (convolutions, poolings, vectors_of_numbers, networks, digits, answers)
    vectors = [vector for make in makers for vector in make(random)]
    (folder / "vectors.json").write_text(json.dumps(vectors))
    return folder


def node() -> str | None:
    """Node, or the one that playwright brings."""
    if found := shutil.which("node"):
        return found
    try:
        import playwright
    except ImportError:
        return None
    brought = Path(playwright.__file__).parent / "driver" / "node"
    return str(brought) if brought.exists() else None


def test_the_arithmetic_under_node(folder):
    program = node()
    if program is None:
        warnings.warn(
            "NO TEST OF THE WIDGETS' ARITHMETIC UNDER NODE: install Node or playwright", stacklevel=1
        )
        pytest.skip("no Node: the arithmetic was NOT tested under it")
    run = subprocess.run(
        [program, "--test", "--test-reporter=tap", CHECK.name], cwd=folder, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr
    number = len(json.loads((folder / "vectors.json").read_text()))
    assert run.stdout.count("\nok ") + run.stdout.count("\n    ok ") >= number > 200


def test_the_arithmetic_in_the_browser(folder, chromium):
    page = chromium.new_page()
    kinds = {
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".json": "application/json",
        ".html": "text/html",
    }

    def answer(route):
        file = folder / Path(route.request.url).name
        body = file.read_text() if file.exists() else "<!doctype html>"
        route.fulfill(body=body, content_type=kinds[file.suffix])

    page.route("**", answer)
    page.goto("http://arithmetic.test/page.html")
    faults = page.evaluate(
        """async () => {
            const { fault } = await import("./arithmetic.test.mjs");
            const vectors = await (await fetch("./vectors.json")).json();
            const faults = vectors.map((vector) => [vector.name, fault(vector)]).filter(([, said]) => said);
            return { number: vectors.length, faults };
        }"""
    )
    page.close()
    assert faults["faults"] == []
    assert faults["number"] > 200
