"""The server of `course mark`: what it gives, what it writes, and whom it refuses."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from course_lib.coursework import mark as marking
from course_lib.coursework.ledger import Ledger, Mark, Result
from course_lib.coursework.mark import Desk, MarkingServer
from course_lib.questions import PARTS, Variation

PART = "words-2-5"
HOSTILE = (
    '</pre><script>window.ran = 1</script><img src=x onerror="window.ran = 2">\n$K \\cdot X$ & <b>bold</b>'
)
ANSWERS = {
    "Ada Lovelace": "The kernel finds thin bright lines along a row.\n\nIts numbers sum to $0$.",
    "Bo \"'; DROP TABLE marks; --": HOSTILE,
    "Chi ../../etc/passwd": "Lines, I think.",
    "Dee": "",
}


def picture(colour: str = "steelblue") -> bytes:
    """Return a small PNG."""
    file = io.BytesIO()
    Image.new("RGB", (240, 160), colour).save(file, "png")
    return file.getvalue()


def grading(folder: Path, answers: dict[str, str] = ANSWERS, task: str = "task-2") -> Path:
    """Write the ledger of a graded task, with an answer of each student to 2.5."""
    with closing(Ledger(folder)) as ledger:
        ledger.note_about("task", task)
        ledger.note_about("version", "1")
        for number, (student, words) in enumerate(answers.items()):
            source = f"<!-- {PART} (your answer to 2.5 stands in this cell) -->\n{words}"
            answers_there = [(PART, source, "")] if words else []
            submission = ledger.add_submission(
                student, f"{number}/task-2.ipynb", f"digest-{number}", "waiting", "", answers_there
            )
            found = Result(
                submission, "answer-2-5", 0.75, ("Almost.",), ("a note for the teacher",), "key", 0.1
            )
            ledger.write_results(submission, [found], {"answer-2-5": [picture()]}, "graded")
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[MarkingServer]:
    """Serve the page of a grading."""
    with closing(Ledger(folder)) as ledger, MarkingServer(Desk(ledger)) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MarkingServer]:
    """The server of a grading with four students."""
    with serving(grading(tmp_path)) as server:
        yield server


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MarkingServer]:
    """The same, for all tests that write nothing."""
    with serving(grading(tmp_path_factory.mktemp("shared"))) as server:
        yield server


def ask(server: MarkingServer, way: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Send a request as the page does, but for what is said otherwise; return the status and the content."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    with closing(connection):
        if body is None:
            connection.request("GET", f"/{server.token}/{way}", headers=headers)
        else:
            own = {"X-Course-Token": server.token, "Content-Type": "application/json"}
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request("POST", f"/{server.token}/{way}", content, own | headers)
        response = connection.getresponse()
        content = response.read()
        kind = response.headers.get_content_type()
    return response.status, json.loads(content) if kind == "application/json" else content


def raw(server: MarkingServer, request: str) -> str:
    """Send bytes, and return the first line of the answer."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as connection:
        connection.sendall(request.encode())
        return connection.makefile(encoding="latin-1").readline()


def ids(server: MarkingServer) -> dict[str, int]:
    """Return the submission of each student."""
    return {name: int(number) for number, name in ask(server, "names")[1].items()}


def newest(server: MarkingServer, student: str) -> Mark | None:
    """Return what the ledger on the disk has of a student."""
    with closing(Ledger(server.desk.ledger.folder)) as ledger:
        return ledger.marks(ids(server)[student]).get(PART)


# What it gives ----------------------------------------------------------------------------------------------


