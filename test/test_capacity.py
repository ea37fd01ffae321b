"""Room that many share: nobody has more than there is, and everybody's turn comes."""

from concurrent.futures import ThreadPoolExecutor

from conftest import until

from src.audio.capacity import Capacity


def test_no_more_than_there_is_capacity_for_is_held():
    capacity = Capacity(10)
    first, second, third = capacity.place(4), capacity.place(5), capacity.place(2)
    assert first.taken(0)
    assert second.taken(0)
    assert not third.taken(0)
    first.leave()
    assert capacity.place(5).taken(0)
    assert not capacity.place(1).taken(0)


def test_a_place_larger_than_the_capacity_is_had_alone():
    capacity = Capacity(10)
    large = capacity.place(1000)
    assert large.taken(0)
    assert not capacity.place(1).taken(0)
    large.leave()
    large.leave()  # counts once
    assert capacity.place(10).taken(0)
    assert not capacity.place(1).taken(0)


def waiting(capacity):
    return len(capacity._waiting)


def test_turns_come_in_the_order_of_asking_also_where_a_small_one_would_fit():
    capacity = Capacity(10)
    first = capacity.place(6)
    assert first.taken(0)
    order = []
    with ThreadPoolExecutor(2) as threads:

        def ask(place):
            assert place.taken(60)
            order.append(place.size)

        threads.submit(ask, large := capacity.place(8))
        until(lambda: waiting(capacity) == 1)
        small = threads.submit(ask, capacity.place(4))
        until(lambda: waiting(capacity) == 2)
        assert order == []
        first.leave()
        until(lambda: order == [8])
        large.leave()
        small.result(60)
    assert order == [8, 4]


def test_who_gives_up_makes_way_for_those_behind():
    capacity = Capacity(10)
    assert capacity.place(6).taken(0)
    large, small = capacity.place(8), capacity.place(4)
    with ThreadPoolExecutor(2) as threads:
        refused = threads.submit(large.taken, 60)
        until(lambda: waiting(capacity) == 1)
        served = threads.submit(small.taken, 60)
        until(lambda: waiting(capacity) == 2)
        large.leave()
        assert not refused.result(60)
        assert served.result(60)


def test_a_place_that_was_left_before_it_was_asked_for_is_not_given():
    capacity = Capacity(10)
    place = capacity.place(4)
    place.leave()
    assert not place.taken(0)
    assert capacity.place(10).taken(0)
