"""Hand-ins are found whatever they are called and whatever lies in them; none is changed."""

from __future__ import annotations

import io
import os
import socket
import stat
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from course_lib.coursework import submissions
from course_lib.coursework.submissions import Found, Refused, Submissions, find, printable

NOTEBOOK = b'{"nbformat": 4, "cells": []}'


def write(path: Path, content: bytes = NOTEBOOK, at: float = 1_700_000_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def write_zip(path: Path, members: dict[str, bytes], at: float = 1_700_000_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    os.utime(path, (at, at))
    return path


def by_student(found: Submissions) -> dict[str, list[Found]]:
    students: dict[str, list[Found]] = {}
    for one in found.found:
        students.setdefault(one.student, []).append(one)
    return students


def contents(one: Found) -> dict[str, bytes]:
    return {file.path: file.read() for file in one.files}


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(path): (about.st_mode, about.st_size, about.st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        for about in [path.lstat()]
    }


def test_folders_and_zips(tmp_path: Path) -> None:
    write(tmp_path / "ada" / "task-2.ipynb")
    write(tmp_path / "alan" / "work" / "predictions-1-4.json", b"{}")
    write_zip(tmp_path / "grace.ZIP", {"task-2.ipynb": NOTEBOOK, "notes/": b"", "notes/a.txt": b"a"})
    write(tmp_path / "list of names.csv", b"ada")
    before = snapshot(tmp_path)
    found = find(tmp_path)
    assert found.kind == "folders and zips"
    assert {one.student: contents(one) for one in found.found} == {
        "ada": {"ada/task-2.ipynb": NOTEBOOK},
        "alan": {"alan/work/predictions-1-4.json": b"{}"},
        "grace": {"grace.ZIP/task-2.ipynb": NOTEBOOK, "grace.ZIP/notes/a.txt": b"a"},
    }
    assert [one.source for one in found.found] == ["ada", "alan", "grace.ZIP"]
    assert found.strays == ("list of names.csv",)
    assert snapshot(tmp_path) == before


MOODLE = {
    "Ada Lovelace_101_assignsubmission_file_/task-2.ipynb": b"1",
    "Ada Lovelace_101_assignsubmission_onlinetext_/onlinetext.html": b"2",
    "Ada Lovelace_102_assignsubmission_file/own/task-2.ipynb": b"3",  # another Ada
    "Gruppe 7_12_assignsubmission_file_task-2.ipynb": b"4",
    "Eve_13_assignsubmission_file_Bob_14_assignsubmission_file_task-2.ipynb": b"5",
}


def test_moodle(tmp_path: Path) -> None:
    for name, content in MOODLE.items():
        write(tmp_path / "folder" / name, content)
    write(tmp_path / "folder" / "README", b"")
    in_folder = find(tmp_path / "folder")
    in_zip = find(write_zip(tmp_path / "Course-Task 2-77.zip", {**MOODLE, "README": b""}))
    for found in (in_folder, in_zip):
        assert found.kind == "Moodle"
        assert {one.student: sorted(contents(one).values()) for one in found.found} == {
            "Ada Lovelace_101": [b"1", b"2"],
            "Ada Lovelace_102": [b"3"],
            "Gruppe 7_12": [b"4"],
            "Eve_13": [b"5"],
        }
        names = {file.name for one in found.found for file in one.files}
        assert names == {
            "task-2.ipynb",
            "onlinetext.html",
            "Bob_14_assignsubmission_file_task-2.ipynb",
        }
        assert found.strays == ("README",)
    assert [one.digest for one in in_folder.found] == [one.digest for one in in_zip.found]


def test_canvas(tmp_path: Path) -> None:
    download = {
        "lovelaceada_340934_208490284_task-2.ipynb": b"old",
        "lovelaceada_340934_208490999_task-2-1.ipynb": b"new",
        "turingalan_LATE_334244_394803489_task_2_99_77_x.ipynb": b"late",
        "hoppergrace_late_12_13_task-2.ipynb": b"late, as Canvas once wrote it",
        "obrien_jane_5_text.html": b"text",
        "anon_aB3xY_77_task-2.ipynb": b"anonymous",
    }
    for name, content in download.items():
        write(tmp_path / "folder" / name, content)
    for folder in (tmp_path / "folder", write_zip(tmp_path / "submissions.zip", download)):
        found = find(folder)
        assert found.kind == "Canvas"
        students = {one.student: one for one in found.found}
        assert set(students) == {
            "lovelaceada_340934",
            "turingalan_334244",
            "hoppergrace_12",
            "obrien_jane_5",
            "anon_aB3xY",
        }
        ada = students["lovelaceada_340934"]
        assert [(f.number, f.name, f.read()) for f in ada.files] == [
            (208490284, "task-2.ipynb", b"old"),
            (208490999, "task-2-1.ipynb", b"new"),
        ]
        assert ada.received == 208490999
        assert students["turingalan_334244"].files[0].name == "task_2_99_77_x.ipynb"


def test_a_zip_that_a_student_gave_to_canvas_is_looked_into_unless_it_lies_in_the_download(
    tmp_path: Path,
) -> None:
    inner = write_zip(tmp_path / "folder" / "doe_1_2_all.zip", {"task-2.ipynb": NOTEBOOK})
    (one,) = find(tmp_path / "folder").found
    assert [(file.path, file.name, file.number) for file in one.files] == [
        ("doe_1_2_all.zip/task-2.ipynb", "task-2.ipynb", 2)
    ]
    (one,) = find(write_zip(tmp_path / "submissions.zip", {"doe_1_2_all.zip": inner.read_bytes()})).found
    assert one.files == ()
    assert "zip within a zip" in one.note and "unpack the outer one" in one.note


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "is empty"),
        (["task-2.ipynb", "notes.txt"], "holds loose files, such as 'notes.txt'"),
        (["Ada_1_assignsubmission_file_/a.ipynb", "doe_1_2_a.ipynb"], "mixes layouts (Moodle: 1"),
        (["Ada_1_assignsubmission_file_/a.ipynb", "grace/a.ipynb"], "such as 'grace'"),
        (["download/Ada_1_assignsubmission_file_/a.ipynb"], "nothing but a download of Moodle"),
        (["download/doe_1_2_a.ipynb"], "nothing but a download of Canvas"),
    ],
)
def test_layouts_that_are_not_clear(tmp_path: Path, names: list[str], words: str) -> None:
    for name in names:
        write(tmp_path / "in" / name)
    (tmp_path / "in").mkdir(exist_ok=True)
    with pytest.raises(ValueError) as error:
        find(tmp_path / "in")
    assert words in str(error.value)
    if "nothing but" not in words:
        assert "wanted: a folder or a zip for each student, a Moodle download" in str(error.value)


