"""Task 1: convolutional networks in Keras. Nine questions, 12 points."""

from __future__ import annotations

from typing import Any

from course_lib.questions.judgement import Case
from course_lib.questions.question import Part, Question, RubricItem
from course_lib.questions.variation import Variation

FROM_ONE = "These are the next three. Python counts from 0: the first image is number 0."
ONE_HOT = "These are one-hot rows. The labels themselves are asked for."
FROM_ZERO = (
    "These are the images 13 and 37 counted from 0. Counted from 1 they are x_train[12] and x_train[36]."
)
NUMBERS = "These are the numbers of the classes. class_names turns a number into a name."
OTHER_ORDER = "The order is the other way round: image 13 first, then image 37."

# The network of 1.2 as the question says it: what each layer is, its output, its parameters, its activation.
MNIST_CNN: list[dict[str, Any]] = [
    {"layer": "Conv2D", "shape": [26, 26, 32], "parameters": 320, "activation": "relu"},
    {"layer": "MaxPooling2D", "shape": [13, 13, 32], "parameters": 0, "activation": ""},
    {"layer": "Conv2D", "shape": [11, 11, 32], "parameters": 9248, "activation": "relu"},
    {"layer": "Flatten", "shape": [3872], "parameters": 0, "activation": ""},
    {"layer": "Dense", "shape": [64], "parameters": 247872, "activation": "relu"},
    {"layer": "Dense", "shape": [10], "parameters": 650, "activation": "softmax"},
]


def labels(given: Variation) -> tuple[Case, ...]:
    """Return the labels of the first three training digits of MNIST."""
    one_hot = [[int(place == label) for place in range(10)] for label in (5, 0, 4)]
    return (Case((), [5, 0, 4], (([0, 4, 1], FROM_ONE), (one_hot, ONE_HOT))),)


def names(given: Variation) -> tuple[Case, ...]:
    """Return the class names of the training images 12 and 36 of CIFAR-10, counted from 0."""
    mistakes = (
        (["cat", "horse"], OTHER_ORDER),
        ([7, 3], NUMBERS),
        (["bird", "horse"], FROM_ZERO),
    )
    return (Case((), ["horse", "cat"], mistakes),)


def network(given: Variation) -> tuple[Case, ...]:
    """Return the layers of the network of 1.2."""
    return (Case((), MNIST_CNN),)


QUESTIONS = (
    Question(
        "1.1",
        "The first three digits",
        (
            Part("answer-1-1", "value", 0.5, "labels", public=labels),
            Part(
                "plot-1-1",
                "plot",
                0.5,
                rubric=(
                    RubricItem("The first three training images are shown", 0.25),
                    RubricItem("Each has its label", 0.25),
                ),
            ),
        ),
    ),
    Question(
        "1.2", "A network, layer by layer", (Part("answer-1-2", "network", 1, "model", public=network),)
    ),
    Question(
        "1.3",
        "Why 320?",
        (
            Part(
                "words-1-3",
                "text",
                1,
                rubric=(
                    RubricItem("3 x 3 weights for each kernel, for the one channel of the input", 0.5),
                    RubricItem("One bias for each kernel, and 32 kernels: (9 + 1) x 32 = 320", 0.5),
                ),
            ),
        ),
    ),
    Question(
        "1.4",
        "Training",
        (Part("predictions-1-4", "predictions", 1, "predictions-1-4.json", accuracy=0.95),),
    ),
    Question(
        "1.5",
        "Ten networks drawn at random",
        (
            Part("predictions-1-5", "predictions", 2, "predictions-1-5.json", accuracy=0.92),
            Part(
                "words-1-5",
                "text",
                1,
                rubric=(
                    RubricItem("All ten trials are reported, with what was drawn and what came of it", 0.5),
                    RubricItem(
                        "The choice is made on validation images, and the chapter's trap is avoided"
                        " (impossible kernel sizes)",
                        0.5,
                    ),
                ),
            ),
        ),
    ),
    Question(
        "1.6",
        "A network for colour images",
        (Part("predictions-1-6", "predictions", 1, "predictions-1-6.json", accuracy=0.5),),
    ),
    Question(
        "1.7",
        "Images with their class",
        (
            Part("answer-1-7", "value", 0.5, "names", public=names),
            Part(
                "plot-1-7",
                "plot",
                0.5,
                rubric=(
                    RubricItem("Training images 13 and 37, counted from 1, are shown", 0.25),
                    RubricItem("Each has the name of its class", 0.25),
                ),
            ),
        ),
    ),
    Question(
        "1.8",
        "Why 896?",
        (
            Part(
                "words-1-8",
                "text",
                1,
                rubric=(
                    RubricItem("A kernel reaches through all three channels: 3 x 3 x 3 = 27 weights", 0.5),
                    RubricItem("One bias for each kernel, and 32 kernels: (27 + 1) x 32 = 896", 0.5),
                ),
            ),
        ),
    ),
    Question(
        "1.9",
        "Three networks, and one of your own",
        (
            Part("predictions-1-9", "predictions", 1, "predictions-1-9.json", accuracy=0.6),
            Part(
                "words-1-9",
                "text",
                1,
                rubric=(
                    RubricItem("At least three networks are compared by validation accuracy", 0.25),
                    RubricItem("Differences are explained by what was changed", 0.25),
                    RubricItem("Training and validation are compared: who remembers, who is held back", 0.25),
                    RubricItem("The test set had no part in any choice", 0.25),
                ),
            ),
        ),
    ),
)
