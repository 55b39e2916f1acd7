"""The ledger: what is known of every submission of one task, in one SQLite file that a kill cannot spoil."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS submissions (
    id INTEGER PRIMARY KEY,
    student TEXT NOT NULL,            -- as the folder, the zip or the learning platform names them
    source TEXT NOT NULL,             -- where it was found, relative to the folder of submissions
    digest TEXT NOT NULL,             -- SHA-256 of all that was handed in
    status TEXT NOT NULL,             -- waiting, graded, failed, refused, superseded
    note TEXT NOT NULL DEFAULT '',    -- why it was refused, what was strange
    UNIQUE (student, source, digest)
);
CREATE TABLE IF NOT EXISTS answers (
    submission INTEGER NOT NULL REFERENCES submissions(id),
    part TEXT NOT NULL,
    source TEXT NOT NULL,             -- the text of the cell
    warning TEXT NOT NULL DEFAULT '', -- how it was found, if not by its metadata
    PRIMARY KEY (submission, part)
);
CREATE TABLE IF NOT EXISTS results (
    submission INTEGER NOT NULL REFERENCES submissions(id),
    part TEXT NOT NULL,
    points REAL NOT NULL,
    messages TEXT NOT NULL,           -- a JSON list, for the student
    notes TEXT NOT NULL,              -- a JSON list, for the teacher
    key TEXT NOT NULL,                -- digest of all that decides the result: another key, another run
    seconds REAL NOT NULL DEFAULT 0,
    at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (submission, part)
);
CREATE TABLE IF NOT EXISTS earlier_results (
    submission INTEGER NOT NULL, part TEXT NOT NULL, points REAL NOT NULL, messages TEXT NOT NULL,
    notes TEXT NOT NULL, key TEXT NOT NULL, seconds REAL NOT NULL, at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS pictures (
    submission INTEGER NOT NULL REFERENCES submissions(id),
    part TEXT NOT NULL,
    number INTEGER NOT NULL,
    png BLOB NOT NULL,
    PRIMARY KEY (submission, part, number)
);
CREATE TABLE IF NOT EXISTS marks (    -- what a person decided; the newest row counts, undo takes it away
    id INTEGER PRIMARY KEY,
    submission INTEGER NOT NULL REFERENCES submissions(id),
    part TEXT NOT NULL,
    items TEXT NOT NULL,              -- a JSON list: the fulfilled rubric items, counted from 0; or null
    comment TEXT NOT NULL DEFAULT '',
    at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS newest_mark ON marks (submission, part, id);
CREATE TABLE IF NOT EXISTS comments ( -- the comment bank
    id INTEGER PRIMARY KEY,
    part TEXT NOT NULL,
    words TEXT NOT NULL,
    UNIQUE (part, words)
);
"""


@dataclass(frozen=True)
class Submission:
    """One hand-in of one student; only the newest of a student is graded."""

    id: int
    student: str
    source: str
    digest: str
    status: str
    note: str


@dataclass(frozen=True)
class Answer:
    """The text of one answer, as it was handed in."""

    submission: int
    part: str
    source: str
    warning: str


@dataclass(frozen=True)
class Result:
    """What the grader found for one part."""

    submission: int
    part: str
    points: float
    messages: tuple[str, ...]
    notes: tuple[str, ...]
    key: str
    seconds: float


@dataclass(frozen=True)
class Mark:
    """What a person decided on one part: which rubric items are fulfilled, and a comment.

    As long as `items` is None, there is a comment alone, and no points yet.
    """

    submission: int
    part: str
    items: tuple[int, ...] | None
    comment: str


