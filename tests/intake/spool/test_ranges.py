"""Sets of numbers as the stretches they form."""

from hypothesis import given
from hypothesis import strategies as st

from monitord.intake.spool.ranges import Ranges


pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 6)), max_size=30)


@given(pairs)
def test_it_is_the_set_it_stands_for(added: list[tuple[int, int]]) -> None:
    """In whatever order numbers come, the same are in it, and no two stretches could be one."""
    ranges, numbers = Ranges(), set[int]()
    for first, more in added:
        ranges.add_range(first, first + more)
        numbers |= set(range(first, first + more + 1))

    assert {number for number in range(80) if number in ranges} == numbers
    ends = [end for pair in ranges for end in pair]
    assert ends == sorted(ends)
    assert all(left + 1 < right for left, right in zip(ends[1::2], ends[2::2], strict=False))


@given(pairs, pairs)
def test_covers_is_the_superset(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    """A segment is done when its numbers are a subset of the done ones, and only then."""
    left = Ranges((first, first + more) for first, more in one)
    right = Ranges((first, first + more) for first, more in other)

    expected = all(number in left for number in range(80) if number in right)

    assert left.covers(right) is expected
    assert list(left.copy()) == list(left)


def test_numbers_in_order_stay_one_stretch() -> None:
    """A million done frames are one pair of numbers."""
    ranges = Ranges()
    for number in range(1, 1_001):
        ranges.add(number)

    assert list(ranges) == [(1, 1_000)]


@given(pairs, pairs)
def test_without_is_the_difference(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    """What waits is what is there and not done, number for number."""
    left = Ranges((first, first + more) for first, more in one)
    right = Ranges((first, first + more) for first, more in other)

    rest = left.without(right)

    expected = {number for number in range(80) if number in left and number not in right}
    assert {number for number in range(80) if number in rest} == expected
    assert rest.count == len(expected)
