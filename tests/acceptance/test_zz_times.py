import os, time, signal, pytest
from django_jobs.models import Job, Worker
from tests.acceptance.jobs import stay
from tests.acceptance.test_death import worker_of, runs, UNHEARD_OF
from tests.rows import fresh
from tests.worker.watching import *
@pytest.mark.django_db(transaction=True)
def test_child(start_workers, gate):
    start_workers("--processes", "2", options=UNHEARD_OF)
    living_workers(2)
    for _ in range(5):
        job = stay.enqueue(gate.path)
        w = worker_of(job)
        t = time.time(); os.kill(w.pid, 9)
        while fresh(job).state == "running" and fresh(job).starts == 1: time.sleep(0.002)
        a = time.time() - t
        runs(job, 2)
        print("\nTIME child kill: ready after %.3f, body again after %.3f" % (a, time.time() - t))
        Job.objects.filter(pk=job.pk).update(cancel_requested=True)
        break
@pytest.mark.django_db(transaction=True)
def test_sup(start_workers, gate):
    first = start_workers()
    job = stay.enqueue(gate.path)
    w = worker_of(job)
    start_workers(); living_workers(2)
    t = time.time(); os.kill(first.process.pid, 9)
    while fresh(job).state == "running" and fresh(job).starts == 1: time.sleep(0.002)
    a = time.time() - t
    runs(job, 2)
    print("\nTIME supervisor kill (limit 1.5): ready after %.3f, body again after %.3f" % (a, time.time() - t))
@pytest.mark.django_db(transaction=True)
def test_all(start_workers, gate):
    first = start_workers()
    job = stay.enqueue(gate.path)
    w = worker_of(job)
    start_workers(); living_workers(2)
    t = time.time(); os.killpg(first.process.pid, 9)
    while fresh(job).state == "running" and fresh(job).starts == 1: time.sleep(0.002)
    a = time.time() - t
    runs(job, 2)
    print("\nTIME whole family killed (limit 1.5): ready after %.3f, body again after %.3f" % (a, time.time() - t))
