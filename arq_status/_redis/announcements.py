"""The options that tracked workers announce for the functions of their queues."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from arq_status._model.options import FunctionOptions
from arq_status._model.text import clean
from arq_status._redis.replies import pairs, text

#: Separates queue and function; an empty function stands for all other functions of the queue.
_BETWEEN = "\0"


def function_key(queue: str, function: str) -> str:
    """Return the name of a function in a queue, as used in keys, hashes and sorted sets."""
    return clean(f"{queue}{_BETWEEN}{function}")


def split_function_key(key: str) -> tuple[str, str]:
    """Return the queue and the function of a ``function_key``."""
    queue, _, function = key.rpartition(_BETWEEN)
    return queue, function


def decode_options(reply: Mapping[bytes, bytes] | list[bytes]) -> "AnnouncedOptions":
    """Decode the hash of all announced options."""
    found = pairs(reply).items()
    return AnnouncedOptions((text(name), FunctionOptions.decode(raw)) for name, raw in found)


class AnnouncedOptions:
    """The announced options of all functions in all queues."""

    def __init__(self, found: Iterable[tuple[str, FunctionOptions]] = ()) -> None:
        self._of_queue: dict[tuple[str, str], FunctionOptions] = {}
        self._anywhere: dict[str, FunctionOptions] = {}
        for name, options in found:
            queue, function = split_function_key(name)
            self._of_queue[queue, function] = options
            other = self._anywhere.get(function, options)
            # without a known queue, the strictest announcement wins: what one worker hides stays
            # hidden
            self._anywhere[function] = replace(
                options,
                record_args=min(options.record_args, other.record_args),
                record_result=options.record_result and other.record_result,
            )

    @property
    def functions(self) -> Mapping[str, FunctionOptions]:
        """The options by function, regardless of its queue."""
        return {name: options for name, options in self._anywhere.items() if name}

    @property
    def names(self) -> set[tuple[str, str]]:
        """The queues and names of all tracked functions."""
        return {name for name, it in self._of_queue.items() if name[1] and it.track}

    def options(self, function: str | None, queue: str | None) -> FunctionOptions | None:
        """Return the options of a function in a queue; ``None`` if none were announced."""
        function = clean(function or "")
        if queue is not None:
            for name in (function, ""):
                found = self._of_queue.get((queue, name))
                if found is not None:
                    return found
        return self._anywhere.get(function) or (self._anywhere.get("") if queue is None else None)

    def max_tries(self, function: str | None, queue: str | None) -> int | None:
        """Return how many tries arq gives jobs of a function in a queue; ``None`` if unknown."""
        options = self.options(function, queue)
        return None if options is None else options.max_tries
