"""The size of a fleet: how many replicas, and what each takes."""

import pytest

from src.fleet.size import FleetError, FleetSize, Machines


@pytest.mark.parametrize(
    ("replicas", "gpus_each", "machines", "size"),
    [
        (None, 1, Machines(1, 8, 96), FleetSize(8, 1, 8, has_spare=False)),
        (7, 1, Machines(1, 8, 96), FleetSize(7, 1, 7, has_spare=True)),
        (None, 0.5, Machines(1, 2, 32), FleetSize(4, 0.5, 4, has_spare=False)),
        (None, 1 / 3, Machines(1, 1, 32), FleetSize(3, 1 / 3, 3, has_spare=False)),
        (None, 0.4, Machines(1, 2, 32), FleetSize(4, 0.4, 4, has_spare=False)),  # a fifth would be on both cards
        (None, 1, Machines(3, 24, 96), FleetSize(24, 1, 8, has_spare=False)),
        (10, 1, Machines(3, 24, 96), FleetSize(10, 1, 4, has_spare=True)),
        (None, 1, Machines(1, 0, 4), FleetSize(1, 0, 1, has_spare=True)),
        (3, 0.5, Machines(2, 0, 4), FleetSize(3, 0, 2, has_spare=True)),
    ],
)
def test_there_is_a_replica_for_each_gpu_unless_settings_say_otherwise(replicas, gpus_each, machines, size):
    assert FleetSize.of(replicas, gpus_each, machines) == size


def test_more_replicas_than_the_cards_have_room_for_are_refused_with_what_to_change():
    with pytest.raises(FleetError) as error:
        FleetSize.of(5, 0.5, Machines(1, 2, 32))
    assert str(error.value) == (
        "PARAKEET_REPLICAS=5 is more than the 4 that 2 GPUs have room for with PARAKEET_REPLICA_GPUS=0.5. "
        "Lower one of them."
    )
