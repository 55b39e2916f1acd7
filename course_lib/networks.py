"""The networks of the chapters, one function each: built, not compiled.

The chapters write each of them out, layer by layer; here they stand ready for the chapters that come after.
How a network learns (optimizer, loss, learning rate) is said where it is trained, so none is compiled.

Each function builds a new network, with new random weights. For the same weights every time, call
``keras.utils.set_random_seed(...)`` right before.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from course_lib.backend import keras

__all__ = [
    "Dirac",
    "PatchWhitening",
    "QuickBias",
    "RandomShift",
    "cifar10_cnn",
    "cifar10_cnn_deeper",
    "cifar10_cnn_normalized",
    "cifar10_cnn_regularized",
    "cifar10_cnn_wider",
    "cifar10_fast",
    "mnist_cnn",
    "mnist_small",
]

layers, ops = keras.layers, keras.ops
registered = keras.saving.register_keras_serializable("course_lib")


def mnist_cnn() -> keras.Model:
    """Two convolutions and two dense layers for 28×28 digits: 258,090 parameters.

    Returns
    -------
    keras.Model
        Takes float32 ``(n, 28, 28, 1)`` in 0…1, gives probabilities ``(n, 10)``. Used in 1.2.

    Examples
    --------
    >>> mnist_cnn().count_params()
    258090
    """
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ],
        name="mnist_cnn",
    )


def cifar10_cnn(activation: str | None = "relu") -> keras.Model:
    """Three convolutions and two dense layers for 32×32 colour images: 122,570 parameters.

    Parameters
    ----------
    activation
        After each convolution and after the hidden dense layer. ``None`` gives the network of the report,
        which is linear between its poolings.

    Returns
    -------
    keras.Model
        Takes float32 ``(n, 32, 32, 3)`` in 0…1, gives logits ``(n, 10)``. Used in 1.6.

    Examples
    --------
    >>> cifar10_cnn().count_params()
    122570
    """
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation=activation),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation=activation),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation=activation),
            layers.Flatten(),
            layers.Dense(64, activation=activation),
            layers.Dense(10),
        ],
        name="cifar10_cnn",
    )


def cifar10_cnn_deeper(activation: str | None = "relu") -> keras.Model:
    """A fourth convolution and two larger dense layers: 193,226 parameters.

    Parameters
    ----------
    activation
        After each convolution. ``None`` gives network (a) of the report.

    Returns
    -------
    keras.Model
        Takes float32 ``(n, 32, 32, 3)`` in 0…1, gives logits ``(n, 10)``. Used in 1.9.

    Examples
    --------
    >>> cifar10_cnn_deeper().count_params()
    193226
    """
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation=activation),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation=activation),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation=activation),
            layers.Conv2D(64, 3, activation=activation),
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ],
        name="cifar10_cnn_deeper",
    )


def cifar10_cnn_wider(activation: str | None = "relu") -> keras.Model:
    """Kernels of 5×5 that keep the image size, with leaky ReLU: 1,094,346 parameters.

    Parameters
    ----------
    activation
        After the first convolution; the others always have a leaky ReLU. ``None`` gives network (b) of the
        report.

    Returns
    -------
    keras.Model
        Takes float32 ``(n, 32, 32, 3)`` in 0…1, gives logits ``(n, 10)``. Used in 1.9.

    Examples
    --------
    >>> cifar10_cnn_wider().count_params()
    1094346
    """
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation=activation),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 5, padding="same"),
            layers.LeakyReLU(negative_slope=0.1),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 5, padding="same"),
            layers.LeakyReLU(negative_slope=0.1),
            layers.Conv2D(64, 5, padding="same"),
            layers.LeakyReLU(negative_slope=0.1),
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ],
        name="cifar10_cnn_wider",
    )


def cifar10_cnn_regularized(activation: str | None = "relu") -> keras.Model:
    """The wider network, with weight decay, dropout and batch normalization: 1,095,370 parameters.

    Parameters
    ----------
    activation
        After the first convolution; the others always have a leaky ReLU. ``None`` gives network (c) of the
        report.

    Returns
    -------
    keras.Model
        Takes float32 ``(n, 32, 32, 3)`` in 0…1, gives logits ``(n, 10)``. 512 of its parameters are the
        running means and variances of the batch normalization, which are not trained. Used in 1.9.

    Examples
    --------
    >>> cifar10_cnn_regularized().count_params()
    1095370
    """
    decay = keras.regularizers.L2(0.01)
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation=activation),
            layers.MaxPooling2D(2),
            layers.Dropout(0.25),
            layers.Conv2D(64, 5, padding="same", kernel_regularizer=decay),
            layers.LeakyReLU(negative_slope=0.1),
            layers.MaxPooling2D(2),
            layers.Dropout(0.25),
            layers.Conv2D(64, 5, padding="same", kernel_regularizer=decay),
            layers.LeakyReLU(negative_slope=0.1),
            layers.Conv2D(64, 5, padding="same", kernel_regularizer=decay),
            layers.LeakyReLU(negative_slope=0.1),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ],
        name="cifar10_cnn_regularized",
    )


def cifar10_cnn_normalized() -> keras.Model:
    """Six 3×3 convolutions, each followed by batch normalization and ReLU: 577,514 parameters.

    Returns
    -------
    keras.Model
        Takes float32 ``(n, 32, 32, 3)`` in 0…1, gives logits ``(n, 10)``. While it is trained, and only then,
        it mirrors each image left to right with probability one half. 1,344 of its parameters are running
        means and variances, which are not trained. Used in 1.9.

    Examples
    --------
    >>> cifar10_cnn_normalized().count_params()
    577514
    """
    network = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.RandomFlip("horizontal")], name="cifar10_cnn_normalized"
    )
    for filters, pool in [(32, True), (64, False), (64, True), (128, False), (128, True), (256, False)]:
        network.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        network.add(layers.BatchNormalization())
        network.add(layers.ReLU())
        if pool:
            network.add(layers.MaxPooling2D(2))
    network.add(layers.GlobalAveragePooling2D())
    network.add(layers.Dense(10))
    return network


def cifar10_fast(x: npt.NDArray[np.floating[Any]]) -> keras.Model:
    """A whitened first layer and six normalized convolutions: about 1.3 million parameters.

    Parameters
    ----------
    x : ndarray, shape (n, 32, 32, 3)
        The training images, in 0…1. Their channels' means and variances and the covariance of their patches
        decide what the first layers do.

    Returns
    -------
    keras.Model
        Takes float32 ``(n, 32, 32, 3)`` in 0…1, gives logits ``(n, 10)``. While it is trained, and only then,
        it mirrors and moves the images. Used in Further, fast CIFAR-10.

    Examples
    --------
    >>> cifar10_fast(np.random.default_rng(1).random((9, 32, 32, 3), np.float32)).count_params() // 100_000
    13
    """
    mean, variance = (part.round(4) for part in (x.mean((0, 1, 2), float), x.var((0, 1, 2), float)))
    patches = PatchWhitening(patch_covariance((x[:1000] - mean) / np.sqrt(variance)))
    network = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Normalization(mean=mean.tolist(), variance=variance.tolist()),
            layers.RandomFlip("horizontal"),
            RandomShift(2),
            layers.Conv2D(24, 2, kernel_initializer=patches, use_bias=False, trainable=False),
            QuickBias(8),
            layers.Activation("relu"),
        ],
        name="cifar10_fast",
    )
    for filters in (64, 192, 224):
        for pool in (True, False):
            network.add(layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=Dirac()))
            if pool:
                network.add(layers.MaxPooling2D(2))
            network.add(layers.BatchNormalization(momentum=0.98, center=False, scale=False))
            network.add(QuickBias(8))
            network.add(layers.Activation("relu"))
    network.add(layers.GlobalMaxPooling2D())
    network.add(layers.Dense(10, use_bias=False))
    network.add(layers.Rescaling(1 / 9))
    return network


def mnist_small() -> keras.Model:
    """Five narrow convolutions and one dense layer for 28×28 digits, in fewer than 10,000 parameters.

    Returns
    -------
    keras.Model
        Takes float32 ``(n, 28, 28, 1)`` in 0…1, gives logits ``(n, 10)``. While it is trained, and only then,
        it moves each digit by up to 2 pixels. Used in Further, fast CIFAR-10.

    Examples
    --------
    >>> mnist_small().count_params() < 10_000
    True
    """
    network = keras.Sequential([keras.Input((28, 28, 1)), RandomShift(2)], name="mnist_small")
    for filters, pool in [(8, False), (16, True), (16, False), (16, True), (20, False)]:
        network.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        if pool:
            network.add(layers.MaxPooling2D(2))
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())
    network.add(layers.GlobalAveragePooling2D())
    network.add(layers.Dense(10))
    return network


# What the fast network is made of ---------------------------------------------------------------------------


@registered
class RandomShift(keras.layers.Layer):  # type: ignore[misc]
    """Move each image of a batch by its own few pixels, while training; the border is mirrored in.

    Keras's ``RandomCrop`` draws one offset for the whole batch. Used in Further, fast CIFAR-10.

    Parameters
    ----------
    pixels : int
        The largest shift, up, down, left or right.
    """

    def __init__(self, pixels: int = 2, **settings: Any) -> None:
        super().__init__(**settings)
        self.pixels = pixels
        self.random = keras.random.SeedGenerator()

    def call(self, images: Any, training: bool = False) -> Any:
        if not training:
            return images
        batch, height, width, _ = ops.shape(images)
        border = (self.pixels, self.pixels)
        padded = ops.pad(images, ((0, 0), border, border, (0, 0)), mode="reflect")
        offsets = keras.random.randint((2, batch), 0, 2 * self.pixels + 1, seed=self.random)
        rows = offsets[0][:, None] + ops.arange(height)
        columns = offsets[1][:, None] + ops.arange(width)
        moved = ops.take_along_axis(padded, rows[:, :, None, None], axis=1)
        return ops.take_along_axis(moved, columns[:, None, :, None], axis=2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pixels": self.pixels}


@registered
class QuickBias(keras.layers.Layer):  # type: ignore[misc]
    """Add a bias to each channel that gradient descent moves ``factor**2`` times as fast as other weights.

    The bias is ``factor`` times the number that is learned. So a step changes that number ``factor`` times as
    much, and the bias ``factor`` times as much again. Source: Jordan (2024), 94% on CIFAR-10.

    Parameters
    ----------
    factor : float
        1 is an ordinary bias.
    """

    def __init__(self, factor: float = 8.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.factor = factor

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def call(self, maps: Any) -> Any:
        return maps + self.factor * self.bias

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@registered
class Dirac(keras.initializers.VarianceScaling):  # type: ignore[misc]
    """Kernels that begin as the identity: feature map i is channel i, as far as there are channels.

    What is left of the feature maps begins at random, uniformly in ± 1 / √(inputs of one feature map).
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(scale=1 / 3, mode="fan_in", distribution="uniform", seed=seed)

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        kernel = np.array(super().__call__(shape, dtype))
        height, width, channels, feature_maps = shape
        same = np.arange(min(channels, feature_maps))
        kernel[:, :, :, same] = 0
        kernel[height // 2, width // 2, same, same] = 1
        return ops.convert_to_tensor(kernel)

    def get_config(self) -> dict[str, Any]:
        return {"seed": super().get_config()["seed"]}


def patch_covariance(images: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Return how the numbers of a patch of 2×2 pixels vary together.

    Examples
    --------
    >>> patch_covariance(np.random.default_rng(1).random((9, 32, 32, 3))).shape
    (12, 12)
    """
    windows = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 4 * images.shape[3])
    covariance: npt.NDArray[np.floating[Any]] = np.cov(patches.T).round(6)
    return covariance


@registered
class PatchWhitening(keras.initializers.Initializer):  # type: ignore[misc]
    """Kernels that make the patches of the images white: uncorrelated, and all of the same variance.

    Each eigenvector of the patches' covariance is a kernel, divided by the root of its eigenvalue; each comes
    a second time with the opposite sign, because a ReLU keeps only one side.
    """

    def __init__(self, covariance: npt.ArrayLike) -> None:
        self.covariance = np.asarray(covariance, float).tolist()

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        values, vectors = np.linalg.eigh(self.covariance)
        kernels = (vectors / np.sqrt(values + 5e-4))[:, ::-1].reshape(*shape[:3], -1)
        return ops.convert_to_tensor(np.concatenate([kernels, -kernels], axis=-1), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"covariance": self.covariance}
