"""What the fast network is made of does what it says."""

import numpy as np
import pytest

from course_lib import fast_network
from course_lib.backend import keras
from course_lib.recipe import recipe

random_numbers = np.random.default_rng(0)


def test_each_image_moves_by_its_own_few_pixels_with_a_mirrored_border():
    images = random_numbers.random((40, 8, 9, 3), np.float32)
    keras.utils.set_random_seed(1)
    moved = np.array(fast_network.RandomShift(2)(images, training=True))
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    places = []
    for image, around in zip(moved, padded, strict=True):
        found = [
            (i, j) for i in range(5) for j in range(5) if np.array_equal(around[i : i + 8, j : j + 9], image)
        ]
        assert len(found) == 1
        places += found
    assert {i for i, _ in places} == {j for _, j in places} == set(range(5))


def test_images_stay_where_they_are_when_nothing_is_learned():
    images = random_numbers.random((4, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(fast_network.RandomShift(2)(images), images)


@pytest.mark.parametrize(("channels", "maps"), [(4, 4), (4, 7), (7, 4)])
def test_a_dirac_kernel_gives_its_channels_back(channels, maps):
    keras.utils.set_random_seed(1)
    images = random_numbers.random((2, 6, 6, channels), np.float32)
    kernel = fast_network.Dirac()((3, 3, channels, maps))
    result = np.array(keras.ops.conv(images, kernel, padding="same"))
    same = min(channels, maps)
    np.testing.assert_allclose(result[..., :same], images[..., :same], atol=1e-6)
    assert maps == same or np.abs(np.array(kernel)[..., same:]).max() <= 1 / np.sqrt(9 * channels)


def test_whitened_patches_do_not_vary_together():
    mixed = random_numbers.random((50, 16, 16, 3)) @ (np.eye(3) + random_numbers.random((3, 3)) / 3) * 5
    windows = np.lib.stride_tricks.sliding_window_view(mixed, (2, 2), axis=(1, 2))
    covariance = np.cov(windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12).T)
    kernel = np.array(fast_network.PatchWhitening(covariance)((2, 2, 3, 24), "float32"), float)
    np.testing.assert_array_equal(kernel[..., 12:], -kernel[..., :12])
    flat = kernel[..., :12].reshape(12, 12)
    np.testing.assert_allclose(flat.T @ covariance @ flat, np.eye(12), atol=0.02)


def test_a_quick_bias_moves_by_the_square_of_its_factor():
    steps = {}
    for factor in (1, 8):
        bias = fast_network.QuickBias(factor)
        model = keras.Sequential([keras.Input((3,)), bias])
        model.compile(keras.optimizers.SGD(1e-3), "mse")
        model.train_on_batch(np.zeros((2, 3)), np.ones((2, 3)))
        steps[factor] = factor * np.array(bias.bias)
    np.testing.assert_allclose(steps[8], 64 * steps[1], rtol=1e-5)


def test_its_parts_can_be_written_down_and_built_again():
    keras.utils.set_random_seed(1)
    white = fast_network.PatchWhitening(np.cov(random_numbers.random((12, 50))))
    network = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            fast_network.RandomShift(2),
            keras.layers.Conv2D(24, 2, kernel_initializer=white, trainable=False),
            fast_network.QuickBias(8),
            keras.layers.Conv2D(32, 3, kernel_initializer=fast_network.Dirac()),
        ]
    )
    network.compile("sgd", "mse")
    written = recipe(network, 1, {}, [])
    assert written["start"] == ["drawn with seed", 1]
    again = keras.models.clone_model(network)
    again.compile("sgd", "mse")
    assert recipe(again, 1, {}, [])["network"] == written["network"]
    wider = keras.Sequential([keras.Input((32, 32, 3)), fast_network.RandomShift(3)])
    assert "pixels" in str(recipe_of(wider))
    assert recipe_of(wider) != recipe_of(
        keras.Sequential([keras.Input((32, 32, 3)), fast_network.RandomShift(2)])
    )


def recipe_of(network):
    network.compile("sgd", "mse")
    return recipe(network, 1, {}, [])["network"]
