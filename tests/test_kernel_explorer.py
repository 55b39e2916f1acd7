"""The kernel explorer in Python: what its traits take and refuse, its results, the learner's function."""

import json
import re

import numpy as np
import pytest
import scipy.signal
from traitlets import TraitError

from course_lib.widgets.base import ON_A_PAGE
from course_lib.widgets.kernel_explorer import KernelExplorer

X = np.array([[56, 250, 116, 0], [0, 240, 144, 0], [0, 198, 150, 0], [0, 143, 241, 0]], dtype=np.uint8)
PHOTO = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)


def own_convolution(X, K):
    """The convolution of 2.2, in four loops."""
    rows, columns = X.shape[0] - K.shape[0] + 1, X.shape[1] - K.shape[1] + 1
    Y = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            Y[i, j] = np.sum(X[i : i + K.shape[0], j : j + K.shape[1]] * K)
    return Y


class TestResults:
    def test_the_assignment(self):
        explorer = KernelExplorer(X)
        np.testing.assert_array_equal(explorer.feature_map, [[-1, 27], [-36, -36]])
        explorer.bias, explorer.activation, explorer.pool_size = 100, "relu", 2
        np.testing.assert_array_equal(explorer.activated, [[99, 127], [64, 64]])
        np.testing.assert_array_equal(explorer.pooled, [[127]])

    def test_every_trait_changes_the_results_at_once(self):
        kernel = np.arange(9.0).reshape(3, 3)
        explorer = KernelExplorer(np.eye(9))
        explorer.kernel = kernel
        np.testing.assert_allclose(explorer.feature_map, scipy.signal.correlate2d(np.eye(9), kernel, "valid"))
        explorer.flip = True
        np.testing.assert_allclose(explorer.feature_map, scipy.signal.convolve2d(np.eye(9), kernel, "valid"))
        explorer.padding = "same"
        np.testing.assert_allclose(explorer.feature_map, scipy.signal.convolve2d(np.eye(9), kernel, "same"))
        explorer.stride, explorer.bias, explorer.activation = 2, -30, "leaky_relu"
        expected = scipy.signal.convolve2d(np.eye(9), kernel, "same")[::2, ::2] - 30
        np.testing.assert_allclose(explorer.activated, np.where(expected > 0, expected, 0.1 * expected))
        explorer.image = np.ones((9, 9))
        assert explorer.feature_map[1, 1] == kernel.sum() - 30

    @pytest.mark.parametrize("image", [X / 255, (X / 255).astype("float32"), X - 300.0, X * 1e6])
    def test_numbers_with_a_point_are_those_of_scipy(self, image):
        expected = scipy.signal.correlate2d(image.astype(float), np.eye(3), "valid")
        np.testing.assert_allclose(KernelExplorer(image, kernel=np.eye(3)).feature_map, expected, rtol=1e-14)

    def test_observers_never_see_an_old_result(self):
        explorer, seen = KernelExplorer(X), []
        explorer.observe(lambda change: seen.append(explorer.feature_map[0, 0]), "bias")
        explorer.observe(lambda change: seen.append(change.new[0, 0]), "feature_map")
        explorer.bias = 5
        assert seen == [4, 4]

    def test_what_the_page_sends_is_in_the_results(self):
        explorer = KernelExplorer(X)
        kernel = np.full((3, 3), 2.0)
        explorer.set_state(
            {"kernel": {"shape": [3, 3], "dtype": "float64", "data": memoryview(kernel.tobytes())}, "bias": 1}
        )
        np.testing.assert_array_equal(explorer.kernel, kernel)
        assert explorer.feature_map[0, 0] == 2 * X[:3, :3].sum(dtype=int) + 1

    def test_a_flat_kernel_acts_on_the_mean_of_the_channels(self):
        kernel = np.random.default_rng(1).normal(size=(3, 3))
        explorer = KernelExplorer(PHOTO, kernel=kernel)
        expected = scipy.signal.correlate2d(PHOTO.mean(axis=2), kernel, "valid")
        np.testing.assert_allclose(explorer.feature_map, expected, atol=1e-9)

    def test_a_deep_kernel_has_numbers_for_each_channel(self):
        kernel = np.random.default_rng(1).normal(size=(4, 4, 3))
        explorer = KernelExplorer(PHOTO, kernel=kernel)
        expected = sum(scipy.signal.correlate2d(PHOTO[..., c], kernel[..., c], "valid") for c in range(3))
        np.testing.assert_allclose(explorer.feature_map, expected, atol=1e-9)
        explorer.image = PHOTO[..., 0]
        expected = scipy.signal.correlate2d(PHOTO[..., 0], kernel.sum(axis=2), "valid")
        np.testing.assert_allclose(explorer.feature_map, expected, atol=1e-9)

    def test_an_impossible_setting_says_why_and_goes_away(self):
        explorer = KernelExplorer([[7]])
        assert explorer.feature_map is None and explorer.pooled is None
        assert "does not fit" in explorer.problem and "does not fit" in explorer.description()
        explorer.padding = "same"
        assert explorer.feature_map.tolist() == [[7]] and explorer.problem == ""
        explorer.pool_size = 2
        assert explorer.activated.tolist() == [[7]] and explorer.pooled is None
        assert "block" in explorer.problem

    def test_results_are_read_only(self):
        explorer = KernelExplorer(X)
        with pytest.raises(TraitError):
            explorer.feature_map = X
        with pytest.raises(ValueError, match="read-only"):
            explorer.kernel[0, 0] = 1


