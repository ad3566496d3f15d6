"""Work in the background: items read ahead of a caller, or processed behind it.

Decoders and encoders release the interpreter's lock, so they run while a network
computes. Threads here never outlive the block or the generator that started them, and
an exception in one is raised by the caller that depends on it.
"""

from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Generic, TypeVar

Item = TypeVar('Item')


class _Channel(Generic[Item]):
    """Hands items from one thread to another; at most ``depth`` wait in between.

    Its queues are C code, which a signal cannot interrupt half-way.

    Args:
        depth (int): Items that wait, at least 1.

    Raises:
        ValueError: If ``depth`` is below 1.
    """

    def __init__(self, depth: int) -> None:
        if depth < 1:
            raise ValueError(f'depth must be at least 1, got {depth}')
        self._is_closed = False
        self._entries: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(depth):
            self._free.put(None)

    def put(self, item: Item) -> bool:
        """Add an item as soon as there is room; False if nobody takes it any more."""
        self._free.get()
        if self._is_closed:
            return False
        self._entries.put((True, item))
        return True

    def finish(self, error: BaseException | None = None) -> None:
        """Let the taker end after the items that wait, with an error if there is one.

        It never waits.
        """
        self._entries.put((False, error))

    def close(self) -> None:
        """Take no more items, and wake a thread that waits to add one."""
        self._is_closed = True
        self._free.put(None)

    def __iter__(self) -> Iterator[Item]:
        while not self._is_closed:
            is_item, content = self._entries.get()
            if not is_item:
                _raise(content)
                return
            self._free.put(None)
            yield content


def prefetch(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """Read an iterable ahead, in a thread of its own.

    The thread starts with the first item that is asked for. It ends with the items, or
    when the generator is closed, which waits for the item that is being read.

    Args:
        items (Iterable): Read by the thread alone.
        depth (int): Most items that wait; one more is being read.

    Yields:
        The items, in order.

    Raises:
        ValueError: If ``depth`` is below 1.
        BaseException: What reading the items raises, after the items before it.
    """
    channel: _Channel[Item] = _Channel(depth)
    thread = Thread(target=_read, args=(items, channel), name='prefetch', daemon=True)
    thread.start()
    try:
        yield from channel
    finally:
        channel.close()
        thread.join()


class BackgroundSink(Generic[Item]):
    """Passes items to a function one after the other, in a thread of its own.

    A context manager. Leaving the block waits until the function has taken all items
    that were put, also when an exception is propagating, so that no result is lost; a
    second interrupt drops those that wait. If the function raises, the items that wait
    are dropped, and :meth:`put` or the end of the block raises the same exception.

    Args:
        function (Callable): Takes an item.
        depth (int): Most items that wait; one more is being processed.

    Raises:
        ValueError: If ``depth`` is below 1.
    """

    def __init__(self, function: Callable[[Item], Any], depth: int) -> None:
        self._function = function
        self._channel: _Channel[Item] = _Channel(depth)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name='sink', daemon=True)

    def put(self, item: Item) -> None:
        """Add an item, as soon as there is room.

        Raises:
            BaseException: What the function has raised for an item before it.
        """
        if not self._channel.put(item):
            _raise(self._error)

    def __enter__(self) -> 'BackgroundSink[Item]':
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.finish()
        try:
            self._thread.join()
        except BaseException:
            self._channel.close()
            self._thread.join()
            raise
        if exc_type is None:
            _raise(self._error)

    def _run(self) -> None:
        try:
            for item in self._channel:
                self._function(item)
        except BaseException as error:
            self._error = error
            self._channel.close()


def _read(items: Iterable[Item], channel: _Channel[Item]) -> None:
    try:
        for item in items:
            if not channel.put(item):
                return
    except BaseException as error:
        channel.finish(error)
    else:
        channel.finish()


def _raise(error: BaseException | None) -> None:
    """Raise an error of another thread, if there is one."""
    try:
        if error is not None:
            raise error
    finally:
        del error  # Its traceback refers to this frame.
