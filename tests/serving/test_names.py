from __future__ import annotations

from turnwise.serving.names import REMEMBERED_MAX, AnswerNames


def test_the_same_requests_in_the_same_order_have_the_same_names() -> None:
    bodies = [b"a", b"b", b"a", b"a"]
    one, other = AnswerNames(), AnswerNames()
    assert [one.name(body) for body in bodies] == [other.name(body) for body in bodies]


def test_no_name_comes_twice_however_many_requests_there_are() -> None:
    names = AnswerNames()
    given = [names.name(b"again") for _ in range(3)]
    given += [names.name(b"%d" % number) for number in range(REMEMBERED_MAX + 5)]
    given += [names.name(b"again") for _ in range(3)]
    given += [names.name(b"%d" % number) for number in range(5)]
    assert len(set(given)) == len(given)
