"""Live text on the bundled model: the text of steps against that of the whole clip."""

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import replace

import live_bench
import numpy as np
import pytest
from live_text import default, streamed
from media import clip

from src.engine.decoder.keyword_lists import MAX_REQUEST_LISTS
from src.engine.frames import frames_in
from src.engine.model import StepResult, StreamStep
from src.engine.nemo_model import NemoModel
from src.engine.windowing import Windowing
from src.realtime.live import LiveTranscript
from src.settings import Settings
from src.text.transcript import Token, Transcript

NAMES = ["piper-joe-1", "rhvoice-slt-1", "flite-slt-1", "pico-en-us-1", "fsdd-jackson-3", "asterisk-allison-2"]


def whole(model: NemoModel, clips, keywords=None) -> list[Transcript]:
    return model.transcribe(model.collate(list(clips), keywords))


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def test_live_text_is_nearly_that_of_the_whole_clip(tiny, transcripts):
    names = [name for name in transcripts if transcripts[name] and not name.startswith("long")]
    clips = [clip(name.removesuffix(".flac")) for name in names]
    differences = count = 0
    for start in range(0, len(clips), 8):
        batch = clips[start : start + 8]
        for live, transcript in zip(streamed(tiny, batch, default()), whole(tiny, batch), strict=True):
            differences += live_bench.distance(words(live.text), words(transcript.text))
            count += len(words(transcript.text))
    assert differences <= 0.03 * count


def test_on_an_idle_model_words_come_within_a_second_whole_and_nearly_as_in_the_clip(tiny):
    clips = list(live_bench.spoken_clips())
    own = [each for start in range(0, len(clips), 8) for each in whole(tiny, clips[start : start + 8])]
    way = live_bench.ways()[0]
    figures = live_bench.figures_of(way, live_bench.play(tiny, clips, way, piece=1600), own)
    assert figures.differ <= 3
    assert figures.broken == 0
    assert figures.first_p50_s <= 1
    assert figures.delay_mean_s <= 1
    assert figures.read_mean_s <= 0.4
    assert figures.read_p95_s <= 0.7


def test_a_chunk_as_long_as_the_clip_gives_the_transcript_of_the_clip_itself(tiny):
    samples = clip("long-30s")
    [live] = streamed(tiny, [samples], Windowing(1, 100, 1))
    [transcript] = whole(tiny, [samples])
    assert (live.text, live.tokens) == (transcript.text, transcript.tokens)


def results_in_parts(model: NemoModel, samples: np.ndarray, takes, keywords=(), **asks) -> Iterator[StepResult]:
    """Encode a clip as a whole and decode it in steps of these numbers of frames: a test of the decoder alone."""
    encoded, lengths = model.encode(model.collate([samples]))
    state, frame = None, 0
    while frame < lengths[0]:
        step = StreamStep(samples, frame, next(takes), frame, state, keywords, **asks)
        [result] = model._decoder.advance(encoded, lengths, model._decoder.pack_trees_for([keywords]), [step])
        state, frame = result.decoder_state, frame + step.take_frames
        yield result


def decoded_in_parts(model: NemoModel, samples: np.ndarray, takes, keywords=(), between=lambda: None) -> list[Token]:
    tokens: list[Token] = []
    for result in results_in_parts(model, samples, takes, keywords):
        tokens += result.tokens
        between()
    return tokens


def assert_same(tokens, expected) -> None:
    assert [(token.id, token.start_s) for token in tokens] == [(token.id, token.start_s) for token in expected]
    assert [token.end_s for token in tokens] == pytest.approx([token.end_s for token in expected])
    assert [token.logprob for token in tokens] == pytest.approx([token.logprob for token in expected], abs=1e-4)


@pytest.mark.parametrize("keywords", [(), ("London", "fifteen in the evening")])
@pytest.mark.parametrize("most", [1, 2, 5, 30])
def test_no_frame_is_lost_or_doubled_however_far_a_chunks_last_token_reaches_into_the_next(tiny, keywords, most):
    samples = clip("rhvoice-bdl-4")
    chance = random.Random(most)
    tokens = decoded_in_parts(tiny, samples, iter(lambda: chance.randint(1, most), None), keywords)
    [transcript] = whole(tiny, [samples], [keywords])
    assert_same(tokens, transcript.tokens)
    assert ("fifteen" in transcript.text) == bool(keywords)


def test_streams_at_different_places_share_batches_and_each_gets_the_text_that_it_gets_alone(tiny):
    clips = [clip(name) for name in NAMES]
    alone = [streamed(tiny, [samples], default())[0] for samples in clips]
    together = streamed(tiny, clips, default(), starts=[3, 0, 2, 0, 1, 5])
    assert [live.text for live in together] == [live.text for live in alone]
    assert [[token.start_s for token in live.tokens] for live in together] == [
        [token.start_s for token in live.tokens] for live in alone
    ]


def test_token_times_ascend_and_lie_in_the_audio(tiny):
    samples = clip("long-30s")
    [live] = streamed(tiny, [samples], default())
    times = [(token.start_s, token.end_s) for token in live.tokens]
    assert len(times) > 100
    assert all(0 <= start_s <= end_s <= len(samples) / 16_000 for start_s, end_s in times)
    assert all(start_s <= later_s for (start_s, _), (later_s, _) in itertools.pairwise(times))
    assert times[-1][0] > 0.9 * len(samples) / 16_000


def test_probabilities_in_a_stream_are_those_of_the_whole_if_the_text_is_the_same(tiny):
    samples = clip("piper-joe-1")
    [live] = streamed(tiny, [samples], Windowing(20, 0.48, 20))
    [transcript] = whole(tiny, [samples])
    assert live.tokens == transcript.tokens


