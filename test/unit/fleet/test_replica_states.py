"""Lines about replicas: one for each whose state has changed."""

from enum import Enum

from src.fleet.replica_states import ReplicaState, changes, failure, replica_states


class State(Enum):
    STARTING = "STARTING"


A = ReplicaState("aaa", "RUNNING", "10.0.0.1", 11)
B = ReplicaState("bbb", "STARTING", "10.0.0.2", None)


def details(*replicas):
    return {"applications": {"parakeet": {"deployments": {"Parakeet": {"replicas": list(replicas)}}}}}


def test_replicas_are_read_from_what_the_controller_says():
    told = details(
        {"replica_id": "bbb", "state": State.STARTING, "node_ip": "10.0.0.2"},  # it has no process yet
        {"replica_id": "aaa", "state": "RUNNING", "node_ip": "10.0.0.1", "pid": 11},
    )
    assert replica_states(told, "parakeet") == [A, B]
    assert replica_states(told, "other") == replica_states({}, "parakeet") == []


def test_a_replica_has_a_line_for_each_change_of_its_state():
    assert changes([], [A, B]) == [
        "Replica aaa (process 11 on 10.0.0.1) is healthy.",
        "Replica bbb loads its model.",
    ]
    assert changes([A, B], [A, B]) == []
    stopping = ReplicaState("aaa", "STOPPING", "10.0.0.1", 11)
    assert changes([A, B], [stopping]) == [
        "Replica aaa (process 11 on 10.0.0.1) finishes its requests and ends.",
        "Replica bbb is gone.",
    ]


def test_a_state_that_a_later_ray_adds_is_told_in_its_word():
    assert str(ReplicaState("aaa", "DREAMING", "10.0.0.1", None)) == "Replica aaa dreaming."


def test_the_reason_of_a_failed_start_is_the_error_in_what_ray_says():
    message = (
        "The deployment failed to start 3 times in a row. Retrying.\nTraceback (most recent call last):\n"
        '  File "replica.py", line 50, in build\n    raise error\n'
        "src.errors.ModelUnavailable: There is no file /models/a.nemo.\n"
    )
    assert failure(["", message]) == "src.errors.ModelUnavailable: There is no file /models/a.nemo."
    assert failure(["No node has a GPU."]) == "No node has a GPU."
    assert failure([]) == "Ray does not say why."