def test_the_page_and_its_headers(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", f"/{server.token}/")
    response = connection.getresponse()
    assert response.status == 200 and b"<title>Marking</title>" in response.read()
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    connection.close()


def test_it_listens_on_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 40


def test_parts_are_those_that_a_person_marks(server):
    parts = ask(server, "overview")[1]["parts"]
    assert [part["id"] for part in parts] == ["words-2-1", "plot-2-3", PART, "words-2-6", "plot-2-8"]
    student = ids(server)["Ada Lovelace"]
    answers = {part["id"]: ask(server, f"answer/{part['id']}/{student}")[1] for part in parts}
    models = [answer["model"] for answer in answers.values()]
    assert all(models) and all(part["rubric"] for part in parts)
    assert not any(":::" in text or "your answer to" in text for text in models)
    assert all(part["pictures"] for part in parts if part["kind"] == "plot")
    asked = {part: answer["asked"] for part, answer in answers.items()}
    assert asked["words-2-6"] == (
        "Do the same with the transposed kernel, K.T, and b = −150. What does it capture?"
    )
    assert all(asked.values()) and not any(":::" in text for text in asked.values())


@pytest.mark.parametrize("task", ["task-1", "task-2"])
def test_every_question_that_a_person_marks_has_its_text(task):
    marked = {part.question for part in PARTS.values() if not part.automatic and part.question[0] == task[-1]}
    assert marked <= set(marking.questions_asked(task))


def test_rubric_and_model_answer_follow_a_students_own_numbers(tmp_path):
    given = Variation(7, ((1, 0, -1),) * 3, -120, -300)
    folder = grading(tmp_path)
    with closing(Ledger(folder)) as ledger:
        number = next(one.id for one in ledger.submissions() if one.student == "Ada Lovelace")
        ledger.note_about(f"given {number}", json.dumps(given))
    with serving(folder) as server:
        own = ask(server, f"answer/{PART}/{ids(server)['Ada Lovelace']}")[1]
        books = ask(server, f"answer/{PART}/{ids(server)['Dee']}")[1]
        plot = ask(server, f"answer/plot-2-8/{ids(server)['Ada Lovelace']}")[1]["model"]
    assert own["own"].startswith("Numbers of their own: training image 7, the kernel [[1, 0, −1], ")
    assert "with b = −120 and ReLU" in own["asked"] and "with b = −150 and ReLU" in books["asked"]
    assert own["rubric"][0] == (
        "The kernel captures edges along a column of the array, bright on the left and dark on the right"
    )
    assert own["rubric"][3] == "The bias is a threshold: only responses above 120 are left"
    assert books["own"] == "" and books["rubric"] == [item.text for item in PARTS[PART].rubric]
    assert "−300" in plot and "−320" not in plot


def test_a_comment_alone_gives_no_points(server):
    student = ids(server)["Ada Lovelace"]
    wish = {"part": PART, "submission": student, "items": None, "comment": "Say more.", "seen": None}
    status, said = ask(server, "mark", wish)
    assert status == 200 and said["mark"] == {"items": None, "comment": "Say more."}
    assert newest(server, "Ada Lovelace") == Mark(student, PART, None, "Say more.")
    none = {**wish, "items": [], "seen": said["mark"]}
    assert ask(server, "mark", none)[1]["mark"] == {"items": [], "comment": "Say more."}


def test_answers_are_anonymous_and_their_numbers_stay(tmp_path):
    students = {f"Student {letter}": "Lines." for letter in "ABCDEFGHIJ"}
    with serving(grading(tmp_path, students)) as server:
        roster = ask(server, f"roster/{PART}")[1]["answers"]
        first = {one["submission"]: one["number"] for one in roster}
        order = [one["submission"] for one in roster]
        said = json.dumps([roster, [ask(server, f"answer/{PART}/{one}")[1] for one in order]])
    assert not any(student in said for student in students)
    assert order != sorted(order), "not by the alphabet"
    assert len(set(first.values())) == len(students)
    grading(tmp_path, {"Aaron": "Late."} | students)
    with serving(tmp_path) as server:
        again = {one["submission"]: one["number"] for one in ask(server, f"roster/{PART}")[1]["answers"]}
    known = {number for number in first.values()}
    assert known < set(again.values())


def test_an_answer_with_its_pictures_and_findings(server):
    one = ids(server)["Bo \"'; DROP TABLE marks; --"]
    status, answer = ask(server, f"answer/{PART}/{one}")
    assert status == 200
    assert HOSTILE in answer["text"] and "<!--" not in answer["text"]
    assert answer["answered"] and answer["mark"] is None
    assert answer["pictures"] == [{"part": "answer-2-5", "number": 0}]
    assert answer["found"][0]["words"] == ["Almost.", "a note for the teacher"]
    assert ask(server, f"picture/answer-2-5/{one}/0") == (200, picture())
    assert ask(server, f"picture/answer-2-5/{one}/1")[0] == 404


def test_which_are_not_answered(server):
    roster = ask(server, f"roster/{PART}")[1]["answers"]
    unanswered = {one["submission"] for one in roster if not one["answered"]}
    assert unanswered == {ids(server)["Dee"]}


def test_what_was_strange_is_not_marked_unanswered(server):
    with closing(Ledger(server.desk.ledger.folder)) as ledger:
        warned = [(PART, "", "its cell is not in the notebook")]
        eve = ledger.add_submission("Eve", "eve", "digest", "graded", "", warned)
    assert ask(server, f"answer/{PART}/{eve}")[1]["warning"] == "its cell is not in the notebook"
    marks = ask(server, "unanswered", {"part": PART})[1]["marks"]
    assert [one["submission"] for one in marks] == [ids(server)["Dee"]]


def test_refused_and_superseded_submissions_are_not_marked(tmp_path):
    grading(tmp_path)
    with closing(Ledger(tmp_path)) as ledger:
        ledger.set_status(1, "refused", "not a notebook")
        ledger.set_status(2, "superseded", "")
        ledger.add_submission(ledger.submissions()[1].student, "newer", "digest", "graded", "", [])
    with serving(tmp_path) as server:
        assert sorted(ids(server).values()) == [3, 4, 5]
        assert ask(server, f"answer/{PART}/1")[0] == 404


# What it writes ---------------------------------------------------------------------------------------------


def test_mark_and_undo(server):
    one = ids(server)["Ada Lovelace"]
    first = {"items": [0, 2], "comment": "Good."}
    wish = {"part": PART, "submission": one, **first, "seen": None}
    assert ask(server, "mark", wish) == (200, {"written": True, "mark": first})
    assert newest(server, "Ada Lovelace") == Mark(one, PART, (0, 2), "Good.")
    second = {"items": [0], "comment": ""}
    assert ask(server, "mark", {"part": PART, "submission": one, **second, "seen": first})[0] == 200
    undo = {"part": PART, "marks": [{"submission": one, "seen": second}]}
    assert ask(server, "undo", undo) == (200, {"undone": 1})
    assert newest(server, "Ada Lovelace") == Mark(one, PART, (0, 2), "Good.")
    assert ask(server, "undo", undo) == (200, {"undone": 0}), "another's mark stays"


def test_a_mark_of_another_tab_is_not_overwritten(server):
    one = ids(server)["Ada Lovelace"]
    wish = {"part": PART, "submission": one, "items": [1], "comment": "", "seen": None}
    assert ask(server, "mark", wish)[0] == 200
    there = {"items": [1], "comment": ""}
    assert ask(server, "mark", wish | {"items": [0]}) == (200, {"written": False, "mark": there})
    assert newest(server, "Ada Lovelace") == Mark(one, PART, (1,), "")


def test_all_unanswered_at_once(server):
    one = ids(server)["Dee"]
    marks = ask(server, "unanswered", {"part": PART})[1]["marks"]
    assert [done["submission"] for done in marks] == [one]
    assert newest(server, "Dee") == Mark(one, PART, (), "Not answered.")
    assert ask(server, "unanswered", {"part": PART})[1]["marks"] == []
    assert ask(server, "undo", {"part": PART, "marks": marks})[1] == {"undone": 1}
    assert newest(server, "Dee") is None


def test_the_comment_bank_is_of_one_part(server):
    assert ask(server, "comment", {"part": PART, "words": " Say why. "}) == (200, {"comments": ["Say why."]})
    assert ask(server, "comment", {"part": PART, "words": "Say why."}) == (200, {"comments": ["Say why."]})
    assert ask(server, f"roster/{PART}")[1]["comments"] == ["Say why."]
    assert ask(server, "roster/words-2-6")[1]["comments"] == []


def test_many_tabs_at_once(server):
    numbers = list(ids(server).values())
    failed = []

    def tab(part: str) -> None:
        for one in numbers * 5:
            seen = ask(server, f"answer/{part}/{one}")[1]["mark"]
            wish = {"part": part, "submission": one, "items": [0], "comment": part, "seen": seen}
            if not ask(server, "mark", wish)[1]["written"]:
                failed.append(wish)

    parts = [part.id for part in PARTS.values() if part.id.startswith("words-2")]
    tabs = [threading.Thread(target=tab, args=(part,)) for part in parts]
    for one in tabs:
        one.start()
    for one in tabs:
        one.join()
    assert failed == []
    with closing(Ledger(server.desk.ledger.folder)) as ledger:
        assert all(set(ledger.marks(one)) == set(parts) for one in numbers)


def test_a_comment_that_unicode_does_not_know(server):
    wish = {"part": PART, "submission": 1, "items": [0, 0], "comment": "\ud800", "seen": None}
    assert ask(server, "mark", wish) == (200, {"written": True, "mark": {"items": [0], "comment": "?"}})


def test_a_failure_of_the_grader_is_no_missing_answer(tmp_path):
    with closing(Ledger(grading(tmp_path))) as ledger:
        ledger.set_status(4, "failed", "our own mistake")
    with serving(tmp_path) as server:
        assert ask(server, "unanswered", {"part": PART})[1]["marks"] == []
        assert "The grader failed" in ask(server, f"answer/{PART}/4")[1]["warning"]


# Whom it refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/", "/mark.js", "/favicon.ico", "//", "/x/", "/x/overview", "/../../etc/passwd", "/{short}/", "*"],
)
def test_without_the_token(shared, path):
    path = path.format(short=shared.token[:-1])
    for method in ("GET", "POST"):
        request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{shared.server_port}\r\n\r\n"
        assert " 403 " in raw(shared, request)