def test_layouts_of_zips_that_are_not_clear(tmp_path: Path) -> None:
    write_zip(tmp_path / "in" / "download.zip", MOODLE)
    with pytest.raises(ValueError, match=r"nothing but a download of Moodle: give .*download\.zip"):
        find(tmp_path / "in")
    with pytest.raises(ValueError, match="is no download of Moodle or Canvas: it holds 'ada'"):
        find(write_zip(tmp_path / "all.zip", {"ada/task-2.ipynb": NOTEBOOK}))
    with pytest.raises(ValueError, match="can't be opened as a zip: File is not a zip file"):
        find(write(tmp_path / "no.zip"))
    with pytest.raises(ValueError, match="there is no folder and no zip"):
        find(tmp_path / "nowhere")


def test_a_student_can_not_pass_a_hand_in_off_as_a_download(tmp_path: Path) -> None:
    write(tmp_path / "bob" / "task-2.ipynb")
    write_zip(tmp_path / "eve.zip", {"bob_1_assignsubmission_file_/task-2.ipynb": b"of eve"})
    assert set(by_student(find(tmp_path))) == {"bob", "eve"}


def test_the_newest_comes_first(tmp_path: Path) -> None:
    write(tmp_path / "ada" / "task-2.ipynb", at=2_000)
    write_zip(tmp_path / "ada.zip", {"task-2.ipynb": NOTEBOOK}, at=3_000)
    write(tmp_path / "alan" / "task-2.ipynb", at=3_000)
    write_zip(tmp_path / "alan.zip", {"task-2.ipynb": NOTEBOOK}, at=2_000)
    students = by_student(find(tmp_path))
    assert [one.source for one in students["ada"]] == ["ada.zip", "ada"]
    assert [one.source for one in students["alan"]] == ["alan", "alan.zip"]


def test_the_time_within_a_students_zip_says_nothing(tmp_path: Path) -> None:
    write_zip(tmp_path / "ada.zip", {}, at=2_000)
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("task-2.ipynb", (2099, 1, 1, 0, 0, 0)), NOTEBOOK)
    os.utime(tmp_path / "ada.zip", (2_000, 2_000))
    assert find(tmp_path).found[0].received == 2_000


