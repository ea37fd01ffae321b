"""Samples have the sample rate that the model and the speech detector were trained with."""

import re
import tarfile
from pathlib import Path

from src.audio.samples import SAMPLE_RATE
from src.audio.silero import FRAME_SAMPLES

CHECKPOINT = Path(__file__).parents[3] / "src" / "assets" / "parakeet-tdt-tiny.nemo"


def test_the_bundled_model_takes_this_sample_rate():
    with tarfile.open(CHECKPOINT) as archive:
        (name,) = [name for name in archive.getnames() if name.endswith("model_config.yaml")]
        config = archive.extractfile(name).read().decode()
    assert {int(rate) for rate in re.findall(r"^ *sample_rate: (\d+)", config, re.MULTILINE)} == {SAMPLE_RATE}


def test_a_frame_of_the_detector_is_32_ms():
    assert FRAME_SAMPLES / SAMPLE_RATE == 0.032
