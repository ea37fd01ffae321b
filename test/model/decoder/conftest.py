"""What the tests of the decoder share."""

import pytest
from keyword_clips import phoned_clip

from src.audio.samples import Samples


@pytest.fixture(scope="package")
def phoned() -> Samples:
    """A clip in which the model writes Henry where Anna is said."""
    return phoned_clip()