class TestTraits:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"image": np.zeros((2000, 2000))}, r"2000 × 2000 pixels; at most 128 .*image\[::16, ::16\]"),
            ({"image": np.zeros((5, 28, 28))}, r"\(5, 28, 28\).*list\(images\)"),
            ({"image": np.zeros((5, 28, 28, 1))}, r"batch.*list\(images\)"),
            ({"image": np.array([[np.nan]])}, "image holds NaN or infinity"),
            ({"image": np.array([[1e300]])}, "too large for float32"),
            ({"image": np.zeros((0, 3))}, "image is empty"),
            ({"image": [["a", "b"]]}, "image must hold real numbers"),
            ({"image": [[1, 2], [3]]}, "rows of equal length"),
            ({"image": []}, "empty"),
            ({"image": [X, np.zeros(3)]}, r"images\[1\] must be 2-D or 3-D"),
            ({"image": [X, X], "image_names": ["one"]}, "1 image_names don't name 2 images"),
            ({"kernel": np.zeros((3, 4))}, r"square, from 3 × 3 to 7 × 7.*\(3, 4\)"),
            ({"kernel": np.zeros((9, 9))}, "square, from 3 × 3 to 7 × 7"),
            ({"kernel": np.zeros((3, 3, 2))}, "3 channels"),
            ({"kernel": np.full((3, 3), np.inf)}, "kernel holds NaN or infinity"),
            ({"kernel": np.full((3, 3), 1e7)}, "beyond ±1,000,000"),
            ({"bias": "much"}, "bias"),
            ({"bias": np.nan}, "bias must be a finite number"),
            ({"stride": 0}, "stride must be a whole number from 1 to 7, got 0"),
            ({"stride": 1.5}, "stride must be a whole number from 1 to 7, got 1.5"),
            ({"pool_size": "2"}, "pool_size must be a whole number from 1 to 8, got '2'"),
            ({"activation": "tanh"}, "activation.*relu"),
            ({"padding": "full"}, "padding.*same"),
            ({"flip": "yes"}, "flip"),
            ({"learned": np.zeros((3, 3, 32, 64))}, r"1 or 3 channels.*\(3, 3, 32, 64\)"),
            ({"convolution": 3}, "convolution"),
        ],
    )
    def test_says_what_is_wrong_and_what_is_right(self, values, message):
        with pytest.raises(TraitError, match=message):
            KernelExplorer(**{"image": X, **values})
        explorer = KernelExplorer(X)
        before = explorer.feature_map
        for name, value in values.items():
            if name not in ("image_names",) and not isinstance(value, list):
                with pytest.raises(TraitError):
                    setattr(explorer, name, value)
        np.testing.assert_array_equal(explorer.feature_map, before)

    def test_refuses_an_unknown_name(self):
        with pytest.raises(TypeError, match="strides"):
            KernelExplorer(X, strides=2)

    def test_takes_numpy_numbers(self):
        explorer = KernelExplorer(X, bias=np.float32(0.5), stride=np.int64(2), pool_size=np.uint8(1))
        assert (explorer.bias, explorer.stride, explorer.pool_size) == (0.5, 2, 1)

    def test_keeps_the_type_of_pixels(self):
        assert KernelExplorer(X).image.dtype == np.uint8
        assert KernelExplorer((X / 255).astype("float32")).image.dtype == np.float32
        assert KernelExplorer(X[:, :, None]).image.shape == (4, 4)

    def test_takes_several_images(self):
        explorer = KernelExplorer([X, PHOTO], image_names=["a patch", "noise"])
        assert [image.shape for image in explorer.images] == [(4, 4), (9, 8, 3)]
        np.testing.assert_array_equal(explorer.image, X)


