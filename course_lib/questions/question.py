"""What a question is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from course_lib.questions.judgement import Case
from course_lib.questions.variation import ASSIGNED, Variation

Kind: TypeAlias = Literal["function", "value", "network", "plot", "text", "predictions"]
AUTOMATIC = ("function", "value", "network", "predictions")


@dataclass(frozen=True)
class RubricItem:
    """One thing that a person looks for in an answer, and what it is worth.

    Parameters
    ----------
    own
        The text for who has been given another digit, kernel and biases, where it is another one.
    """

    text: str
    points: float
    own: Callable[[Variation], str] | None = None

    def text_for(self, given: Variation) -> str:
        """Return what is looked for in the answer of who has been given these numbers."""
        return self.text if self.own is None or given == ASSIGNED else self.own(given)


@dataclass(frozen=True)
class Part:
    """What is judged on its own: one answer cell.

    Parameters
    ----------
    id
        The nbgrader grade_id of the answer cell: "answer-2-2".
    kind
        function: called with cases; value, network: a variable, compared; predictions: a file, scored;
        plot, text: marked by a person.
    points
        For a function, those of its groups of cases; for a plot or a text, those of its rubric.
    name
        The function or variable that the answer defines.
    groups
        Points by group of cases: a group counts when all of its cases are right.
    public, hidden
        The cases. Hidden ones are drawn from a generator that only the teacher can seed.
    masked
        Packages that would do the job, and can't be imported while hidden cases run.
    accuracy
        For predictions: the least accuracy, on the released images, that earns all points.
    """

    id: str
    kind: Kind
    points: float
    name: str = ""
    rubric: tuple[RubricItem, ...] = ()
    groups: dict[str, float] = field(default_factory=dict)
    public: Callable[[Variation], tuple[Case, ...]] = lambda given: ()
    hidden: Callable[[Any], tuple[Case, ...]] = lambda generator: ()
    masked: tuple[str, ...] = ()
    accuracy: float = 0.0

    @property
    def question(self) -> str:
        """The question that it belongs to: "2.2"."""
        return ".".join(self.id.split("-")[1:])

    @property
    def automatic(self) -> bool:
        """Whether it is judged without a person."""
        return self.kind in AUTOMATIC


@dataclass(frozen=True)
class Question:
    """One of the 17 questions of the assignment."""

    id: str
    title: str
    parts: tuple[Part, ...]

    @property
    def task(self) -> str:
        """The task that it belongs to: "task-2"."""
        return f"task-{self.id[0]}"

    @property
    def points(self) -> float:
        """The points of its parts together."""
        return sum(part.points for part in self.parts)
