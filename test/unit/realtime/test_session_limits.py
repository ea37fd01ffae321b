"""What holds for every session, from the service's settings."""

import pytest

from src.engine.windowing import Windowing
from src.realtime.session_limits import SessionLimits
from src.settings import Settings


@pytest.mark.parametrize(("final", "from_stream"), [("full", False), ("stream", True)])
def test_limits_are_those_of_the_settings(final, from_stream):
    settings = Settings(
        max_audio_seconds=90, realtime_chunk_s=0.5, realtime_right_s=0.3, realtime_partials=False, realtime_final=final
    )
    assert SessionLimits.from_settings(settings) == SessionLimits(
        max_audio_s=90,
        windowing=Windowing(settings.realtime_left_s, 0.5, 0.3),
        partials=False,
        final_from_stream=from_stream,
    )
