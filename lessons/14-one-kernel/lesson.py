"""Lesson 14: a container and a virtual machine side by side, and one inside the other. There is no exercise."""

from __future__ import annotations

from minicontainer.lessons.lesson import Lesson

LESSON = Lesson(
    number=14,
    name="one-kernel",
    title="One kernel, or a kernel each",
    needs=("lab", "userns"),
)
