"""The strip over a load: bytes in words, a time left once it can be known, nothing invented before."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from app.widgets.loading_strip import LoadingStrip
from engine import Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make(qtbot: QtBot) -> tuple[LoadingStrip, Clock]:
    clock = Clock()
    strip = LoadingStrip(clock)
    qtbot.addWidget(strip)
    return strip, clock


def weights(done: int, total: int = 10**9) -> Progress:
    return Progress(1, "Loading weights", done, total)


def test_the_time_left_is_said_after_a_second_of_counting(qtbot: QtBot) -> None:
    strip, clock = make(qtbot)
    strip.show_progress("small", weights(0))
    assert strip.words == "Loading weights · 0 bytes of 1.0 GB"
    clock.now += 0.5
    strip.show_progress("small", weights(100_000_000))
    assert strip.words == "Loading weights · 100.0 MB of 1.0 GB"
    clock.now += 4.5
    strip.show_progress("small", weights(200_000_000))
    assert strip.words == "Loading weights · 200.0 MB of 1.0 GB · 20 s left"
    clock.now += 395
    strip.show_progress("small", weights(250_000_000))
    assert strip.words == "Loading weights · 250.0 MB of 1.0 GB · 20 min left"


def test_a_phase_that_cannot_be_counted_says_what_is_done(qtbot: QtBot) -> None:
    strip, _ = make(qtbot)
    strip.show_progress("small", Progress(1, "Choosing threads", 0, 0))
    assert strip.words == "Choosing threads"
    assert not strip.isHidden()
    strip.show_progress("small", None)
    assert strip.isHidden()


def test_another_phase_counts_its_own_time(qtbot: QtBot) -> None:
    strip, clock = make(qtbot)
    strip.show_progress("small", weights(0))
    clock.now += 60
    strip.show_progress("small", Progress(1, "Packing", 10, 20))
    assert strip.words == "Packing · 10 bytes of 20 bytes"
