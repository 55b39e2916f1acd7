"""Marking: a page, served on this machine alone, where a person marks the written and the plotted answers."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import sqlite3
import sys
import threading
import webbrowser
from collections.abc import Callable
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat

from course_lib.coursework.ledger import Ledger, Mark, Submission
from course_lib.coursework.marks import counted, given_to, opened, questions
from course_lib.coursework.submissions import storable
from course_lib.coursework.vary import told, with_numbers_of
from course_lib.editions import ANSWER_MARKER, CHAPTERS, FOLDER, part_of
from course_lib.questions.question import Part

PAGE = Path(__file__).parent / "marking"
FILES = {
    "": ("mark.html", "text/html; charset=utf-8"),
    "mark.css": ("mark.css", "text/css; charset=utf-8"),
    "mark.js": ("mark.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
LARGEST_REQUEST = 1024 * 1024
LONGEST_COMMENT = 10_000
WRAPPED = re.compile(r"(?<!\n)\n(?![\n\-*|$\d])")  # the end of a line within a paragraph
QUESTION = re.compile(
    r"^:{3,}\{admonition\} Question (\d\.\d).*\n:class: question\n(.*?)\n:{3,}$", re.MULTILINE | re.DOTALL
)
NO_MODEL: dict[str, Any] = {"text": "", "pictures": []}
FENCE = re.compile(r"^:{3,}.*\n?", re.MULTILINE)  # the chapters fold their model answers


class Rejected(Exception):
    """A request that is not fulfilled: the status, and what would be right."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


def mark(out: Path, *, port: int = 0, open_browser: bool = True) -> None:
    """Serve the page until Ctrl-C; every decision is in the ledger as soon as it is made.

    Parameters
    ----------
    out
        The folder that `course grade` wrote.
    port
        Of 127.0.0.1; 0 takes a free one.
    open_browser
        Open the page, rather than only print its address.
    """
    with opened(out) as ledger, MarkingServer(Desk(ledger), port) as server:
        print(f"Marking at {server.address}\nKeep this address to yourself. End with Ctrl-C.", flush=True)
        if open_browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nAll marks are in the ledger.")


# What is on the desk ----------------------------------------------------------------------------------------