@pytest.mark.parametrize(
    "hosts", [["evil.example"], ["127.0.0.1"], ["127.0.0.1:1"], [], ["127.0.0.1:{port}", "evil.example"]]
)
def test_under_another_name(shared, hosts):
    lines = "".join(f"Host: {host.format(port=shared.server_port)}\r\n" for host in hosts)
    assert " 403 " in raw(shared, f"GET /{shared.token}/ HTTP/1.1\r\n{lines}\r\n")


def test_a_request_from_another_site(shared):
    wish = {"part": PART, "submission": 1, "items": [0], "comment": "", "seen": None}
    assert ask(shared, "mark", wish, **{"X-Course-Token": ""})[0] == 403
    assert ask(shared, "mark", wish, **{"X-Course-Token": "é" * 43})[0] == 403
    assert ask(shared, "mark", wish, **{"Content-Type": "text/plain"})[0] == 415
    assert newest(shared, "Ada Lovelace") is None


@pytest.mark.parametrize("length, status", [("99999999", 413), ("9" * 5000, 411), ("-1", 411), ("ten", 411)])
def test_an_oversize_body(shared, length, status):
    head = f"POST /{shared.token}/mark HTTP/1.1\r\nHost: 127.0.0.1:{shared.server_port}\r\n"
    head += f"X-Course-Token: {shared.token}\r\nContent-Type: application/json\r\n"
    assert f" {status} " in raw(shared, f"{head}Content-Length: {length}\r\n\r\n")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'"part"', b"NaN"])
