"""The desk: what is in hand, and how much more may come."""

from dataclasses import replace
from uuid import uuid4

import pytest

from django_jobs.definitions.outcomes import Ended, GivenBack
from django_jobs.worker.desk import AHEAD_SECONDS, MOST_IN_HAND, WRITE_SECONDS, Desk
from tests.samples import note
from tests.worker.claims import claim


def ended() -> Ended:
    return Ended(claim(note), GivenBack(), 0.0, 0.0)


def test_before_anything_has_run_there_is_room_for_what_can_run_at_once():
    assert Desk(5).room() == 5


def test_one_that_may_not_fetch_ahead_does_not_for_the_shortest_jobs():
    desk = Desk(1, most_in_hand=1)
    desk.learn(seconds=0.0, bodies=1)
    assert desk.capacity == 1


def test_short_jobs_are_fetched_ahead_as_many_as_fill_the_round_trip():
    desk = Desk(5)
    desk.learn(seconds=1.0, bodies=100)
    assert desk.capacity == 5 * AHEAD_SECONDS / 0.01
    desk.learn(seconds=0.0, bodies=1)
    for _ in range(100):
        desk.learn(seconds=0.0, bodies=1)
    assert desk.capacity == MOST_IN_HAND


def test_a_few_places_are_worth_no_question_while_there_is_work_in_hand():
    desk = Desk(5)
    desk.learn(seconds=1.0, bodies=100)
    held = [claim(note) for _ in range(desk.capacity - 10)]
    desk.hold(held)
    assert (desk.room(), desk.appetite()) == (10, 0)
    for each in held[:15]:
        desk.put_ended(Ended(each, GivenBack(), 0.0, 0.0))
    assert (desk.room(), desk.appetite()) == (25, 25)


def test_of_long_jobs_each_place_is_worth_a_question():
    desk = Desk(5)
    desk.learn(seconds=60.0, bodies=1)
    desk.hold([claim(note) for _ in range(4)])
    assert desk.appetite() == 1


def test_long_jobs_are_not_fetched_ahead():
    desk = Desk(5)
    desk.learn(seconds=0.1, bodies=100)
    before = desk.capacity
    desk.learn(seconds=60.0, bodies=1)
    assert desk.capacity == 5 < before


def test_jobs_that_became_short_are_fetched_ahead_again():
    desk = Desk(5)
    desk.learn(seconds=60.0, bodies=1)
    for _ in range(100):
        desk.learn(seconds=0.1, bodies=100)
    assert desk.capacity > 100


def test_after_short_jobs_turned_out_long_nothing_is_fetched_ahead_until_they_are_short_again():
    desk = Desk(5)
    desk.learn(seconds=0.1, bodies=100)
    desk.distrust()
    assert desk.capacity == 5
    for _ in range(10):
        desk.learn(seconds=0.1, bodies=100)
    assert desk.capacity > 5


def test_what_is_taken_looked_for_and_claimed_takes_room():
    desk = Desk(10)
    desk.offer([uuid4(), uuid4()])
    desk.ask_for_look(3)
    desk.hold([claim(note)])
    assert desk.room() == 10 - 2 - 3 - 1


def test_orders_that_were_given_out_take_room_until_they_are_carried_out_or_come_back():
    desk, ids = Desk(10), [uuid4(), uuid4()]
    desk.offer(ids)
    desk.ask_for_look(3)
    desk.orders()
    assert desk.room() == 5
    desk.put_back_orders(ids)
    assert desk.room() == 8
    assert desk.orders() == (ids, 0)
    desk.hold([claim(note)])
    assert desk.room() == 9


def test_an_outcome_that_waits_to_be_written_takes_nobodys_place():
    desk, held = Desk(2), [claim(note) for _ in range(2)]
    desk.hold(held)
    assert (desk.places(), desk.room()) == (0, 0)
    outcome = Ended(held[0], GivenBack(), 0.0, 0.0)
    desk.put_ended(outcome)
    assert (desk.places(), desk.room()) == (1, 1)
    assert desk.take_ended() == [outcome]
    assert (desk.places(), desk.room()) == (1, 1)
    desk.put_back_ended([outcome])
    assert (desk.places(), desk.room()) == (1, 1)
    desk.take_ended()
    desk.drop([outcome.claim])
    assert (desk.places(), desk.room()) == (1, 1)


