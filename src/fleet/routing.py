"""Which replica gets the next upload or session. No clock, no I/O, no Ray.

Two replicas are drawn at random, and the better one is taken. That is nearly as good as the best of all, and many
balancers that decide by slightly old reports do not all send to the same replica.

An upload lasts a second and a session an hour, so the two are never added up. An upload goes where it waits less for
the model; sessions there do not matter unless they make it wait. A session goes where fewer sessions are; a queue that
is gone in a second does not matter for an hour.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from src.fleet.replica_load import ReplicaLoad

Replica = TypeVar("Replica")


def ranked(
    replicas: Sequence[Replica], load_of: Callable[[Replica], ReplicaLoad], is_session: bool, choice: Random
) -> list[Replica]:
    """Return two of `replicas` at random, the better one first; fewer if there are fewer.

    Of replicas that do not take the request, none is drawn as long as another takes it. If none does, their own answer
    is what the client sees.

    Args:
        replicas: all that there are.
        load_of: returns the load of one.
        is_session: whether the request is a session, or else an upload.
        choice: draws.
    """
    drawn = _draw(replicas, choice)
    if not all(load_of(each).takes(is_session) for each in drawn):
        drawn = _draw([each for each in replicas if load_of(each).takes(is_session)], choice) or drawn
    usual_speed = max((load_of(each).audio_s_per_s for each in drawn), default=0.0) or 1.0
    key = _session_key if is_session else _upload_key
    return sorted(drawn, key=lambda each: key(load_of(each), usual_speed))


def _draw(replicas: Sequence[Replica], choice: Random) -> list[Replica]:
    return choice.sample(replicas, min(2, len(replicas)))


def _upload_key(load: ReplicaLoad, usual_speed: float) -> tuple[bool, float, int]:
    return not load.is_ready, load.upload_wait_s(usual_speed), load.open_uploads


def _session_key(load: ReplicaLoad, usual_speed: float) -> tuple[bool, int, float]:
    return not load.is_ready, load.open_sessions, load.upload_wait_s(usual_speed)