def interrupted(X, K):
    raise KeyboardInterrupt  # as when a learner stops a function that takes too long


class TestOwnFunction:
    def test_a_right_one_agrees(self):
        for image, kernel in [(X, np.eye(3)), (X / 255, np.eye(3)), (PHOTO, np.ones((3, 3, 3)))]:
            own = KernelExplorer(image, kernel=kernel, convolution=own_convolution, bias=9, stride=2).own
            assert own["agrees"], own["verdict"]

    def test_a_flipped_one_is_caught_and_marked(self):
        explorer = KernelExplorer(X, kernel=np.arange(9.0).reshape(3, 3))
        explorer.convolution = lambda X, K: own_convolution(X, K[::-1, ::-1])
        expected = explorer.feature_map
        got = scipy.signal.convolve2d(X, explorer.kernel, "valid")
        assert not explorer.own["agrees"]
        assert f"expected {expected[0, 0]:g}, got {got[0, 0]:g}" in explorer.own["verdict"]
        assert "first at row 0, column 0 (counted from 0)" in explorer.own["verdict"]
        assert bytes(explorer.own["wrong"]["data"]) == (got != expected).astype(np.uint8).tobytes()

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            (lambda X, K: None, "returned None"),
            (lambda X, K: X, r"shape \(4, 4\).*2 × 2 places.*\(2, 2\)"),
            (lambda X, K: "feature map", "other than an array of numbers: str"),
            (lambda X, K: X[9, 9], "raised IndexError: index 9 is out of bounds"),
            (lambda X, K: own_convolution(X, K) * np.nan, "differs at 4 of 4 places.*got nan"),
            (lambda X: X, "raised TypeError"),
            (lambda X, K: [[10**400, 0], [0, 0]], "other than an array of numbers: list"),
            (lambda X, K: own_convolution(X, K) * 1j, "other than an array of numbers: ndarray"),
            (interrupted, "was interrupted"),
        ],
    )
    def test_says_what_went_wrong(self, function, message):
        assert re.search(message, KernelExplorer(X, convolution=function).own["verdict"])

    def test_runs_once_for_each_change_that_concerns_it(self):
        calls = []

        def counted(X, K):
            calls.append((X.dtype, K.dtype))
            X[:] = 0  # its own copy
            return own_convolution(X, K)

        explorer = KernelExplorer(X, convolution=counted)
        assert calls == [(np.float64, np.float64)]
        explorer.bias = 1
        assert len(calls) == 1
        explorer.kernel = np.eye(3)
        assert len(calls) == 2
        np.testing.assert_array_equal(explorer.image, X)

    def test_runs_again_when_it_was_taken_away_and_given_back(self):
        explorer = KernelExplorer(X, convolution=own_convolution)
        explorer.convolution = None
        assert explorer.own == {}
        explorer.convolution = own_convolution
        assert explorer.own["agrees"]

    def test_while_it_runs_no_old_verdict_is_shown(self):
        seen = []
        explorer = KernelExplorer(X, convolution=own_convolution)
        explorer.convolution = lambda X, K: seen.append(explorer.own["edits"] == explorer.edits)
        assert seen == [False]

    def test_is_not_called_where_the_kernel_does_not_fit(self):
        explorer = KernelExplorer([[1]], padding="same", convolution=lambda X, K: 1 / 0)
        assert "was not called" in explorer.own["verdict"]


def test_on_a_page_ten_digits_are_small():
    digits = list(np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8))
    explorer = KernelExplorer(digits, learned=np.zeros((3, 3, 1, 32)))
    state = explorer.on_a_page()
    assert state["state"]["has_kernel"] is False
    assert len(json.dumps(state)) < 20_000
    bundle, _ = explorer._repr_mimebundle_()
    assert bundle["image/png"] and len(bundle[ON_A_PAGE]["alt"]) >= 20


def test_each_explorer_has_its_own_name_for_links():
    assert KernelExplorer(X).link_name != KernelExplorer(X).link_name