def test_bodies_that_take_a_little_longer_do_not_have_all_be_claimed_at_once():
    desk = Desk(4)
    desk.learn(seconds=1.0, bodies=100)
    ids = [uuid4() for _ in range(desk.capacity)]
    desk.offer(ids)
    desk.learn(seconds=1.1, bodies=100)
    assert desk.capacity < len(ids)
    assert len(desk.orders()[0]) <= 4 * WRITE_SECONDS / 0.01


def test_no_more_is_claimed_at_once_than_keeps_the_bodies_busy_while_it_is_written():
    desk, ids = Desk(4), [uuid4() for _ in range(70)]
    desk.learn(seconds=1.0, bodies=100)
    at_once = int(4 * WRITE_SECONDS / 0.01)
    assert 4 < at_once < desk.capacity
    desk.offer(ids)
    assert desk.orders() == (ids[:at_once], 0)
    assert desk.room() == desk.capacity - 70
    desk.hold([])
    desk.ask_for_look(70)
    assert desk.orders() == (ids[at_once : 2 * at_once], at_once)


def test_of_the_shortest_jobs_a_third_is_claimed_at_once_so_that_the_others_can_run():
    desk = Desk(4)
    desk.learn(seconds=0.0, bodies=1)
    desk.ask_for_look(MOST_IN_HAND)
    assert desk.orders() == ([], MOST_IN_HAND // 3)


def test_many_bodies_that_ran_together_count_for_more_than_a_few():
    few, many = Desk(5), Desk(5)
    for desk, bodies in ((few, 1), (many, 1000)):
        desk.learn(seconds=1.0, bodies=1)
        desk.learn(seconds=0.0001 * bodies, bodies=bodies)
    assert few.capacity == 5
    assert many.capacity > 50


def test_ids_wait_for_a_place_and_the_recorder_may_rest_meanwhile():
    desk, held, ids = Desk(2), [claim(note) for _ in range(4)], [uuid4(), uuid4()]
    desk.learn(seconds=0.1, bodies=1)
    assert desk.capacity == len(held)
    desk.hold(held)
    desk.offer(ids)
    assert not desk.has_orders()
    assert desk.orders() == ([], 0)
    desk.put_ended(Ended(held[0], GivenBack(), 0.0, 0.0))
    desk.take_ended()
    assert desk.has_orders()
    assert desk.orders() == (ids[:1], 0)


@pytest.mark.parametrize("count", [1, 10])
def test_when_bodies_became_slow_the_ids_that_wait_are_all_handed_over_for_others_to_have(count: int):
    desk, ids = Desk(2), [uuid4() for _ in range(count)]
    desk.learn(seconds=0.1, bodies=1)
    desk.hold([claim(note) for _ in range(4)])
    desk.offer(ids)
    desk.distrust()
    assert desk.has_orders()
    assert desk.orders() == (ids, 0)


def test_a_closed_desk_gives_out_no_orders_and_still_takes_outcomes():
    desk = Desk(10)
    desk.offer([uuid4()])
    desk.ask_for_look(1)
    desk.close()
    desk.offer([uuid4()])
    desk.ask_for_look(1)
    assert desk.orders() == ([], 0)
    last = ended()
    desk.put_ended(last)
    assert desk.take_ended() == [last]


def test_orders_are_handed_over_once_and_the_larger_look_counts():
    desk = Desk(10)
    ids = [uuid4(), uuid4()]
    desk.offer(ids)
    desk.ask_for_look(4)
    desk.ask_for_look(2)
    assert desk.has_orders()
    assert desk.orders() == (ids, 4)
    assert desk.orders() == ([], 0)
    assert not desk.has_orders()


def test_an_id_that_is_in_hand_is_not_taken_again():
    desk, held, other = Desk(10), claim(note), uuid4()
    desk.hold([held])
    desk.offer([held.id, other])
    assert desk.orders() == ([other], 0)


def test_a_claim_is_let_go_only_with_its_own_fence():
    desk, old = Desk(10), claim(note)
    new = replace(old, fence=2)
    desk.hold([new])
    desk.drop([old])
    assert desk.claims() == [new]
    desk.drop([new])
    assert desk.claims() == []


def test_outcomes_are_told_of_and_keep_their_order_when_they_come_back():
    desk, told = Desk(10), []
    desk.on_ended = lambda: told.append(1)
    first, second, third = ended(), ended(), ended()
    desk.put_ended(first)
    desk.put_ended(second)
    assert len(told) == 2
    batch = desk.take_ended()
    desk.put_ended(third)
    desk.put_back_ended(batch)
    assert desk.take_ended() == [first, second, third]
    assert desk.take_ended() == []


def test_a_desk_is_empty_only_when_nothing_at_all_is_in_hand():
    desk, held = Desk(10), claim(note)

    def carry_out() -> None:
        desk.orders()
        assert not desk.is_empty()
        desk.hold([])

    for put, take in (
        (lambda: desk.offer([uuid4()]), carry_out),
        (lambda: desk.ask_for_look(1), carry_out),
        (lambda: desk.hold([held]), lambda: desk.drop([held])),
        (lambda: desk.put_ended(ended()), desk.take_ended),
    ):
        assert desk.is_empty()
        put()
        assert not desk.is_empty()
        take()
    assert desk.is_empty()


def test_a_desk_closes_by_itself_only_while_nothing_is_in_hand():
    desk, held = Desk(10), claim(note)
    desk.hold([held])
    assert not desk.close_if_empty()
    later = uuid4()
    desk.offer([later])
    assert desk.orders() == ([later], 0)
    desk.hold([])
    desk.drop([held])
    assert desk.close_if_empty()
    desk.offer([uuid4()])
    assert desk.orders() == ([], 0)


def test_a_new_life_begins_with_nothing_in_hand():
    desk = Desk(10)
    desk.offer([uuid4()])
    desk.ask_for_look(1)
    desk.hold([claim(note)])
    desk.forget_all()
    assert desk.is_empty()
    assert desk.room() == 10


def test_who_rides_takes_no_place_until_the_ride_or_the_job_ends():
    desk, held = Desk(2), [claim(note) for _ in range(3)]
    desk.hold(held)
    assert desk.places() == 0
    for each in held:
        desk.let_ride(each)
    assert (desk.places(), desk.room()) == (2, 2)
    desk.end_ride(held[0])
    assert desk.places() == 1
    outcomes = [Ended(each, GivenBack(), 0.0, 0.0) for each in held]
    for outcome in outcomes:
        desk.put_ended(outcome)
    assert desk.places() == 2
    assert desk.take_ended() == outcomes
    desk.drop(held)
    assert (desk.places(), desk.room(), desk.is_empty()) == (2, 2, True)


def test_an_eager_desk_takes_more_than_there_are_places_but_only_if_there_is_one():
    desk, held = Desk(2), [claim(note) for _ in range(4)]
    desk.be_eager(3)
    assert (desk.places(), desk.room()) == (5, 5)
    assert desk.overflow() == 0
    desk.hold(held)
    assert desk.overflow() == 2
    assert (desk.places(), desk.room()) == (0, 0)
    desk.forget_all()
    assert desk.places() == 2


def test_a_quiet_desk_asks_for_nothing_new_and_goes_on_with_what_is_here():
    desk, id = Desk(5), uuid4()
    desk.offer([id])
    desk.is_quiet = True
    assert (desk.room(), desk.appetite()) == (0, 0)
    desk.ask_for_look(5)
    assert desk.orders() == ([id], 0)
    desk.hold([])
    desk.is_quiet = False
    assert desk.room() == 5


def test_another_concurrency_holds_from_the_next_look_on():
    desk = Desk(2)
    desk.concurrency = 7
    assert desk.room() == 7
