"""Rejections: each has an error with a message for the client, and a name and a number that can be sent."""

import pytest

from src.audio.rejections import AudioRejection, format_error
from src.errors import AudioTooLong, EmptyAudio, InvalidAudio


@pytest.mark.parametrize("rejection", AudioRejection)
def test_each_error_has_a_message_and_remembers_its_rejection(rejection):
    error = rejection.error(7)
    assert error.message.startswith("The ")
    assert error.message.endswith(".")
    assert "{" not in error.message
    assert error.param == "file"
    assert error.rejection == (rejection.name, 7)


@pytest.mark.parametrize(
    ("rejection", "number", "kind", "part"),
    [
        (AudioRejection.NO_SAMPLES, 0, EmptyAudio, "no samples"),
        (AudioRejection.RATE, 4000, InvalidAudio, "4000 Hz; 8000 to 192000 Hz"),
        (AudioRejection.CHANNELS, 9, InvalidAudio, "9 channels; 1 to 8"),
        (AudioRejection.TOO_LONG, 1800.0, AudioTooLong, "longer than 1800 s"),
        (AudioRejection.TOO_LONG, 0.1, AudioTooLong, "longer than 0.1 s"),
    ],
)
def test_the_number_is_in_the_message(rejection, number, kind, part):
    error = rejection.error(number)
    assert type(error) is kind
    assert part in error.message


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16_000, 1), (192_000, 8)])
def test_supported_formats_have_no_error(rate, channels):
    assert format_error(rate, channels) is None


@pytest.mark.parametrize(
    ("rate", "channels", "name", "number"),
    [
        (0, 1, "RATE", 0),
        (7999, 1, "RATE", 7999),
        (192_001, 9, "RATE", 192_001),
        (16_000, 0, "CHANNELS", 0),
        (16_000, 9, "CHANNELS", 9),
    ],
)
def test_an_unsupported_format_is_named_by_its_rate_or_its_channels(rate, channels, name, number):
    error = format_error(rate, channels)
    assert isinstance(error, InvalidAudio)
    assert error.rejection == (name, number)
