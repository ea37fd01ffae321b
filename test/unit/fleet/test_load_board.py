"""What a balancer adds to the reports of replicas."""

from src.fleet.load_board import REPORT_DELAY_S, LoadBoard
from src.fleet.replica_load import ReplicaLoad


def test_nothing_is_known_of_a_replica_that_has_not_reported():
    board: LoadBoard[str] = LoadBoard()
    assert board.load("a", now=5.0) == ReplicaLoad()


def test_what_was_sent_since_the_report_counts_until_it_ends_or_is_reported():
    board: LoadBoard[str] = LoadBoard()
    board.report("a", ReplicaLoad(uploads=2, sessions=1), now=1.0)
    ended = board.begin("a", is_session=False, now=2.0)
    board.begin("a", is_session=False, now=2.0)
    board.begin("a", is_session=True, now=2.0)
    board.end(ended)
    known = board.load("a", now=3.0)
    assert (known.open_uploads, known.open_sessions, known.age_s) == (3, 2, 2.0)
    board.report("a", ReplicaLoad(uploads=3, sessions=2), now=4.0)
    known = board.load("a", now=4.0)
    assert (known.open_uploads, known.open_sessions, known.age_s) == (3, 2, 0.0)


def test_what_was_sent_just_before_a_report_may_not_be_in_it():
    board: LoadBoard[str] = LoadBoard()
    board.begin("a", is_session=False, now=1.0)
    board.report("a", ReplicaLoad(), now=1.0 + REPORT_DELAY_S / 2)
    assert board.load("a", now=2.0).open_uploads == 1


def test_a_replica_that_is_gone_is_forgotten_and_its_requests_may_still_end():
    board: LoadBoard[str] = LoadBoard()
    sent = board.begin("a", is_session=False, now=1.0)
    board.report("b", ReplicaLoad(uploads=7), now=1.0)
    board.keep({"b"})
    board.end(sent)
    assert board.load("a", now=1.0) == ReplicaLoad()
    assert board.load("b", now=1.0).uploads == 7
