"""Task 2: a convolutional layer by hand. Eight questions, 15 points."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache, partial
from io import StringIO
from typing import Any

import numpy as np

from course_lib.convolution import convolution, convolutional_layer, maxpool_layer, relu
from course_lib.data import load_mnist
from course_lib.questions.judgement import Case
from course_lib.questions.mistakes import (
    BIAS_LATE,
    CONVOLUTION,
    LAYER,
    NO_ACTIVATION,
    NO_BIAS,
    POOLING,
    WHOLE,
    Array,
    Mistakes,
    case,
)
from course_lib.questions.question import Part, Question, RubricItem
from course_lib.questions.variation import ASSIGNED, Variation

X = np.array([[56, 250, 116, 0], [0, 240, 144, 0], [0, 198, 150, 0], [0, 143, 241, 0]], np.uint8)
K = ASSIGNED.K
POINT = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
WIDE = np.array([[1, 2, 4, 8], [16, 32, 64, 128]])
DIAGONAL = np.array([[1, 0], [0, -1]])
SIGNED = np.array([[-1, 2, -3, 4], [5, -6, 7, -8]])
SLANTED = np.array([[1, 2], [-3, 4]])

WOULD_DO_IT = (
    "course_lib",
    "scipy",
    "keras",
    "tensorflow",
    "torch",
    "jax",
    "skimage",
    "sklearn",
    "cv2",
    "mlxtend",
)


@cache
def training_image(number: int) -> Array:
    """Return a training image of MNIST, counted from 0, as it is stored. Number 2 is the digit 4."""
    with redirect_stdout(StringIO()):  # the reader has been told where the images come from
        image: Array = load_mnist().x_train[number]
    return image


def value(
    right: Callable[[Variation], Array], *mistakes: tuple[str, Callable[[Variation], Any]]
) -> Callable[[Variation], tuple[Case, ...]]:
    """Return what gives the case of a variable: right and wrong are computed from digit, kernel and bias."""
    return lambda given: (case(lambda: right(given), _of(given, mistakes), ()),)


def _of(given: Variation, mistakes: tuple[tuple[str, Callable[[Variation], Any]], ...]) -> Mistakes:
    return tuple((words, partial(mistake, given)) for words, mistake in mistakes)


def stored(given: Variation) -> Array:
    """Return the digit as it is stored."""
    return training_image(given.image)


def turned(given: Variation) -> Array:
    """Return the digit, turned by a quarter with the clock."""
    return np.rot90(stored(given), -1)


# 2.1 --------------------------------------------------------------------------------------------------------

OTHER_WAY = (
    "It is turned the other way, against the clock. The -1 of np.rot90(image, -1) turns with the clock."
)
UNTURNED = "It is not turned."
HALF_TURN = "It is turned by a half. A quarter is asked for."
MIRRORED = "It is mirrored, not turned: rows and columns are swapped."
OTHER_IMAGE = "This is another image. Python counts from 0, and so does the question."
SCALED = "The numbers are those of the digit divided by 255. Here the pixels stay as they are, from 0 to 255."


# 2.3 to 2.8 -------------------------------------------------------------------------------------------------

OF_UNTURNED = "This is the map of the digit as it is stored. Turn it first, as in 2.1."
OF_TRANSPOSED = "This is what the transposed kernel gives. Take K itself."
OF_K = "This is what K itself gives. Take the transposed kernel, K.T."
OF_PATCH = "This is the map of the 4 x 4 patch. Take the whole digit."
OTHER_SIGN = "The bias is added with the wrong sign: it is negative here."
SIGN_LOST = "The signs are lost: a feature map has negative numbers too."
BIAS_OF_2_8 = "This is what the bias of 2.8 gives."
BIAS_OF_2_5 = "This is what the bias of 2.5 gives."
RESULT_TRANSPOSED = "The result is transposed, not the kernel."
POOLED_FIRST = "The digit is pooled before the layer. Pool what the layer gives."
NOT_POOLED = "The pooling is missing."
POOLED_TWICE = "It is pooled twice."


def map_of(given: Variation) -> Array:
    """Convolve the turned digit with the kernel."""
    return convolution(turned(given), given.K)


def layer(given: Variation) -> Array:
    """Apply the layer with ReLU to the turned digit."""
    return relu(map_of(given) + given.bias)


def _layer_mistakes(swapped: str) -> tuple[tuple[str, Callable[[Variation], Any]], ...]:
    return (
        (NO_ACTIVATION, lambda given: map_of(given) + given.bias),
        (NO_BIAS, lambda given: relu(map_of(given))),
        (NO_BIAS, map_of),
        (BIAS_LATE, lambda given: relu(map_of(given)) + given.bias),
        (OTHER_SIGN, lambda given: relu(map_of(given) - given.bias)),
        (SCALED, lambda given: relu(map_of(given) / 255 + given.bias)),
        (OF_PATCH, lambda given: relu(convolution(X, given.K) + given.bias)),
        (RESULT_TRANSPOSED, lambda given: layer(transposed(given)).T),
        (swapped, lambda given: layer(transposed(given))),
        (OF_UNTURNED, lambda given: relu(convolution(stored(given), given.K) + given.bias)),
    )


def _pooled_first(given: Variation) -> Array:
    return relu(convolution(maxpool_layer(turned(given)), given.K) + given.bias)


def _pooled(mistake: Callable[[Variation], Any]) -> Callable[[Variation], Array]:
    return lambda given: maxpool_layer(mistake(given))


def transposed(given: Variation) -> Variation:
    """Return the same with the kernel transposed, as in 2.6."""
    return given._replace(kernel=tuple(zip(*given.kernel, strict=True)))


def last(given: Variation) -> Variation:
    """Return the same with the bias of 2.8."""
    return given._replace(bias=given.last_bias)


def with_(
    change: Callable[[Variation], Variation], function: Callable[[Variation], Any]
) -> Callable[[Variation], Any]:
    """Return a function of what `change` makes of the digit, the kernel and the bias."""
    return lambda given: function(change(given))


# Hidden cases -----------------------------------------------------------------------------------------------


def hidden_convolution(random: np.random.Generator) -> tuple[Case, ...]:
    """Draw pictures and kernels of many shapes and types."""
    floats = [((6, 9), 3), ((9, 6), 2), ((5, 5), 5), ((7, 8), 1), ((12, 5), 4)]
    return tuple(
        [
            case(
                convolution,
                CONVOLUTION,
                (random.normal(size=shape), random.normal(size=(k, k))),
                "shapes",
                hidden=True,
            )
            for shape, k in floats
        ]
        + [
            case(
                convolution,
                CONVOLUTION,
                (random.integers(100, 256, shape, dtype=np.uint8), kernel),
                "pixels",
                hidden=True,
            )
            for shape, kernel in [
                ((6, 7), random.integers(-4, 9, (3, 3))),
                ((7, 5), random.normal(size=(2, 2))),
            ]
        ]
    )


def hidden_layer(random: np.random.Generator) -> tuple[Case, ...]:
    """Draw pictures, kernels, biases of both signs, and three activations."""
    drawn = [
        ((6, 8), 3, 1.5, "relu", "biases"),
        ((7, 5), 2, -1.0, "relu", "biases"),
        ((5, 9), 3, -0.5, "identity", "activations"),
        ((8, 6), 2, 0.75, "tanh", "activations"),
    ]
    return tuple(
        case(
            convolutional_layer,
            LAYER,
            (random.normal(size=shape), random.normal(size=(k, k)), b, activation),
            group,
            hidden=True,
        )
        for shape, k, b, activation, group in drawn
    )


def hidden_pooling(random: np.random.Generator) -> tuple[Case, ...]:
    """Draw pictures with even and odd sizes, and with negative numbers alone."""
    pictures = [
        (random.integers(0, 256, (8, 6), dtype=np.uint8), "even sizes"),
        (random.normal(size=(4, 10)), "even sizes"),
        (random.normal(size=(7, 9)), "odd sizes"),
        (random.integers(0, 100, (6, 5)), "odd sizes"),
        (-random.uniform(1, 9, (6, 8)), "negative numbers"),
    ]
    return tuple(case(maxpool_layer, POOLING, (picture,), group, hidden=True) for picture, group in pictures)


# The questions ----------------------------------------------------------------------------------------------

QUESTIONS = (
    Question(
        "2.1",
        "Show the digit",
        (
            Part(
                "answer-2-1",
                "value",
                0.5,
                "four",
                public=value(
                    turned,
                    (OTHER_WAY, lambda given: np.rot90(stored(given))),
                    (UNTURNED, stored),
                    (HALF_TURN, lambda given: np.rot90(stored(given), 2)),
                    (MIRRORED, lambda given: stored(given).T),
                    (SCALED, lambda given: turned(given) / 255),
                    (OTHER_IMAGE, lambda given: turned(given._replace(image=given.image - 1))),
                    (OTHER_IMAGE, lambda given: turned(given._replace(image=given.image + 1))),
                ),
            ),
            Part(
                "words-2-1",
                "text",
                0.5,
                rubric=(
                    RubricItem("The digit is shown, with a grey colour map and its range", 0.25),
                    RubricItem("Says that it lies on its side with imshow, and why (row 0 at the top)", 0.25),
                ),
            ),
        ),
    ),
    Question(
        "2.2",
        "Convolution",
        (
            Part(
                "answer-2-2",
                "function",
                3,
                "convolution",
                groups={"example": 0.5, "shapes": 1.5, "pixels": 1},
                public=lambda given: (
                    case(convolution, CONVOLUTION, (X, K), "example"),
                    case(convolution, CONVOLUTION, (POINT, np.array([[1, 2], [3, 4]])), "shapes"),
                    case(convolution, CONVOLUTION, (WIDE, DIAGONAL), "shapes"),
                    case(
                        convolution,
                        CONVOLUTION,
                        (np.array([[0.25, 0.5], [0.75, 1]]), np.array([[1, -1], [2, 0.25]])),
                        "shapes",
                    ),
                ),
                hidden=hidden_convolution,
                masked=WOULD_DO_IT,
            ),
        ),
    ),
    Question(
        "2.3",
        "The feature map of the digit",
        (
            Part(
                "answer-2-3",
                "value",
                0.5,
                "feature_map",
                public=value(
                    map_of,
                    (OF_UNTURNED, lambda given: convolution(stored(given), given.K)),
                    (OF_TRANSPOSED, with_(transposed, map_of)),
                    (OF_PATCH, lambda given: convolution(X, given.K)),
                    (SCALED, lambda given: map_of(given) / 255),
                    (SIGN_LOST, lambda given: np.abs(map_of(given))),
                ),
            ),
            Part(
                "plot-2-3",
                "plot",
                0.5,
                rubric=(
                    RubricItem("The feature map is shown, and its shape 26 x 26 is said", 0.25),
                    RubricItem(
                        "0 can be told from positive and negative: diverging colours or a colour bar", 0.25
                    ),
                ),
            ),
        ),
    ),
    Question(
        "2.4",
        "The layer",
        (
            Part(
                "answer-2-4",
                "function",
                3,
                "convolutional_layer",
                groups={"example": 0.5, "biases": 1.5, "activations": 1},
                public=lambda given: (
                    case(convolutional_layer, LAYER, (X, K, 100, "relu"), "example"),
                    case(convolutional_layer, LAYER, (X, K, -20, "relu"), "biases"),
                    case(convolutional_layer, LAYER, (X, K, -20, "identity"), "activations"),
                    case(convolutional_layer, LAYER, (SIGNED, SLANTED, 2, "relu"), "biases"),
                ),
                hidden=hidden_layer,
                masked=WOULD_DO_IT,
            ),
        ),
    ),
    Question(
        "2.5",
        "What does the kernel capture?",
        (
            Part(
                "answer-2-5",
                "value",
                1,
                "layer_K",
                public=value(layer, *_layer_mistakes(OF_TRANSPOSED), (BIAS_OF_2_8, with_(last, layer))),
            ),
            Part(
                "words-2-5",
                "text",
                1,
                rubric=(
                    RubricItem(
                        "The kernel captures thin bright lines along a row of the array",
                        0.25,
                        lambda given: f"The kernel captures {given.captured}",
                    ),
                    RubricItem(
                        "Says for either drawing which strokes of the 4 these are, or names the drawing",
                        0.25,
                        lambda _: "Says for either drawing where in the digit that is, or names the drawing",
                    ),
                    RubricItem(
                        "Why: ones between halves, numbers that sum to zero",
                        0.25,
                        lambda _: "Why: positive numbers beside negative ones, which sum to zero",
                    ),
                    RubricItem(
                        "The bias is a threshold: only responses above 150 are left",
                        0.25,
                        lambda given: (
                            f"The bias is a threshold: only responses above {-given.bias:g} are left"
                        ),
                    ),
                ),
            ),
        ),
    ),
    Question(
        "2.6",
        "The kernel transposed",
        (
            Part(
                "answer-2-6",
                "value",
                0.5,
                "layer_KT",
                public=with_(transposed, value(layer, *_layer_mistakes(OF_K))),
            ),
            Part(
                "words-2-6",
                "text",
                0.5,
                rubric=(
                    RubricItem(
                        "It captures thin bright lines along a column of the array",
                        0.25,
                        lambda given: f"It captures {transposed(given).captured}",
                    ),
                    RubricItem(
                        "In the digit that is the bar of the 4; arm and stem are gone",
                        0.25,
                        lambda _: "Says where in the digit that is, and what is gone",
                    ),
                ),
            ),
        ),
    ),
    Question(
        "2.7",
        "Max-pooling",
        (
            Part(
                "answer-2-7",
                "function",
                3,
                "maxpool_layer",
                groups={"example": 0.5, "even sizes": 1.5, "odd sizes": 0.5, "negative numbers": 0.5},
                public=lambda given: (
                    case(maxpool_layer, POOLING, (X,), "example"),
                    case(
                        maxpool_layer,
                        POOLING,
                        (np.array([[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]]),),
                        "even sizes",
                    ),
                    case(maxpool_layer, POOLING, (np.array([[1, 2, 9], [3, 4, 9], [9, 9, 9]]),), "odd sizes"),
                    case(maxpool_layer, POOLING, (np.array([[-1, -2], [-3, -4]]),), "negative numbers"),
                ),
                hidden=hidden_pooling,
                masked=WOULD_DO_IT,
            ),
        ),
    ),
    Question(
        "2.8",
        "All together",
        (
            Part(
                "answer-2-8",
                "value",
                0.5,
                "pooled",
                public=lambda given: value(
                    lambda given: maxpool_layer(layer(given)),
                    (NOT_POOLED, layer),
                    (POOLED_FIRST, _pooled_first),
                    (BIAS_OF_2_5, lambda _: maxpool_layer(layer(given))),
                    *((words, _pooled(mistake)) for words, mistake in _layer_mistakes(OF_TRANSPOSED)),
                    (POOLED_TWICE, lambda given: maxpool_layer(maxpool_layer(layer(given)))),
                    (WHOLE, lambda given: layer(given).max()),
                )(last(given)),
            ),
            Part(
                "plot-2-8",
                "plot",
                0.5,
                rubric=(
                    RubricItem("The result is shown, and its shape 13 x 13 is said", 0.25),
                    RubricItem("The range of the numbers can be read off", 0.25),
                ),
            ),
        ),
    ),
)
