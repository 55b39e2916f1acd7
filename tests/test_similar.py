"""`course_lib.coursework.similar`: copies stand out, and nothing that was handed in breaks it."""

from __future__ import annotations

import csv
import html
import itertools
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.coursework import similar as module
from course_lib.coursework.ledger import Ledger
from course_lib.coursework.release import released
from course_lib.coursework.similar import CODE, TEXT, everybodys, similar, symbols, tokens, words
from course_lib.questions import TASKS

ORIGINAL = '''
def convolution(X, K):
    """My own way."""
    height, width = X.shape
    flat = K.reshape(-1)
    patches = []
    for top in range(height - K.shape[0] + 1):  # every row
        for left in range(width - K.shape[1] + 1):
            window = X[top:top + K.shape[0], left:left + K.shape[1]]
            patches.append(window.reshape(-1) @ flat)
    side = height - K.shape[0] + 1
    return np.array(patches).reshape(side, len(patches) // side)
'''
RENAMED = """
def convolution(X, K):
    # I did this alone
    a, b = X.shape
    f = K.reshape(-1)
    out = [
    ]

    for i in range(a - K.shape[0] + 1):
      for j in range(b - K.shape[1] + 1):
        w = X[i:i + K.shape[0],
              j:j + K.shape[1]]
        out.append(w.reshape(-1) @ f)
    n = a - K.shape[0] + 1
    return np.array(out).reshape(n, len(out) // n)
"""
WORDS = (
    "A kernel that is turned by half a circle finds the same edges, but dark and bright change places,"
    " because every product keeps its size and only its sign is another one"
)


def honest(chance: random.Random) -> str:
    """Return one of the many usual answers to 2.2."""
    rows, columns = chance.choice(
        [("rows", "columns"), ("m", "n"), ("h", "w"), ("out_h", "out_w"), ("height", "width"), ("a", "b")]
    )
    i, j = chance.choice([("i", "j"), ("r", "c"), ("y", "x"), ("row", "column")])
    size = chance.choice(
        [
            f"    {rows} = X.shape[0] - K.shape[0] + 1\n    {columns} = X.shape[1] - K.shape[1] + 1\n",
            f"    {rows}, {columns} = X.shape[0] - K.shape[0] + 1, X.shape[1] - K.shape[1] + 1\n",
            f"    k = len(K)\n    {rows}, {columns} = len(X) - k + 1, len(X[0]) - k + 1\n",
        ]
    )
    zeros = chance.choice(["np.zeros(({}, {}))", "np.zeros([{}, {}])", "np.empty(({}, {}), dtype=float)"])
    patch = f"X[{i}:{i} + K.shape[0], {j}:{j} + K.shape[1]]"
    step = chance.choice(["np.sum({} * K)", "({} * K).sum()", "np.multiply({}, K).sum()"]).format(patch)
    return (
        f"def convolution(X, K):\n{size}    Y = {zeros.format(rows, columns)}\n"
        f"    for {i} in range({rows}):\n"
        f"        for {j} in range({columns}):\n            Y[{i}, {j}] = {step}\n    return Y\n"
    )


def hand_in(folder: Path, answers: dict[str, dict[str, str]], status: str = "graded") -> None:
    """Enter submissions: by student, the answers by part."""
    ledger = Ledger(folder)
    ledger.note_about("task", "task-2")
    for student, parts in answers.items():
        given = [(part, source, "") for part, source in parts.items()]
        ledger.add_submission(student, f"{student}-{status}.ipynb", student, status, "", given)
    ledger.close()


def course(number: int, seed: int = 1) -> dict[str, dict[str, str]]:
    """Return the honest answers of a course to 2.2."""
    chance = random.Random(seed)
    return {f"student {one}": {"answer-2-2": honest(chance)} for one in range(number)}


def found(pairs: list[module.Pair]) -> list[tuple[str, tuple[str, str]]]:
    """Return which pairs were found."""
    return [(pair.part, pair.students) for pair in pairs]


# What stands out --------------------------------------------------------------------------------------------


def test_a_copy_with_other_names_comments_and_layout_stands_out(tmp_path, capsys):
    hand_in(tmp_path, course(40) | {"Eve": {"answer-2-2": ORIGINAL}, "Mallory": {"answer-2-2": RENAMED}})
    (first, *others) = similar(tmp_path)
    assert (first.part, first.students) == ("answer-2-2", ("Eve", "Mallory"))
    assert first.score > 10 and all(pair.score < first.score / 2 for pair in others)
    assert "window.reshape(-1) @ flat" in first.common(0) and "w.reshape(-1) @ f" in first.common(1)
    said = " ".join(capsys.readouterr().out.split())
    assert "answer-2-2 Eve and Mallory" in said
    assert "This is a hint where to look, and no proof." in said and "42 answers compared" in said