STRANGE = [
    "Zoë",
    'o\'Neil "Bob"',
    "two\nlines",
    "🙂",
    "<script>alert(1)<",
    "=1+1",
    "..hidden",
    "a" * 200,
    "100%",
]


def test_strange_names(tmp_path: Path) -> None:
    for name in STRANGE:
        write(tmp_path / name / "task-2.ipynb")
    undecodable = os.fsdecode(b"caf\xe9")
    write(tmp_path / undecodable / "task-2.ipynb")
    found = find(tmp_path)
    assert {one.student for one in found.found} == {*STRANGE, "caf\\xe9"} - {"..hidden"}
    assert found.strays == ("..hidden",)
    for one in found.found:
        assert contents(one) == {f"{one.source}/task-2.ipynb": NOTEBOOK}
        one.student.encode()  # a database can store it
        assert "\n" not in printable(one.student)


def test_names_that_differ_in_case_or_in_the_form_of_a_letter(tmp_path: Path) -> None:
    write(tmp_path / "Ada" / "task-2.ipynb")
    write(tmp_path / "ada" / "task-2.ipynb")
    write(tmp_path / "Zoe\u0308" / "task-2.ipynb", at=1_000)
    write(tmp_path / "Zo\u00eb" / "task-2.ipynb", at=2_000)
    students = by_student(find(tmp_path))
    assert students["Ada"][0].alike == "ada" and students["ada"][0].alike == "Ada"
    assert students["Ada"][0].note == "" == students["Zo\u00eb"][0].alike
    assert [one.received for one in students["Zo\u00eb"]] == [2_000, 1_000]


def test_links_pipes_and_sockets(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.ipynb", b"secret")
    folder = tmp_path / "in"
    write(folder / "ada" / "task-2.ipynb")
    (folder / "eve").mkdir()
    (folder / "eve" / "task-2.ipynb").symlink_to(secret)
    (folder / "eve" / "all").symlink_to("/")
    (folder / "mallory").symlink_to(tmp_path)
    (folder / "trent.zip").symlink_to(secret)
    (folder / "pat").mkdir()
    os.mkfifo(folder / "pat" / "task-2.ipynb")
    os.mkfifo(folder / "pat" / "all.zip")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder / "pat")  # the name of a socket must be short
        try:
            server.bind("socket.ipynb")
        finally:
            os.chdir(here)
        found = find(folder)
    students = {one.student: one for one in found.found}
    assert set(students) == {"ada", "eve", "mallory", "trent", "pat"}
    assert contents(students["ada"]) == {"ada/task-2.ipynb": NOTEBOOK}
    assert all(one.files == () for name, one in students.items() if name != "ada")
    assert "eve/task-2.ipynb is a link, and links are not followed" in students["eve"].note
    assert students["mallory"].note == "mallory is a link, and links are not followed"
    assert "pat/task-2.ipynb is no ordinary file" in students["pat"].note


def test_a_file_that_turns_into_a_pipe_or_a_link_is_not_waited_for(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "ada" / "task-2.ipynb")
    (file,) = find(tmp_path / "in").found[0].files
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Refused, match="no ordinary file"):
        file.read()
    path.unlink()
    path.symlink_to(write(tmp_path / "secret"))
    with pytest.raises(Refused, match="can't be read"):
        file.read()


def test_what_can_not_be_read_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "ada" / "task-2.ipynb")
    write(tmp_path / "alan" / "closed" / "task-2.ipynb")
    listed = os.listdir

    def listdir(path: Path) -> list[str]:  # root can read everything, so that a mode would not do
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "listdir", listdir)
    students = {one.student: one for one in find(tmp_path).found}
    assert contents(students["ada"]) == {"ada/task-2.ipynb": NOTEBOOK}
    assert students["alan"].note == "alan/closed can't be read: Permission denied"


