"""The command `course`: from a release to marks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

TASKS = ("task-1", "task-2")
FIRST_TO_LAST = """\
from a release to marks, in the order in which a teacher needs them:

  course release task-2 --out release           what students get, and what only you get
  course grade task-2 submissions --out graded  runs what came back, each answer in a box
  course mark graded                            opens a page to mark what people must mark
  course similar graded                         pairs of answers that look alike
  course status graded                          how far everything is
  course feedback graded                        one page per student
  course marks graded --format moodle --gradebook worksheet.csv

and for a reader at home:

  course start task-2                           the student notebook, in the folder work/

Each command explains itself: course grade --help
"""


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    top = argparse.ArgumentParser(
        prog="course",
        description="Assign the course: release, grade, mark, give back.",
        epilog=FIRST_TO_LAST,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")

    def command(name: str, help: str, more: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help, description=f"{help}. {more}".strip())

    def add_task(to: argparse.ArgumentParser) -> None:
        to.add_argument("task", choices=TASKS, help="which of the two")

    def add_graded(to: argparse.ArgumentParser) -> None:
        to.add_argument("graded", type=Path, metavar="GRADED", help="the folder that `course grade` wrote")

    def add_secret(to: argparse.ArgumentParser) -> None:
        to.add_argument(
            "--secret",
            type=Path,
            metavar="FILE",
            help="the file with the secret that hidden cases are drawn from (default: one of yours, which the"
            " first release makes)",
        )

    start = command("start", "Write the student notebook into the folder work/", "Nothing is overwritten.")
    add_task(start)
    start.add_argument("--out", type=Path, default=Path("work"), metavar="DIR", help="another folder")

    release = command(
        "release",
        "Write what students get and what only you get",
        "Twice gives the same files. It refuses to write if a student's file would hold a solution.",
    )
    add_task(release)
    release.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to")
    add_secret(release)
    release.add_argument(
        "--vary",
        type=Path,
        metavar="FILE",
        help="a text file with one student per line: each gets a digit, a kernel and biases of their own",
    )

    grade = command(
        "grade",
        "Grade what came back",
        "Takes a folder per student, a zip per student, or what Moodle or Canvas give. Stop it at any moment:"
        " the next run goes on. Nothing that was handed in is changed.",
    )
    add_task(grade)
    grade.add_argument("submissions", type=Path, metavar="SUBMISSIONS", help="what came back")
    grade.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results go")
    add_secret(grade)
    grade.add_argument(
        "--workers", type=int, metavar="N", help="boxes at the same time (default: one per core)"
    )
    grade.add_argument(
        "--release",
        type=Path,
        action="append",
        metavar="DIR",
        help="an earlier release that some answer, or one with numbers of their own; may be given repeatedly",
    )
    grade.add_argument(
        "--scheduler", metavar="ADDRESS", help="a Dask scheduler, to grade on several machines"
    )

    mark = command(
        "mark", "Open a page to mark written answers and pictures", "It is served to this machine alone."
    )
    add_graded(mark)
    mark.add_argument("--port", type=int, default=0, help="default: any that is free")
    mark.add_argument("--no-browser", action="store_true", help="print the address and open nothing")

    add_graded(
        command("similar", "List pairs of answers that look alike", "A hint for a person, and no proof.")
    )
    add_graded(command("status", "Say how far everything is"))
    add_graded(command("feedback", "Write one page per student", "Each stands on its own and can be sent."))

    marks = command("marks", "Write the marks as a table")
    add_graded(marks)
    marks.add_argument("--format", choices=("csv", "canvas", "moodle"), default="csv", help="default: csv")
    marks.add_argument(
        "--gradebook", type=Path, metavar="FILE", help="what Canvas or Moodle exported, to fill in"
    )
    marks.add_argument("--column", default="", help="the column to fill in, where it can't be told")
    marks.add_argument("--provisional", action="store_true", help="export totals that lack parts, too")
    marks.add_argument("--out", type=Path, metavar="FILE", help="where to (default: into GRADED)")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    asked = parser().parse_args(arguments)
    try:
        do(asked)
    except KeyboardInterrupt:
        print("\nStopped. What is done is kept; the same command goes on from here.", file=sys.stderr)
        return 130
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        print(f"course {asked.command}: {error}", file=sys.stderr)
        return 1
    return 0


def do(asked: argparse.Namespace) -> None:
    """Call the function of a command. Each is imported when it is needed: `course --help` answers at once."""
    match asked.command:
        case "start":
            from course_lib.coursework.release import start

            start(asked.task, asked.out)
        case "release":
            from course_lib.coursework.release import release
            from course_lib.coursework.secret import course_secret

            release(asked.task, asked.out, course_secret(asked.secret, make=True), vary=asked.vary)
        case "grade":
            from course_lib.coursework.grade import grade
            from course_lib.coursework.secret import course_secret

            grade(
                asked.task,
                asked.submissions,
                asked.out,
                secret=course_secret(asked.secret),
                workers=asked.workers,
                releases=asked.release or (),
                scheduler=asked.scheduler,
            )
        case "mark":
            from course_lib.coursework.mark import mark

            mark(asked.graded, port=asked.port, open_browser=not asked.no_browser)
        case "similar":
            from course_lib.coursework.similar import similar

            similar(asked.graded)
        case "status":
            from course_lib.coursework.grade import status

            status(asked.graded)
        case "feedback":
            from course_lib.coursework.feedback import feedback

            feedback(asked.graded)
        case "marks":
            from course_lib.coursework.marks import marks

            marks(
                asked.graded,
                asked.format,
                asked.out,
                gradebook=asked.gradebook,
                column=asked.column,
                provisional=asked.provisional,
            )


if __name__ == "__main__":
    sys.exit(main())
