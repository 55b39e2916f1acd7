"""Feedback: one self-contained page for each student, which asks nothing of any host and runs nothing."""

from __future__ import annotations

import base64
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from course_lib.coursework.ledger import Ledger, Submission
from course_lib.coursework.mark import without_marker
from course_lib.coursework.marks import Total, counted, given_to, opened, plain, questions, total
from course_lib.coursework.vary import told
from course_lib.files import write
from course_lib.questions.question import Part

HERE = Path(__file__).parent / "marking"
KINDS = {
    "function": "your function",
    "value": "your value",
    "network": "your network",
    "plot": "your picture",
    "text": "your words",
    "predictions": "your predictions",
}


def feedback(out: Path) -> list[Path]:
    """Write a page for each student into `out/feedback/`; return the pages.

    A page is replaced as a whole or not at all.

    Parameters
    ----------
    out
        The folder that `course grade` wrote.
    """
    with opened(out) as ledger:
        folder = out / "feedback"
        folder.mkdir(exist_ok=True)
        pages = []
        for student, submission in counted(ledger).items():
            pages.append(folder / file_name(student))
            write(pages[-1], page(ledger, submission).encode(), private=True)
    print(f"{len(pages)} pages in {folder}")
    return pages


def file_name(student: str) -> str:
    """Return a file name for a student: plain letters, and a digest that tells like names apart.

    Examples
    --------
    >>> file_name("../Zoë <script>")
    'Zoe-script-322d89b229.html'
    """
    plain = unicodedata.normalize("NFKD", student).encode("ascii", "ignore").decode()
    words = re.sub("[^A-Za-z0-9]+", "-", plain).strip("-")[:40] or "student"
    return f"{words}-{sha256(student.encode()).hexdigest()[:10]}.html"


# A page -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PartPage:
    """What a student reads about one part; `points` is None while it waits."""

    title: str
    of: float
    points: float | None
    waiting: str
    messages: tuple[str, ...]
    rubric: tuple[tuple[bool, str, float], ...]
    comment: str
    warning: str
    source: str
    prose: bool
    pictures: tuple[str, ...]


@cache
def template() -> Template:
    """Return the template of a page, with its style and the digest that the page's policy names."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda points: plain(float(points))
    style = (HERE / "feedback.css").read_text(encoding="utf-8")
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    return environment.get_template("feedback.html", globals={"style": style, "style_digest": digest})


def page(ledger: Ledger, submission: Submission) -> str:
    """Return the page of one submission as HTML."""
    asked, points = questions(ledger), total(ledger, submission)
    return template().render(
        submission=submission,
        own=told(given_to(ledger, submission)).replace("Numbers of their own", "Your own numbers"),
        task=ledger.about("task").replace("-", " "),
        version=ledger.about("version"),
        questions=[
            (question, [judged(ledger, submission, part, points) for part in question.parts])
            for question in asked
        ],
        total=points,
        of=sum(question.points for question in asked),
    )


def judged(ledger: Ledger, submission: Submission, part: Part, total: Total) -> PartPage:
    """Return what is known of one part. The notes of the grader are the teacher's and stay out."""
    answer = ledger.answers(submission.id).get(part.id)
    result = ledger.results(submission.id).get(part.id) if submission.status == "graded" else None
    mark = ledger.marks(submission.id).get(part.id)
    given = given_to(ledger, submission)
    warning = answer.warning if answer else ""
    messages = result.messages if result else ()
    return PartPage(
        title=KINDS[part.kind],
        of=part.points,
        points=total.points[part.id],
        waiting="not graded yet" if part.automatic else "not marked yet",
        messages=tuple(dict.fromkeys(messages)),
        rubric=tuple(
            (number in mark.items, item.text_for(given), item.points)
            for number, item in enumerate(part.rubric)
        )
        if mark and mark.items is not None
        else (),
        comment=mark.comment if mark else "",
        warning=warning if not any(warning in message for message in messages) else "",
        source=without_marker(answer.source) if answer else "",
        prose=part.kind == "text",
        pictures=tuple(base64.b64encode(png).decode() for png in ledger.pictures(submission.id, part.id)),
    )
