import threading
import time
import traceback

import pytest

from fmanet_mm.utils.background import BackgroundSink, prefetch


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    wait_until(lambda: not any(isinstance(x, threading.Timer) for x in alive(before)))
    assert not alive(before)


def alive(before):
    return set(threading.enumerate()) - before


class Count:
    """An iterable that counts what was taken from it."""

    def __init__(self, stop, error=None):
        self.stop = stop
        self.error = error
        self.taken = 0
        self.threads = set()

    def __iter__(self):
        for number in range(self.stop):
            self.taken += 1
            self.threads.add(threading.current_thread())
            yield number
        if self.error is not None:
            raise self.error


def wait_until(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


# Read ahead


@pytest.mark.parametrize('depth', [1, 2, 7])
def test_gives_all_items_in_order(depth):
    assert list(prefetch(Count(50), depth)) == list(range(50))
    assert list(prefetch([], depth)) == []


def test_reads_in_one_other_thread():
    items = Count(5)
    list(prefetch(items, 2))
    assert len(items.threads) == 1
    assert threading.current_thread() not in items.threads


def test_begins_with_the_first_item_that_is_asked_for():
    items = Count(5)
    ahead = prefetch(items, 2)
    time.sleep(0.02)
    assert items.taken == 0
    assert next(ahead) == 0
    ahead.close()


@pytest.mark.parametrize('depth', [1, 3])
def test_reads_no_further_ahead_than_it_may(depth):
    items = Count(100)
    ahead = prefetch(items, depth)
    for number in range(5):
        assert next(ahead) == number
        most = number + 1 + depth + 1  # those that wait, and one that is read
        wait_until(lambda most=most: items.taken == most)
        time.sleep(0.005)
        assert items.taken == most
    ahead.close()


def test_an_error_comes_after_the_items_before_it():
    error = ValueError('damaged')
    given = []
    with pytest.raises(ValueError, match='damaged') as caught:
        given.extend(prefetch(Count(3, error), 2))
    assert caught.value is error
    with pytest.raises(ValueError, match='damaged'):
        for number in prefetch(Count(3, error), 2):
            given.append(number)
    assert given[-3:] == [0, 1, 2]
    assert '__iter__' in ''.join(traceback.format_exception(error))  # where it arose


@pytest.mark.parametrize('asked', [1, 4])
def test_closed_early_it_ends_its_thread(asked):
    items = Count(1000)
    ahead = prefetch(items, 3)
    for _ in range(asked):
        next(ahead)
    ahead.close()
    taken = items.taken
    assert taken <= asked + 3 + 1
    time.sleep(0.005)
    assert items.taken == taken
    with pytest.raises(StopIteration):
        next(ahead)


def test_closing_waits_for_the_item_that_is_read():
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def items():
        yield 0
        begun.set()
        may_end.wait()
        ended.set()
        yield 1

    ahead = prefetch(items(), 1)
    next(ahead)
    begun.wait()
    threading.Timer(0.02, may_end.set).start()
    ahead.close()
    assert ended.is_set()


@pytest.mark.parametrize('depth', [0, -1])
def test_refuses_depths_that_hold_nothing(depth):
    with pytest.raises(ValueError, match=f'depth must be at least 1, got {depth}'):
        next(prefetch([1], depth))
    with pytest.raises(ValueError, match=f'depth must be at least 1, got {depth}'):
        BackgroundSink(print, depth)


# Written behind


@pytest.mark.parametrize('depth', [1, 4])
def test_the_sink_takes_all_items_in_order(depth):
    taken, threads = [], set()

    def take(item):
        time.sleep(0.001)
        taken.append(item)
        threads.add(threading.current_thread())

    with BackgroundSink(take, depth) as sink:
        for item in range(20):
            sink.put(item)
    assert taken == list(range(20))
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_a_slow_sink_stalls_no_earlier_than_its_queue_is_full():
    may_take, taken, put = threading.Event(), [], 0

    def take(item):
        may_take.wait()
        taken.append(item)

    with BackgroundSink(take, 3) as sink:
        for item in range(4):  # one is being taken, three wait
            sink.put(item)
            put += 1
        assert taken == []
        threading.Timer(0.02, may_take.set).start()
        sink.put(4)
        assert taken
    assert taken == [0, 1, 2, 3, 4]


@pytest.mark.parametrize('error', [OSError('disk full'), KeyboardInterrupt()])
def test_an_error_of_the_sink_ends_the_block(error):
    taken = []

    def take(item):
        if item == 2:
            raise error
        taken.append(item)

    with pytest.raises(type(error)) as caught:
        with BackgroundSink(take, 2) as sink:
            for item in range(1000):
                sink.put(item)
    assert caught.value is error
    assert taken == [0, 1]


def test_an_error_at_the_last_item_is_raised_at_the_end():
    def take(item):
        raise OSError('disk full')

    with pytest.raises(OSError, match='disk full'):
        with BackgroundSink(take, 2) as sink:
            sink.put(0)


@pytest.mark.parametrize('error', [ValueError('in the block'), KeyboardInterrupt()])
def test_what_was_put_before_an_error_is_taken(error):
    taken = []

    def take(item):
        time.sleep(0.002)
        taken.append(item)

    with pytest.raises(type(error)) as caught:
        with BackgroundSink(take, 5) as sink:
            for item in range(5):
                sink.put(item)
            raise error
    assert caught.value is error
    assert taken == [0, 1, 2, 3, 4]


def test_a_second_interrupt_drops_what_waits(monkeypatch):
    taken, may_take = [], threading.Event()
    join = threading.Thread.join

    def interrupted_once(thread, *args):
        monkeypatch.setattr(threading.Thread, 'join', join)
        threading.Timer(0.02, may_take.set).start()
        raise KeyboardInterrupt('the second')

    def take(item):
        may_take.wait()
        taken.append(item)

    with pytest.raises(KeyboardInterrupt, match='the second'):
        with BackgroundSink(take, 5) as sink:
            for item in range(5):
                sink.put(item)
            monkeypatch.setattr(threading.Thread, 'join', interrupted_once)
            raise KeyboardInterrupt('the first')
    assert taken == [0]
