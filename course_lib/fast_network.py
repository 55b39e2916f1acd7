"""What the fast network of Further is made of and Keras lacks: two layers and two initializers.

Used in Further, fast CIFAR-10.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from course_lib.backend import keras

__all__ = ["Dirac", "PatchWhitening", "QuickBias", "RandomShift"]

ops = keras.ops
registered = keras.saving.register_keras_serializable("course_lib")


@registered
class RandomShift(keras.layers.Layer):  # type: ignore[misc]
    """Move each image of a batch by its own few pixels, while training; the border is mirrored in.

    Keras's ``RandomCrop`` draws one offset for the whole batch.

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
