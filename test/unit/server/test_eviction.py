"""Which connections are closed when there are too many (src.server.eviction)."""

from dataclasses import dataclass

import pytest

from src.server.eviction import EvictionRank, make_room

CLOSING, IDLE, WAITING = EvictionRank


@dataclass(eq=False)
class Connection:
    """A connection whose rank is given."""

    eviction_rank: EvictionRank | None
    waiting_since: float = 0.0
    is_evicted: bool = False

    def evict(self) -> None:
        self.is_evicted = True


def evicted(connections: list[Connection], max_connections: int) -> list[Connection]:
    """Make room for the last one; return those that had to go."""
    make_room(connections, max_connections, connections[-1])
    return [each for each in connections if each.is_evicted]


def test_nothing_is_evicted_while_there_is_room():
    assert evicted([Connection(CLOSING), Connection(IDLE)], 2) == []


@pytest.mark.parametrize("ranks", [(None, WAITING, IDLE, CLOSING), (None, WAITING, IDLE), (None, WAITING)])
def test_the_lowest_rank_is_evicted_first(ranks):
    connections = [*map(Connection, ranks), Connection(IDLE)]
    assert evicted(connections, len(ranks)) == [connections[-2]]


def test_the_one_that_has_waited_longest_is_evicted():
    connections = [Connection(WAITING, 3.0), Connection(WAITING, 1.0), Connection(WAITING, 2.0), Connection(IDLE, 0.0)]
    assert evicted(connections, 3) == [connections[1]]


def test_the_newest_is_evicted_if_no_other_may_be():
    connections = [Connection(None), Connection(None), Connection(IDLE)]
    assert evicted(connections, 2) == [connections[2]]


def test_those_that_are_evicted_already_do_not_count():
    connections = [Connection(IDLE, is_evicted=True), Connection(IDLE), Connection(IDLE)]
    make_room(connections, 2, connections[-1])
    assert not connections[1].is_evicted


def test_some_more_are_evicted_so_that_the_next_ones_find_room():
    idle = [Connection(IDLE, at) for at in range(1000)]
    assert evicted([*idle, Connection(IDLE, 1000.0)], 1000) == idle[:101]
    waiting = [Connection(WAITING, at) for at in range(1000)]
    assert evicted([*waiting, Connection(IDLE, 1000.0)], 1000) == waiting[:11]
