"""What a teacher needs to assign the course: release, box, grading, marking, feedback, marks."""
