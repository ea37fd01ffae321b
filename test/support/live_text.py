"""The live text of whole clips, for tests."""

import itertools
from collections.abc import Sequence

from src.audio.samples import Samples
from src.engine.nemo_model import NemoModel
from src.engine.windowing import Windowing
from src.realtime.live import LiveTranscript
from src.settings import Settings


def default() -> Windowing:
    return Windowing.from_settings(Settings())


def streamed(
    model: NemoModel,
    clips: Sequence[Samples],
    windowing: Windowing,
    keywords: Sequence[tuple[str, ...]] | None = None,
    starts: Sequence[int] | None = None,
) -> list[LiveTranscript]:
    """Decode clips as streams, each from its round in `starts` on. The steps of a round are one batch."""
    lives = [LiveTranscript(windowing, words) for words in keywords or [()] * len(clips)]
    starts = starts or [0] * len(clips)
    for turn in itertools.count():
        steps = {}
        for live, samples, start in zip(lives, clips, starts, strict=True):
            window = live.next_window(len(samples), ended=True) if turn >= start else None
            if window:
                steps[live] = live.begin_step(window, samples[window.start : window.stop])
        if not steps and turn > max(starts):
            break
        if steps:
            for live, heard in zip(steps, model.advance(model.collate_steps(list(steps.values()))), strict=True):
                live.finish_step(heard)
    for live in lives:
        live.finish()
    return lives
