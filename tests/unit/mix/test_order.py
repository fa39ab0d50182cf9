from itertools import islice

import pytest

from stages.mix.order import Turns, weights


def first(turns, count):
    return list(islice(turns, count))


def test_equal_weights_go_round():
    assert first(Turns([1, 1, 1]), 7) == [0, 1, 2, 0, 1, 2, 0]


def test_a_source_that_leaves_is_passed_over():
    turns = Turns([1, 1, 1])
    order = []
    for source in turns:
        order.append(source)
        if len(order) == 4:
            turns.leave(1)
        if len(order) == 8:
            break
    assert order == [0, 1, 2, 0, 2, 0, 2, 0]


def test_turns_follow_the_weights_evenly():
    order = first(Turns([3, 1]), 40)
    assert order.count(1) == 10
    assert all(order[start : start + 4].count(1) == 1 for start in range(0, 40, 4))


@pytest.mark.parametrize(
    ("strategy", "temperature", "expected"),
    [("round_robin", 0.5, [1, 1]), ("proportional", 0.5, [100, 400]), ("temperature", 0.5, [10, 20]), ("temperature", 0.0, [1, 1])],
)
def test_weights(strategy, temperature, expected):
    assert weights([100, 400], strategy, temperature) == pytest.approx(expected)
