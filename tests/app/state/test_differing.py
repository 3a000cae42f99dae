"""Where two texts differ, word by word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from app.state.differing import Difference, differences, words

TEXTS = some.lists(some.sampled_from(["a", "b", "cat", " ", "\n", "dog"]), max_size=40).map(" ".join)


def test_a_changed_word_and_an_added_one_are_found_with_their_places() -> None:
    found = differences("the cat sat on the mat", "the dog sat on the big mat")
    assert found == [Difference(" cat", " dog", 3, 7, 2), Difference("", " big", 18, 22, 6)]


@given(some.text(max_size=60))
def test_words_joined_are_the_text(text: str) -> None:
    assert "".join(words(text)) == text


@given(TEXTS, TEXTS)
def test_what_both_have_is_what_is_left_of_the_second_and_its_words_are_the_firsts(first: str, second: str) -> None:
    left, place = "", 0
    for each in differences(first, second):
        assert second[each.place : each.end] == each.second
        left += second[place : each.place]
        place = each.end
    left += second[place:]
    own = "".join(each.first for each in differences(first, second))
    assert len(left) == len(first) - len(own)
    assert sorted(left + own) == sorted(first)


@given(TEXTS)
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    assert differences(text, text) == []
