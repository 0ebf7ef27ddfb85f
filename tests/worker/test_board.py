"""The board: what one side writes, the other side reads, each field by itself."""

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest

from django_jobs.definitions.batches import MOST_MEMBERS
from django_jobs.worker.board import Board, make_board_file
from tests.worker.clocks import MovedClock

SLOTS = 4


@pytest.fixture
def descriptor() -> Iterator[int]:
    descriptor = make_board_file(SLOTS)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def boards(descriptor: int) -> Iterator[tuple[Board, Board]]:
    """The child's and the supervisor's."""
    boards = Board(descriptor), Board(descriptor)
    yield boards
    for board in boards:
        board.close()


def test_a_new_board_says_nothing(boards: tuple[Board, Board]):
    board, _ = boards
    assert board.slots == SLOTS
    assert board.worker is None
    assert board.running() == {}
    assert not board.is_declared_dead
    assert (board.last_beat, board.no_judging_until, board.last_tick, board.ended, board.failed) == (0, 0, 0, 0, 0)


def test_each_field_that_one_side_writes_is_read_by_the_other_and_touches_no_other(
    boards: tuple[Board, Board], moved_clock: MovedClock
):
    child, supervisor = boards
    worker, jobs = uuid4(), [uuid4() for _ in range(SLOTS)]
    child.set_worker(worker)
    child.count(7, 3)
    for slot, job in enumerate(jobs):
        child.begin(slot, job)
    moved_clock.seconds += 1
    child.tick()
    moved_clock.seconds += 1
    supervisor.beat(1001.5, no_judging_until=5000.0)
    supervisor.declare_dead(worker)
    assert supervisor.worker == worker
    assert (supervisor.ended, supervisor.failed) == (7, 3)
    assert supervisor.running() == dict.fromkeys(jobs, 1000.0)
    assert supervisor.last_tick == 1001.0
    assert (child.last_beat, child.no_judging_until) == (1001.5, 5000.0)
    assert child.is_declared_dead


def test_a_slot_names_the_job_that_runs_in_it_until_its_end(boards: tuple[Board, Board], moved_clock: MovedClock):
    child, supervisor = boards
    first, second = uuid4(), uuid4()
    child.begin(0, first)
    moved_clock.seconds += 5
    child.begin(SLOTS - 1, second)
    assert supervisor.running() == {first: 1000.0, second: 1005.0}
    child.end(0)
    assert supervisor.running() == {second: 1005.0}
    child.end(SLOTS - 1)
    assert supervisor.running() == {}


def test_a_job_has_begun_although_its_body_is_over(boards: tuple[Board, Board]):
    """Until its outcome is written down, which only the child knows: the supervisor must not take it for unbegun."""
    child, supervisor = boards
    long, *short = [uuid4() for _ in range(4000)]
    child.begin(0, long)
    for job in short:
        child.begin(1, job)
        child.end(1)
    assert supervisor.running().keys() == {long}
    assert supervisor.begun() >= {long, *short[-2000:]}
    assert len(supervisor.begun()) < 3000


def test_a_new_life_is_not_dead(boards: tuple[Board, Board]):
    child, supervisor = boards
    former, worker = uuid4(), uuid4()
    child.set_worker(former)
    supervisor.declare_dead(former)
    answers = [child.is_declared_dead]
    child.set_worker(worker)
    answers.append(child.is_declared_dead)
    supervisor.declare_dead(former)
    answers.append(child.is_declared_dead)
    assert answers == [True, False, False]


def test_a_child_that_leaves_or_is_hurried_says_so(boards: tuple[Board, Board]):
    child, supervisor = boards
    assert (supervisor.has_left, child.is_hurried) == (False, False)
    child.leave()
    assert (supervisor.has_left, child.is_hurried) == (True, False)
    supervisor.hurry()
    assert (supervisor.has_left, child.is_hurried) == (True, True)


def test_a_board_outlives_the_descriptor_and_the_other_side():
    descriptor = make_board_file(1)
    child, supervisor = Board(descriptor), Board(descriptor)
    os.close(descriptor)
    job = uuid4()
    child.begin(0, job)
    child.close()
    assert set(supervisor.running()) == {job}
    supervisor.close()


def test_a_system_without_files_in_memory_has_boards_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = make_board_file(SLOTS)
    child, supervisor = Board(descriptor), Board(descriptor)
    os.close(descriptor)
    child.count(1, 2)
    assert (supervisor.slots, supervisor.ended, supervisor.failed) == (SLOTS, 1, 2)
    child.close()
    supervisor.close()


def test_a_body_is_overdue_some_time_after_its_own_time(boards, moved_clock):
    child, supervisor = boards
    timed, untimed = uuid4(), uuid4()
    child.begin(0, timed, 10.0)
    child.begin(1, untimed)
    moved_clock.seconds += 15
    assert supervisor.overdue(5.1) == []
    assert supervisor.overdue(4.9) == [timed]
    child.end(0)
    assert supervisor.overdue(0) == []


def test_all_jobs_of_one_body_stand_on_the_board_until_it_ends(boards: tuple[Board, Board]):
    child, supervisor = boards
    first, *others = jobs = [uuid4() for _ in range(MOST_MEMBERS + 1)]
    child.begin(1, first, -1.0, others)
    child.begin(2, uuid4())
    assert set(supervisor.running()) > set(jobs)
    assert set(supervisor.overdue(0.5)) == set(jobs)
    child.end(1)
    assert len(supervisor.running()) == 1
    alone = uuid4()
    child.begin(1, alone)
    assert set(supervisor.running()) & {*jobs, alone} == {alone}


def test_what_people_asked_and_who_takes_the_place_is_on_the_board(boards, moved_clock):
    child, supervisor = boards
    assert (supervisor.concurrency, supervisor.is_quiet, supervisor.wants_relief) == (0, False, False)
    assert (child.stop_asked_at, supervisor.is_dismissed) == (None, False)
    child.obey(7, True)
    child.ask_for_relief()
    assert (supervisor.concurrency, supervisor.is_quiet, supervisor.wants_relief) == (7, True, True)
    assert not supervisor.is_dismissed
    child.dismiss()
    supervisor.stop()
    assert supervisor.is_dismissed
    assert child.stop_asked_at == 1000.0