def test_speech_too_short_for_a_frame_is_no_step_and_one_frame_is(tiny):
    live = LiveTranscript(default())
    assert live.next_window(100, ended=True) is None
    [live] = streamed(tiny, [clip("piper-joe-1")[:1300]], default())
    assert live.text == ""


@pytest.mark.parametrize("samples", [1279, 1280, 1439, 1440, 2719, 2720, 20_000])
def test_the_plan_knows_how_many_frames_the_encoder_makes(tiny, samples):
    _, lengths = tiny.encode(tiny.collate([clip("piper-joe-1")[:samples]]))
    assert lengths.tolist() == [frames_in(samples)]


# The frames after the chunk.


@pytest.mark.parametrize("keywords", [(), ("London", "fifteen in the evening")])
def test_chunks_and_lookahead_are_the_text_of_the_clip_and_the_lookahead_leaves_no_trace(tiny, keywords):
    samples = clip("rhvoice-bdl-4")
    [transcript] = whole(tiny, [samples], [keywords])
    tokens: list[Token] = []
    takes = itertools.cycle([0, 3, 7, 1, 12])
    for number, result in enumerate(results_in_parts(tiny, samples, takes, keywords, lookahead=True)):
        assert (result.decoder_state is None) == (number == 0), "the first takes no frame"
        tokens += result.tokens
        assert_same([*tokens, *result.lookahead], transcript.tokens)
    assert result.lookahead == ()


def test_the_times_of_a_lookahead_count_from_the_start_of_the_utterance(tiny):
    samples = clip("piper-joe-1")
    [at_its_start] = tiny.advance(tiny.collate_steps([StreamStep(samples, 0, 0, 0, lookahead=True)]))
    [later] = tiny.advance(tiny.collate_steps([StreamStep(samples, 0, 0, 100, lookahead=True)]))
    assert_same(at_its_start.lookahead, whole(tiny, [samples])[0].tokens)
    for token, moved in zip(at_its_start.lookahead, later.lookahead, strict=True):
        assert (moved.start_s, moved.end_s) == pytest.approx((token.start_s + 8, token.end_s + 8))


def test_each_step_gets_what_it_asks_for_also_in_a_batch_with_steps_that_ask_for_something_else(tiny):
    clips = [clip(name) for name in NAMES * 2]
    words = [(), ("fifteen", "Anna"), ()] * (len(clips) // 3)
    first = [StreamStep(each, 0, 9, 0, None, keywords) for each, keywords in zip(clips, words, strict=True)]
    states = [each.decoder_state for each in tiny.advance(tiny.collate_steps(first))]
    steps = [
        replace(step, skip_frames=9, start_frame=9, take_frames=take, decoder_state=state, lookahead=number % 2 == 0)
        for number, (step, state, take) in enumerate(zip(first, states, itertools.cycle((0, 5, 10, 5))))
    ]
    for step, result in zip(steps, tiny.advance(tiny.collate_steps(steps)), strict=True):
        [alone] = tiny.advance(tiny.collate_steps([step]))
        assert_same(result.tokens, alone.tokens)
        assert_same(result.lookahead, alone.lookahead)
        assert step.lookahead or not result.lookahead
        assert step.take_frames or result.decoder_state is step.decoder_state
        rest = replace(step, skip_frames=9 + step.take_frames, start_frame=9 + step.take_frames, take_frames=9)
        after, after_alone = (
            tiny.advance(tiny.collate_steps([replace(rest, decoder_state=each.decoder_state)]))[0]
            for each in (result, alone)
        )
        assert_same(after.tokens, after_alone.tokens)


# Keywords.


@pytest.mark.parametrize("chunk_s", [0.08, 0.24, 0.96])
def test_a_keyword_wins_in_its_own_stream_only_also_across_the_edge_of_chunks(tiny, chunk_s):
    windowing = Windowing(4.8, chunk_s, 0.96)
    clips = [clip("rhvoice-bdl-4"), clip("rhvoice-bdl-4"), clip("piper-joe-1")]
    alone = [streamed(tiny, [samples], windowing)[0].text for samples in clips]
    boosted, *beside = streamed(tiny, clips, windowing, [("fifteen",), (), ()], starts=[2, 0, 3])
    assert "fifty" in alone[0]
    assert boosted.text == alone[0].replace("fifty", "fifteen")
    assert [live.text for live in beside] == alone[1:]


def test_a_stream_goes_on_with_its_keywords_though_their_tree_was_forgotten_in_between(tiny):
    samples, keywords = clip("rhvoice-bdl-4"), ("fifteen in the evening",)
    number = itertools.count()

    def use_more_lists_than_are_kept():
        for _ in range(Settings().max_sessions + MAX_REQUEST_LISTS):
            tiny.compile((f"list {next(number)}",))
        assert not tiny.has_compiled(keywords)

    tokens = decoded_in_parts(tiny, samples, itertools.repeat(4), keywords, use_more_lists_than_are_kept)
    [transcript] = whole(tiny, [samples], [keywords])
    assert_same(tokens, transcript.tokens)
    assert "fifteen" in transcript.text


def test_the_state_of_a_stream_is_small_and_holds_nothing_of_its_batch(tiny):
    clips = [clip(name) for name in NAMES]
    steps = []
    for samples in clips:
        live = LiveTranscript(default())
        window = live.next_window(len(samples), ended=True)
        steps.append(live.begin_step(window, samples[window.start : window.stop]))
    for result in tiny.advance(tiny.collate_steps(steps)):
        assert result.decoder_state.nbytes < 4096
        assert result.decoder_state.base is None