class Ledger:
    """The file `ledger.sqlite` in a folder of grading.

    Every method that writes is one transaction: it has happened or it has not. Several processes may read and
    write at the same time.

    Parameters
    ----------
    folder
        Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.database = sqlite3.connect(
            folder / "ledger.sqlite", timeout=60, isolation_level=None, check_same_thread=False
        )
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA foreign_keys = ON")
        with self.transaction():
            for statement in SCHEMA.split(";\n"):
                self.database.execute(statement)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Let what is written within happen as a whole or not at all."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.database.execute("COMMIT")
        except BaseException:
            if self.database.in_transaction:  # after some errors SQLite has rolled back on its own
                self.database.execute("ROLLBACK")
            raise

    # About the grading -------------------------------------------------------------------------------------

    def about(self, key: str) -> str:
        """Return what was noted under a key ("task", "version", …): "" if nothing was."""
        row = self.database.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def note_about(self, key: str, value: str) -> None:
        """Note a value under a key."""
        self.database.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    # Submissions and answers -------------------------------------------------------------------------------

    def submissions(self, *statuses: str) -> list[Submission]:
        """Return all submissions, or those of the given statuses, by student."""
        rows = self.database.execute(
            "SELECT id, student, source, digest, status, note FROM submissions ORDER BY student, id"
        )
        found = [Submission(*row) for row in rows]
        return [one for one in found if not statuses or one.status in statuses]

    def add_submission(
        self,
        student: str,
        source: str,
        digest: str,
        status: str,
        note: str,
        answers: Sequence[tuple[str, str, str]] | None,
    ) -> int:
        """Enter a submission with its answers (part, source, warning); return its id.

        One that is there already keeps its id and its results. Its status and note are renewed, and so are
        its answers, unless they are None: then they could not be read this time.
        """
        with self.transaction():
            self.database.execute(
                "INSERT INTO submissions (student, source, digest, status, note) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET status = excluded.status, note = excluded.note",
                (student, source, digest, status, note),
            )
            (number,) = self.database.execute(
                "SELECT id FROM submissions WHERE student = ? AND source = ? AND digest = ?",
                (student, source, digest),
            ).fetchone()
            if answers is not None:
                self.database.execute("DELETE FROM answers WHERE submission = ?", (number,))
                self.database.executemany(
                    "INSERT INTO answers VALUES (?, ?, ?, ?)", [(number, *answer) for answer in answers]
                )
        return int(number)

    def set_status(self, submission: int, status: str, note: str) -> None:
        """Say where a submission stands."""
        self.database.execute(
            "UPDATE submissions SET status = ?, note = ? WHERE id = ?", (status, note, submission)
        )

    def answers(self, submission: int) -> dict[str, Answer]:
        """Return the answers of a submission by part."""
        rows = self.database.execute(
            "SELECT submission, part, source, warning FROM answers WHERE submission = ?", (submission,)
        )
        return {row[1]: Answer(*row) for row in rows}

    # Results of the grader ---------------------------------------------------------------------------------

    def results(self, submission: int) -> dict[str, Result]:
        """Return what the grader found for a submission, by part."""
        rows = self.database.execute(
            "SELECT submission, part, points, messages, notes, key, seconds FROM results"
            " WHERE submission = ?",
            (submission,),
        )
        return {
            part: Result(
                number, part, points, tuple(json.loads(messages)), tuple(json.loads(notes)), key, seconds
            )
            for number, part, points, messages, notes, key, seconds in rows
        }

    def write_results(
        self, submission: int, results: Sequence[Result], pictures: dict[str, Sequence[bytes]], status: str
    ) -> None:
        """Write all that one run found, in one transaction; what it replaces goes to `earlier_results`."""
        with self.transaction():
            for result in results:
                place = (submission, result.part)
                self.database.execute(
                    "INSERT INTO earlier_results SELECT submission, part, points, messages, notes, key,"
                    " seconds, at FROM results WHERE submission = ? AND part = ?",
                    place,
                )
                self.database.execute(
                    "INSERT OR REPLACE INTO results (submission, part, points, messages, notes, key, seconds)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        *place,
                        result.points,
                        json.dumps(result.messages),
                        json.dumps(result.notes),
                        result.key,
                        result.seconds,
                    ),
                )
            for part, images in pictures.items():
                self.database.execute(
                    "DELETE FROM pictures WHERE submission = ? AND part = ?", (submission, part)
                )
                self.database.executemany(
                    "INSERT INTO pictures VALUES (?, ?, ?, ?)",
                    [(submission, part, number, png) for number, png in enumerate(images)],
                )
            self.database.execute("UPDATE submissions SET status = ? WHERE id = ?", (status, submission))

    def changes(self) -> list[tuple[str, str, float, float]]:
        """Return (student, part, earlier points, present points) of all results that a later run changed."""
        return list(
            self.database.execute(
                "SELECT s.student, r.part, e.points, r.points FROM results r"
                " JOIN submissions s ON s.id = r.submission"
                " JOIN earlier_results e ON e.submission = r.submission AND e.part = r.part"
                " WHERE e.rowid = (SELECT MAX(rowid) FROM earlier_results"
                "   WHERE submission = r.submission AND part = r.part) AND e.points <> r.points"
                " ORDER BY s.student, r.part"
            )
        )

    def pictures(self, submission: int, part: str) -> list[bytes]:
        """Return the pictures of a part as PNG."""
        rows = self.database.execute(
            "SELECT png FROM pictures WHERE submission = ? AND part = ? ORDER BY number", (submission, part)
        )
        return [row[0] for row in rows]

    # Marks of a person -------------------------------------------------------------------------------------

    def marks(self, submission: int) -> dict[str, Mark]:
        """Return the newest mark of each part of a submission."""
        rows = self.database.execute(
            "SELECT submission, part, items, comment FROM marks m WHERE submission = ? AND id ="
            " (SELECT MAX(id) FROM marks WHERE submission = m.submission AND part = m.part)",
            (submission,),
        )
        found = {}
        for number, part, written, comment in rows:
            items = json.loads(written)
            found[part] = Mark(number, part, None if items is None else tuple(items), comment)
        return found

    def write_mark(self, mark: Mark) -> None:
        """Write a mark; the earlier ones stay below it, for undo."""
        self.database.execute(
            "INSERT INTO marks (submission, part, items, comment) VALUES (?, ?, ?, ?)",
            (mark.submission, mark.part, json.dumps(mark.items), mark.comment),
        )

    def undo_mark(self, submission: int, part: str) -> None:
        """Take the newest mark of a part away."""
        self.database.execute(
            "DELETE FROM marks WHERE id = (SELECT MAX(id) FROM marks WHERE submission = ? AND part = ?)",
            (submission, part),
        )

    def comments(self, part: str) -> list[str]:
        """Return the comment bank of a part, the oldest first."""
        rows = self.database.execute("SELECT words FROM comments WHERE part = ? ORDER BY id", (part,))
        return [row[0] for row in rows]

    def add_comment(self, part: str, words: str) -> None:
        """Put a comment into the bank of a part."""
        self.database.execute("INSERT OR IGNORE INTO comments (part, words) VALUES (?, ?)", (part, words))
