"""The files of a log: their order, and what a reader says of lines that are no lines."""

from contextlib import ExitStack

from records import NOW, a_record, write_log

from src.metrics.parser import Parser
from src.metrics.parts import PartReader, ended_before, find_parts, in_order

LINE = a_record().to_line().encode() + b"\n"


def test_the_files_of_a_log_come_oldest_first_and_pieces_of_a_day_by_their_number(tmp_path):
    days = ["2026-11-17.10", "2026-11-17.9", "2026-11-17", "2026-11-16.1", "2026-11-16"]
    path = write_log(tmp_path / "metrics.log", [])
    for day in days:
        write_log(tmp_path / f"metrics.log.{day}", [])
    with ExitStack() as stack:
        (parts,) = find_parts([path], stack)
        names = [str(part.path) for part in parts]
    assert names == [str(path) + "." + day for day in reversed(days)] + [str(path)]


def test_a_file_that_belongs_to_two_logs_is_read_once(tmp_path):
    path = write_log(tmp_path / "metrics.log", [])
    rotated = write_log(tmp_path / "metrics.log.2026-11-17", [])
    with ExitStack() as stack:
        found = find_parts([path, rotated, path], stack)
        assert [[part.path for part in parts] for parts in found] == [[rotated, path], [], []]


def test_a_rotated_file_that_is_removed_before_it_is_read_is_empty(tmp_path):
    path = write_log(tmp_path / "metrics.log", [])
    rotated = write_log(tmp_path / "metrics.log.2026-11-17", [a_record()])
    with ExitStack() as stack:
        ((part, _),) = find_parts([path], stack)
        rotated.unlink()
        with part.opened() as file:
            assert list(PartReader(file, 0, Parser())) == []


def test_rows_of_several_logs_come_in_order_of_time():
    rows = [Parser().parse(a_record(NOW + index).to_line().encode() + b"\n") for index in range(6)]
    assert list(in_order([iter(rows[::3]), iter(rows[1::3]), iter(rows[2::3])])) == rows
    assert list(in_order([iter(rows)])) == rows


def test_a_reader_knows_where_it_is_and_what_it_could_not_read(tmp_path):
    path = tmp_path / "metrics.log"
    path.write_bytes(LINE + b"broken\n\n" + LINE + LINE[:50])
    with path.open("rb") as part:
        reader = PartReader(part, 0, Parser())
        assert [row.ts for row in reader] == [NOW, NOW]
        assert (reader.offset, reader.skipped, reader.torn) == (2 * len(LINE) + 8, 1, True)
        again = PartReader(part, len(LINE) + 7, Parser())
        assert len(list(again)) == 1
        assert (again.offset, again.skipped) == (reader.offset, 0)


def test_a_file_that_ended_long_before_need_not_be_read(tmp_path):
    path = write_log(tmp_path / "metrics.log.2026-11-17", [a_record(NOW - 3600), a_record(NOW - 120)])
    with path.open("rb") as part:
        assert not ended_before(part, NOW - 130, Parser())
        assert not ended_before(part, NOW - 100, Parser())  # lines are not quite in order
        assert ended_before(part, NOW - 10, Parser())