def test_a_body_that_is_no_object(shared, body):
    assert ask(shared, "mark", body)[0] == 400


@pytest.mark.parametrize(
    "change, status",
    [
        ({"part": "answer-2-2"}, 404),  # not for a person
        ({"part": "words-1-3"}, 404),  # of another task
        ({"part": ["words-2-5"]}, 404),
        ({"submission": 99}, 404),
        ({"submission": True}, 404),
        ({"submission": "1"}, 404),
        ({"submission": 10**30}, 404),
        ({"items": [4]}, 400),
        ({"items": [-1]}, 400),
        ({"items": [True]}, 400),
        ({"items": "0"}, 400),
        ({"items": [0.5]}, 400),
        ({"items": [[]]}, 400),
        ({"comment": None}, 400),
        ({"comment": "x" * 10_001}, 400),
    ],
)
def test_a_mark_that_can_not_be(shared, change, status):
    wish = {"part": PART, "submission": 1, "items": [0], "comment": "", "seen": None}
    assert ask(shared, "mark", wish | change)[0] == status
    assert newest(shared, "Ada Lovelace") is None


@pytest.mark.parametrize(
    "way",
    [
        "../mark.py",
        "..%2fmark.py",
        "mark.css/../mark.js",
        "%2e%2e/",
        "ledger.sqlite",
        "feedback.html",
        "picture/../../1/0",
        "picture/answer-2-5/1/-1",
        "picture/answer-2-5/1e0/0",
        f"answer/{PART}/²",
        f"answer/{PART}/1/",
        "roster/answer-2-2",
        "overview?x=1",
    ],
)
def test_what_is_not_there(shared, way):
    assert " 404 " in raw(
        shared, f"GET /{shared.token}/{way} HTTP/1.1\r\nHost: 127.0.0.1:{shared.server_port}\r\n\r\n"
    )


def test_a_folder_without_a_grading(tmp_path):
    with pytest.raises(FileNotFoundError, match="course grade"):
        marking.mark(tmp_path, open_browser=False)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_its_address(tmp_path, capsys, monkeypatch):
    def interrupted(server: MarkingServer) -> None:
        raise KeyboardInterrupt

    opened: list[str] = []
    monkeypatch.setattr(MarkingServer, "serve_forever", interrupted)
    monkeypatch.setattr(marking.webbrowser, "open", opened.append)
    marking.mark(grading(tmp_path))
    said = capsys.readouterr().out
    assert opened[0].startswith("http://127.0.0.1:") and opened[0] in said