class Desk:
    """The answers that wait for a person, and what the person decides.

    Parameters
    ----------
    ledger
        Of the grading; the thread that makes a request holds `lock`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.lock = threading.Lock()  # one connection to the ledger, many requests
        asked = questions(self.ledger)
        self.titles = {question.id: question.title for question in asked}
        self.parts_of = {question.id: question.parts for question in asked}
        self.parts = {part.id: part for question in asked for part in question.parts if not part.automatic}
        self.models = model_answers(self.ledger.about("task"))
        self.asked = questions_asked(self.ledger.about("task"))

    # What the page asks for

    def overview(self) -> dict[str, Any]:
        """Return what stays as it is while a person marks."""
        parts = [
            {
                "id": part.id,
                "title": f"{part.question} {self.titles[part.question]}",
                "kind": part.kind,
                "points": part.points,
                "rubric": [{"text": item.text, "points": item.points} for item in part.rubric],
                "pictures": self.models.get(part.id, NO_MODEL)["pictures"],
            }
            for part in self.parts.values()
        ]
        return {"task": self.ledger.about("task"), "parts": parts}

    def roster(self, part_id: str) -> dict[str, Any]:
        """Return how far a part is: its answers in the order of their numbers, and the comment bank."""
        self.part(part_id)
        numbers = self.numbers()
        answers = [
            {
                "submission": one.id,
                "number": numbers[one.student],
                "answered": self.answered(one.id, part_id),
                "mark": self.mark(one.id, part_id),
            }
            for one in sorted(self.submissions(), key=lambda one: numbers[one.student])
        ]
        return {"answers": answers, "comments": self.ledger.comments(part_id)}

    def names(self) -> dict[int, str]:
        """Return who is behind the submissions."""
        return {one.id: one.student for one in self.submissions()}

    def answer(self, part_id: str, submission: int) -> dict[str, Any]:
        """Return one answer: its text, its pictures, what the grader found, and its mark."""
        part = self.part(part_id)
        handed_in = self.submission(submission)
        failed = (
            "The grader failed on this submission: answers may be missing."
            if handed_in.status == "failed"
            else ""
        )
        answer = self.ledger.answers(submission).get(part_id)
        beside = [one.id for one in self.parts_of[part.question] if one.id != part_id]
        results = self.ledger.results(submission)
        given = given_to(self.ledger, handed_in)
        return {
            "asked": with_numbers_of(self.asked.get(part.question, ""), given),
            "own": told(given),
            "rubric": [item.text_for(given) for item in part.rubric],
            "model": with_numbers_of(self.models.get(part_id, NO_MODEL)["text"], given),
            "text": without_marker(answer.source) if answer else "",
            "warning": (answer.warning if answer else "") or failed,
            "answered": self.answered(submission, part_id),
            "pictures": [
                {"part": shown, "number": number}
                for shown in [part_id, *beside]
                for number in range(len(self.ledger.pictures(submission, shown)))
            ],
            "found": [
                {
                    "part": one.id,
                    "points": f"{found.points:g} of {one.points:g}" if one.automatic else "",
                    "words": words,
                }
                for one in self.parts_of[part.question]
                if (found := results.get(one.id))
                and ((words := [*found.messages, *found.notes]) or one.id != part_id)
            ],
            "mark": self.mark(submission, part_id),
        }

    def picture(self, part_id: str, submission: int, number: int) -> bytes:
        """Return one picture as PNG."""
        self.submission(submission)
        pictures: list[bytes] = self.ledger.pictures(submission, part_id)
        if number >= len(pictures):
            raise Rejected(HTTPStatus.NOT_FOUND, "there is no such picture")
        return pictures[number]

    # What the page writes

    def write(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Write a mark, unless the answer was marked elsewhere since the page showed it."""
        part, submission = self.part(wish.get("part")), self.submission(wish.get("submission")).id
        items, comment = read_mark(part, wish)
        with self.ledger.transaction():
            present, wanted = self.mark(submission, part.id), {"items": items, "comment": comment}
            if present not in (wish.get("seen"), wanted):
                return {"written": False, "mark": present}
            if present != wanted:
                decided = None if items is None else tuple(items)
                self.ledger.write_mark(Mark(submission, part.id, decided, comment))
        return {"written": True, "mark": wanted}

    def undo(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Take marks away that this page wrote: those that are still as it wrote them."""
        part = self.part(wish.get("part"))
        wanted = wish.get("marks")
        if not isinstance(wanted, list):
            raise Rejected(
                HTTPStatus.BAD_REQUEST, "marks: a list of submissions with the marks that were seen"
            )
        undone = 0
        with self.ledger.transaction():
            for one in self.submissions():
                present = self.mark(one.id, part.id)
                if present and {"submission": one.id, "seen": present} in wanted:
                    self.ledger.undo_mark(one.id, part.id)
                    undone += 1
        return {"undone": undone}

    def mark_unanswered(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Mark 0 wherever a part was not answered and has no mark yet.

        Where it was strange how the answer was found, or not found, a person looks.
        """
        part = self.part(wish.get("part"))
        done = []
        with self.ledger.transaction():
            for one in self.submissions():
                answer = self.ledger.answers(one.id).get(part.id)
                # of a failed one, what was handed in may not have been read
                strange = one.status == "failed" or bool(answer and answer.warning)
                if not strange and not self.mark(one.id, part.id) and not self.answered(one.id, part.id):
                    self.ledger.write_mark(Mark(one.id, part.id, (), "Not answered."))
                    done.append({"submission": one.id, "seen": self.mark(one.id, part.id)})
        return {"marks": done}

    def add_comment(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Put a comment into the bank of a part."""
        part, words = self.part(wish.get("part")), wish.get("words")
        if not isinstance(words, str) or not 0 < len(words.strip()) <= LONGEST_COMMENT:
            raise Rejected(HTTPStatus.BAD_REQUEST, f"words: a comment of 1 to {LONGEST_COMMENT} characters")
        self.ledger.add_comment(part.id, storable(words.strip()))
        return {"comments": self.ledger.comments(part.id)}

    # What these stand on

    def part(self, part_id: object) -> Part:
        """Return a part that a person marks."""
        if not isinstance(part_id, str) or part_id not in self.parts:
            raise Rejected(HTTPStatus.NOT_FOUND, f"part: one of {', '.join(self.parts)}")
        return self.parts[part_id]

    def submissions(self) -> list[Submission]:
        """Return the submissions that count: one of each student, unless it was refused."""
        return [one for one in counted(self.ledger).values() if one.status != "refused"]

    def submission(self, number: object) -> Submission:
        """Return a submission that counts."""
        found = {one.id: one for one in self.submissions()}
        if type(number) is not int or number not in found:
            raise Rejected(HTTPStatus.NOT_FOUND, "submission: the id of one that is marked")
        return found[number]

    def mark(self, submission: int, part_id: str) -> dict[str, Any] | None:
        """Return the mark of an answer as the page writes it."""
        mark = self.ledger.marks(submission).get(part_id)
        if mark is None:
            return None
        return {"items": mark.items if mark.items is None else list(mark.items), "comment": mark.comment}

    def answered(self, submission: int, part_id: str) -> bool:
        """Tell whether a student changed anything in a cell: the ledger has "" where not."""
        answer = self.ledger.answers(submission).get(part_id)
        return answer is not None and bool(answer.source.strip())

    def numbers(self) -> dict[str, int]:
        """Return the number that stands for each student: it stays, and says nothing of the name."""
        if not self.ledger.about("numbers"):
            with self.ledger.transaction():
                if not self.ledger.about("numbers"):  # another process may have been first
                    self.ledger.note_about("numbers", secrets.token_hex(16))
        secret = bytes.fromhex(self.ledger.about("numbers"))
        numbers: dict[str, int] = {}
        taken: set[int] = set()
        for one in sorted(self.ledger.submissions(), key=lambda one: one.id):  # who came first keeps a number
            digest = hmac.digest(secret, one.student.encode(), sha256)
            number = 10_000 + int.from_bytes(digest) % 90_000
            while one.student not in numbers and number in taken:
                number = 10_000 + (number + 1) % 90_000
            taken.add(numbers.setdefault(one.student, number))
        return numbers


def model_answers(task: str) -> dict[str, dict[str, Any]]:
    """Return what the chapters answer, by part: the text of the cell, and its pictures in base64."""
    models: dict[str, dict[str, Any]] = {}
    for chapter in CHAPTERS[task]:
        path = FOLDER / task / f"{chapter}.ipynb"
        for cell in nbformat.read(path, as_version=4).cells if path.exists() else []:
            if part := part_of(cell):
                shown = [output.data for output in cell.get("outputs", []) if "data" in output]
                pictures = ["".join(data["image/png"]) for data in shown if "image/png" in data]
                text = FENCE.sub("", cell.source).strip()
                if part.kind == "text":
                    text = WRAPPED.sub(" ", text)
                models[part.id] = {"text": text, "pictures": pictures}
    return models


def questions_asked(task: str) -> dict[str, str]:
    """Return the text of each question, as it stands in the chapters."""
    asked: dict[str, str] = {}
    for chapter in CHAPTERS[task]:
        path = FOLDER / task / f"{chapter}.ipynb"
        for cell in nbformat.read(path, as_version=4).cells if path.exists() else []:
            found = QUESTION.findall(cell.source)
            asked |= {number: WRAPPED.sub(" ", text).replace("`", "") for number, text in found}
    return asked


def without_marker(source: str) -> str:
    """Return an answer without the lines that say whose cell it is."""
    lines = [line for line in source.split("\n") if not ANSWER_MARKER.match(line.strip())]
    return "\n".join(lines).strip("\n")


def read_mark(part: Part, wish: dict[str, Any]) -> tuple[list[int] | None, str]:
    """Return the items, None if none was decided on, and the comment of a request, or refuse it."""
    items, comment = wish.get("items"), wish.get("comment")
    known = range(len(part.rubric))
    listed = isinstance(items, list) and all(type(item) is int and item in known for item in items)
    if not listed and ("items" not in wish or items is not None):
        raise Rejected(HTTPStatus.BAD_REQUEST, f"items: a list of numbers below {len(part.rubric)}")
    if not isinstance(comment, str) or len(comment) > LONGEST_COMMENT:
        raise Rejected(HTTPStatus.BAD_REQUEST, f"comment: at most {LONGEST_COMMENT} characters")
    return None if items is None else sorted(set(items)), storable(comment)


# The server -------------------------------------------------------------------------------------------------


class MarkingServer(ThreadingHTTPServer):
    """Serves the page on 127.0.0.1, to whoever knows the token."""

    daemon_threads = True

    def __init__(self, desk: Desk, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.desk = desk
        self.token = secrets.token_urlsafe(32)
        self.address = f"http://127.0.0.1:{self.server_port}/{self.token}/"
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that left before its answer was there."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request: refused unless it names this host and the token."""

    server: MarkingServer
    timeout = 30  # a connection that says nothing ends

    def do_GET(self) -> None:
        """Answer with a file of the page, a picture, or JSON."""
        self.answer(self.get)

    def do_POST(self) -> None:
        """Write what the page decided."""
        self.answer(self.post)

    def answer(self, what: Callable[[], tuple[bytes, str]]) -> None:
        """Send what a request is answered with, or why it is refused."""
        status = HTTPStatus.OK
        try:
            self.check()
            content, kind = what()
        except (Rejected, sqlite3.Error) as error:
            status = error.status if isinstance(error, Rejected) else HTTPStatus.INTERNAL_SERVER_ERROR
            content, kind = str(error).encode(), "text/plain; charset=utf-8"
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def check(self) -> None:
        """Refuse another host's name (DNS rebinding) and whoever does not know the token."""
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            raise Rejected(HTTPStatus.FORBIDDEN, "this address is not served here")
        if not re.match("/[^/]*/", self.path) or not self.knows(self.path.split("/")[1]):
            raise Rejected(HTTPStatus.FORBIDDEN, "the address lacks the token: take the one that was printed")

    def knows(self, token: str) -> bool:
        """Compare a token in constant time."""
        return hmac.compare_digest(token.encode(), self.server.token.encode())

    @property
    def way(self) -> list[str]:
        """The address after the token."""
        return self.path.split("/")[2:]

    def get(self) -> tuple[bytes, str]:
        """Return the content and its kind."""
        desk = self.server.desk
        with desk.lock:
            match self.way:
                case [name] if name in FILES:
                    file, kind = FILES[name]
                    return (PAGE / file).read_bytes(), kind
                case ["overview"]:
                    return as_json(desk.overview())
                case ["names"]:
                    return as_json(desk.names())
                case ["roster", part]:
                    return as_json(desk.roster(part))
                case ["answer", part, submission]:
                    return as_json(desk.answer(part, as_number(submission)))
                case ["picture", part, submission, which]:
                    return desk.picture(part, as_number(submission), as_number(which)), "image/png"
        raise Rejected(HTTPStatus.NOT_FOUND, "there is nothing at this address")

    def post(self) -> tuple[bytes, str]:
        """Return the answer to what the page decided."""
        desk = self.server.desk
        ways: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "mark": desk.write,
            "undo": desk.undo,
            "unanswered": desk.mark_unanswered,
            "comment": desk.add_comment,
        }
        write = ways.get("/".join(self.way))
        if write is None:
            raise Rejected(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        body = self.body()
        with desk.lock:
            return as_json(write(body))

    def body(self) -> dict[str, Any]:
        """Return the JSON object that was sent."""
        if not self.knows(self.headers.get("X-Course-Token", "")):  # no form and no other site can set it
            raise Rejected(HTTPStatus.FORBIDDEN, "the header X-Course-Token lacks the token")
        if self.headers.get_content_type() != "application/json":
            raise Rejected(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,20}", length):
            raise Rejected(HTTPStatus.LENGTH_REQUIRED, "say the Content-Length")
        if int(length) > LARGEST_REQUEST:
            raise Rejected(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LARGEST_REQUEST} bytes")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise Rejected(HTTPStatus.BAD_REQUEST, "this is not JSON") from None
        if not isinstance(body, dict):
            raise Rejected(HTTPStatus.BAD_REQUEST, "send a JSON object")
        return body

    def log_message(self, *words: object) -> None:
        """Write no log: the addresses hold the token."""


def as_number(word: str) -> int:
    """Return the number in an address."""
    if not re.fullmatch("[0-9]{1,9}", word):
        raise Rejected(HTTPStatus.NOT_FOUND, "there is nothing at this address")
    return int(word)


def as_json(content: object) -> tuple[bytes, str]:
    """Return content as JSON, and its kind."""
    return json.dumps(content).encode(), "application/json"