def test_a_notebook_of_500_megabytes_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "ada" / "task-2.ipynb")
    os.truncate(path, 500_000_000)
    tracemalloc.start()
    (file,) = find(tmp_path).found[0].files
    with pytest.raises(Refused, match=r"ada/task-2.ipynb has 500,000,000 bytes; at most 20,000,000 are read"):
        file.read()
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_zip_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submissions, "LARGEST_UNPACKED", 10_000_000)
    write_zip(tmp_path / "bomb.zip", {"task-2.ipynb": bytes(5_000_000), "small.ipynb": NOTEBOOK})
    write_zip(tmp_path / "big.zip", {f"{n}.ipynb": bytes(1_500_000) for n in range(7)})
    write_zip(tmp_path / "many.zip", {f"{n}.ipynb": b"" for n in range(5_001)})
    nested = write_zip(tmp_path / "inner.zip", {"task-2.ipynb": NOTEBOOK})
    write_zip(tmp_path / "outer.zip", {"inner.zip": nested.read_bytes()})
    write(tmp_path / "broken.zip", b"PK\x03\x04 and no more")
    write(tmp_path / "large.zip")
    os.truncate(tmp_path / "large.zip", 200_000_000)
    students = {one.student: one for one in find(tmp_path).found}
    assert list(contents(students["bomb"])) == ["bomb.zip/small.ipynb"]
    assert (
        "bomb.zip/task-2.ipynb would unpack to 5,000,000 bytes, 200 times its size" in students["bomb"].note
    )
    assert students["big"].note == "big.zip would unpack to 10,500,000 bytes, and is not opened"
    assert students["many"].note == "many.zip holds more than 5,000 files, and is not opened"
    assert "zip within a zip" in students["outer"].note
    assert "broken.zip can't be opened as a zip" in students["broken"].note
    assert "large.zip has 200,000,000 bytes" in students["large"].note


def test_a_zip_that_lies_about_its_sizes(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "eve.zip", {"task-2.ipynb": bytes(30_000_000)})
    content = path.read_bytes()
    said = (30_000_000).to_bytes(4, "little")
    assert content.count(said) == 2
    write(path, content.replace(said, (1_000).to_bytes(4, "little")))
    (file,) = find(tmp_path).found[0].files
    with pytest.raises(Refused, match="can't be read"):  # the checksum of a thousand bytes is another
        file.read()


def test_names_in_a_zip_that_lead_out_of_it(tmp_path: Path) -> None:
    names = ["../../ada/task-2.ipynb", "/etc/passwd", "C:\\x.ipynb", "a/../../b.ipynb", "..\\..\\c.ipynb"]
    link = zipfile.ZipInfo("link.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "eve.zip", "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"of eve")
        archive.writestr(link, b"/etc/passwd")
        archive.writestr("by\\windows\\task-2.ipynb", NOTEBOOK)
    (one,) = find(tmp_path).found
    assert contents(one) == {"eve.zip/by/windows/task-2.ipynb": NOTEBOOK}
    assert "leads out of the folder: '../../ada/task-2.ipynb'" in one.note
    moodle = {"Eve_1_assignsubmission_file_/../../x": b"", "Eve_1_assignsubmission_file_/a.ipynb": NOTEBOOK}
    found = find(write_zip(tmp_path / "download.zip", moodle))
    assert [list(contents(one)) for one in found.found] == [["Eve_1_assignsubmission_file_/a.ipynb"]]
    assert any("leads out of the folder" in stray for stray in found.strays)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_files_of_one_name_in_a_zip_the_last_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        archive.writestr("task-2.ipynb", b"first")
        archive.writestr("task-2.ipynb", b"last")
        archive.writestr("Task-2.ipynb", b"another")
    assert contents(find(tmp_path).found[0]) == {
        "ada.zip/Task-2.ipynb": b"another",
        "ada.zip/task-2.ipynb": b"last",
    }


def test_encrypted_and_unusual_zips(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "lzma.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("task-2.ipynb", NOTEBOOK)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("task-2.ipynb", NOTEBOOK)
    content = bytearray(buffer.getvalue())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag that says so
    write(tmp_path / "closed.zip", bytes(content))
    students = {one.student: one for one in find(tmp_path).found}
    assert "is packed in an unusual way" in students["lzma"].note
    assert "is encrypted" in students["closed"].note


def test_the_digest_tells_hand_ins_apart(tmp_path: Path) -> None:
    write(tmp_path / "ada" / "task-2.ipynb")
    first = find(tmp_path).found[0].digest
    os.utime(tmp_path / "ada" / "task-2.ipynb", (5, 5))
    assert find(tmp_path).found[0].digest == first
    write(tmp_path / "ada" / "more.txt", b"more")
    second = find(tmp_path).found[0].digest
    write(tmp_path / "ada" / "more.txt", b"less")
    assert len({first, second, find(tmp_path).found[0].digest}) == 3


def test_thousands_of_files_and_of_folders_within_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "MOST_FILES", 50)
    for number in range(60):
        write(tmp_path / "ada" / f"{number}.txt")
    write(tmp_path / "alan" / "/".join(["deep"] * 25) / "task-2.ipynb")
    students = {one.student: one for one in find(tmp_path).found}
    assert len(students["ada"].files) == 50
    assert "holds more than 50 files" in students["ada"].note
    assert "lies deeper than 20 folders" in students["alan"].note
