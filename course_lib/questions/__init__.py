"""What the course asks, for how many points, and how an answer is judged."""

from course_lib.questions.checking import NotYet, check, write_predictions
from course_lib.questions.grading import PARTS, QUESTIONS, TASKS
from course_lib.questions.variation import Variation

__all__ = ["PARTS", "QUESTIONS", "TASKS", "NotYet", "Variation", "check", "write_predictions"]
