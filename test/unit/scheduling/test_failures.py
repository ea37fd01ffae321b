"""What clients are told of failures."""

from src.engine.device_errors import MemoryExhausted
from src.errors import OutOfMemory, TranscriptionFailed
from src.scheduling import failures


def test_a_job_for_which_there_was_no_memory_may_be_sent_again_and_one_that_the_model_cannot_take_not():
    error = failures.failed_alone(MemoryExhausted("no memory"))
    assert isinstance(error, OutOfMemory)
    assert error.headers == {"Retry-After": "5"}
    error = failures.failed_alone(ValueError("secret of the implementation"))
    assert isinstance(error, TranscriptionFailed)
    assert "secret" not in error.message


def test_all_that_pass_say_when_to_try_again():
    passing = [failures.not_ready(), failures.shutting_down(), failures.model_failed(), failures.upload_too_slow()]
    assert [error.headers for error in passing] == [{"Retry-After": "5"}] * 4
    assert failures.waited_too_long(2).headers == {"Retry-After": "2"}
    assert "longer than 2 s" in failures.waited_too_long(2).message
