"""The networks of the chapters, one function each: built, not compiled.

The chapters write each of them out, layer by layer; here they stand ready for the chapters that come after.
How a network learns (optimizer, loss, learning rate) is said where it is trained, so none is compiled.

Each function builds a new network, with new random weights. For the same weights every time, call
``keras.utils.set_random_seed(...)`` right before.
"""

from course_lib.backend import keras

__all__ = [
    "cifar10_cnn",
    "cifar10_cnn_deeper",
    "cifar10_cnn_normalized",
    "cifar10_cnn_regularized",
    "cifar10_cnn_wider",
    "mnist_cnn",
]

layers = keras.layers


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