def test_a_copied_text_stands_out(tmp_path):
    texts = {
        "Eve": f"**First of all.** {WORDS}.",
        "Mallory": f"I think that {WORDS.upper()}!",
        "Ada": "The picture of the edges looks inverted, since all the weights have got the opposite sign.",
        "Bob": "Turning the kernel by 180 degrees changes where the edges are bright and where dark.",
    }
    hand_in(tmp_path, {student: {"words-2-5": text} for student, text in texts.items()})
    (pair,) = similar(tmp_path)
    assert pair.students == ("Eve", "Mallory") and WORDS[2:-10] in pair.common(0)


def test_what_an_honest_course_writes_does_not(tmp_path):
    hand_in(tmp_path, course(200))
    assert found(similar(tmp_path)) == []


def test_the_text_of_the_release_and_of_its_solution_counts_nothing(tmp_path, capsys):
    release = released("task-2")
    parts = {part.id for question in TASKS["task-2"] for part in question.parts}
    given: dict[str, dict[str, str]] = {
        "stub": {},
        "another stub": {},
        "solution": {},
        "another solution": {},
    }
    for notebook, students in (
        (release.student, ("stub", "another stub")),
        (release.solution, list(given)[2:]),
    ):
        for cell in notebook.cells:
            if (part := cell.metadata.get("nbgrader", {}).get("grade_id")) in parts:
                for student in students:
                    given[student][part] = cell.source
    assert all(set(one) == parts for one in given.values())
    hand_in(tmp_path, given)
    assert similar(tmp_path) == []
    assert (
        f"{4 * len(parts)} answers compared; {4 * len(parts)} hold nothing of their own"
        in capsys.readouterr().out
    )


def test_what_more_than_ten_have_counts_nothing_and_a_few_count_less(tmp_path):
    scores = {}
    for number in (2, 3, 10, 11):
        folder = tmp_path / str(number)
        hand_in(folder, course(10) | {f"copy {one}": {"answer-2-2": ORIGINAL} for one in range(number)})
        scores[number] = [pair.score for pair in similar(folder) if pair.students[0].startswith("copy")]
    assert [len(scores[number]) for number in (2, 3, 11)] == [1, 3, 0]
    assert scores[3][0] == pytest.approx(scores[2][0] / 2, rel=0.05)


def test_a_student_is_not_compared_with_an_earlier_hand_in(tmp_path):
    hand_in(tmp_path, {"Eve": {"answer-2-2": ORIGINAL}}, "superseded")
    hand_in(tmp_path, course(10) | {"Eve": {"answer-2-2": ORIGINAL}})
    assert "Eve" not in str(found(similar(tmp_path)))


def test_twice_gives_the_same(tmp_path):
    hand_in(tmp_path, course(20) | {"Eve": {"answer-2-2": ORIGINAL}, "Mallory": {"answer-2-2": RENAMED}})
    assert similar(tmp_path) == similar(tmp_path)


# What is written --------------------------------------------------------------------------------------------

EVIL = '=HYPERLINK("http://evil.example","x")\n<script>alert(1)</script>\x1b[2J 🎓'


def test_hostile_names_and_answers_do_no_harm(tmp_path, capsys):
    answer = ORIGINAL.replace("side", "=1+1;</pre><script>alert(2)</script>\nside", 1)
    hand_in(tmp_path, course(20) | {EVIL: {"answer-2-2": answer}, "@Mallory": {"answer-2-2": answer}})
    similar(tmp_path)
    said = capsys.readouterr().out
    assert "\x1b" not in said and "🎓" in said
    with (tmp_path / "similar.csv").open(encoding="utf-8-sig", newline="") as file:
        first, *_ = csv.DictReader(file)
    assert first["student"].startswith("'=HYPERLINK") and first["other student"] == "'@Mallory"
    assert float(first["score (a hint, no proof)"]) > 10 and "\n'    =1+1" in first["common"]
    page = (tmp_path / "similar.html").read_text(encoding="utf-8")
    assert "<script" not in page and html.escape("<script>alert(2)</script>") in page
    assert "default-src 'none'" in page and "<mark>" in page and "no proof" in page
    assert not re.search("(src|href)=", html.unescape(page.split("</style>")[0]))


def test_many_pairs_are_all_in_the_table_and_the_first_on_the_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "MOST_ON_PAGE", 2)
    monkeypatch.setattr(module, "MOST_PRINTED", 1)
    hand_in(tmp_path, {f"copy {one}": {"answer-2-2": ORIGINAL} for one in range(4)})
    pairs = similar(tmp_path)
    assert len(pairs) == 6
    assert "… and 5 more" in capsys.readouterr().out
    assert (tmp_path / "similar.html").read_text(encoding="utf-8").count("<h2>") == 2
    with (tmp_path / "similar.csv").open(encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.DictReader(file))) == 6


def test_a_folder_without_a_grading_stays_empty(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no grading"):
        similar(tmp_path)
    assert list(tmp_path.iterdir()) == []


# What breaks a tokenizer ------------------------------------------------------------------------------------

BROKEN = {
    "empty": "",
    "blank": " \n\t\n\n",
    "one string": '"""never closed\n' + ORIGINAL,
    "brackets": "((((" + ORIGINAL,
    "wrong indentation": "if True:\n        x = 1\n    y = 2\n  z = 3\n" + ORIGINAL,
    "no python": "$ % ? ! `\n!pip install x\n%%bash\nls\n" + ORIGINAL,
    "characters": "\0\ufeff\u202e\u2028\x0c\r\x85x = 'é'\n" + ORIGINAL,
    "backslash": "x = \\",
    "huge": "x = 1\n" * 170_000,
    "huge line": "a" * 1_000_000,
    "strings that never end": "\\'''\n" * 200_000,
    "nested": "(" * 500_000 + ")" * 500_000,
}


def test_broken_and_huge_answers_are_compared_as_far_as_they_go(tmp_path, capsys):
    answers = {name: {"answer-2-2": source, "words-2-5": source} for name, source in BROKEN.items()}
    hand_in(tmp_path, course(20) | answers)
    started = time.process_time()
    pairs = similar(tmp_path)
    assert time.process_time() - started < 60
    copies = {"one string", "brackets", "wrong indentation", "no python", "characters"}
    together = {pair.students for pair in pairs if pair.part == "answer-2-2"}
    assert together >= {tuple(sorted(two)) for two in itertools.combinations(copies, 2)}
    said = capsys.readouterr().out
    assert "only the first 50,000 characters are compared: answer-2-2 of huge\n" in said
    assert "huge line" in said and "nested" in said


@pytest.mark.parametrize("source", [source[:3000] for source in BROKEN.values()], ids=BROKEN)
def test_what_is_compared_is_where_it_is_said_to_be(source):
    for _, text, start, end in tokens(source):
        if text.strip() and "\n" not in text:
            assert source[start:end] == text
    for piece in (*symbols(source), *words(source)):
        assert 0 <= piece.start < piece.end <= len(source)


@given(st.text() | st.text(st.sampled_from("ab=('\"\\\n \t#:{}fé1\0")))
def test_any_text_can_be_read(source):
    for reading in (CODE, TEXT):
        for spans in reading.fingerprints(source * 3, set()).values():
            assert all(0 <= start < end <= 3 * len(source) for start, end in spans)


@given(st.lists(st.sampled_from("abcdef"), min_size=11, max_size=30), st.text("xyz ", max_size=40))
def test_what_two_answers_share_over_a_window_is_found(shared, around):
    text = " ".join(shared[:11])
    own = TEXT.fingerprints(text, set())
    other = TEXT.fingerprints(f"{around} {text} {around}", set())
    assert own.keys() & other.keys()


def test_names_comments_docstrings_and_layout_do_not_count():
    assert [piece.text for piece in symbols(ORIGINAL)] == [piece.text for piece in symbols(RENAMED)]


def test_200_students_take_seconds(tmp_path):
    parts = [part for question in TASKS["task-2"] for part in question.parts]
    chance = random.Random(7)
    vocabulary = [f"word{number}" for number in range(300)]
    answers = {
        f"student {one}": {
            part.id: " ".join(chance.choices(vocabulary, k=80)) if part.kind == "text" else honest(chance)
            for part in parts
        }
        for one in range(200)
    }
    hand_in(tmp_path, answers)
    everybodys("task-2")  # the release, which is the same however many they are
    started = time.process_time()
    similar(tmp_path)
    seconds = time.process_time() - started
    print(f"200 students, {200 * len(parts)} answers: {seconds:.1f} s")
    assert seconds < 30
