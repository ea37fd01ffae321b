"""The events of an item: that it exists, its text with words and segments, or why it has none."""

from collections.abc import Callable, Iterator, Sequence

from src.errors import ServiceError
from src.realtime import events
from src.realtime.items import Item, item_body
from src.text.segments import Segment, segments_of
from src.text.speaker_turns import by_speaker
from src.text.transcript import Transcript
from src.text.words import Word
from src.wire.heard_language import HeardLanguage
from src.wire.logprobs import logprobs_of
from src.wire.usage import duration_usage


def announced(item_id: str, previous_item_id: str | None, *, beta: bool) -> Iterator[events.ServerEvent]:
    """Yield the events of a new item: one for its audio, and for the item itself one in beta and two in GA."""
    yield events.Committed(item_id=item_id, previous_item_id=previous_item_id)
    body = item_body(item_id, None)
    if beta:
        yield events.ItemState(type="conversation.item.created", item=body, previous_item_id=previous_item_id)
        return
    yield events.ItemState(type="conversation.item.added", item=body, previous_item_id=previous_item_id)
    yield events.ItemState(type="conversation.item.done", item=body, previous_item_id=previous_item_id)


def completed(
    item: Item, transcript: Transcript, new_id: Callable[[str], str], languages: Sequence[str] | None = None
) -> Iterator[events.ServerEvent]:
    """Yield the events with an item's final text: what is missing of its deltas, its words and segments, `completed`.

    Args:
        item: the item; its configuration says what else than the text the client asked for.
        transcript: the text, and its tokens with times from the start of the item.
        new_id: makes an id of a kind, here `seg`.
        languages: codes of the languages that were heard, none for a text without words; None for a client of beta,
            which does not know that field.
    """
    yield from item.shown.settle(transcript.text)
    yield from _segments(item, transcript, new_id)
    end = events.TranscriptionCompleted(
        item_id=item.item_id, content_index=0, transcript=transcript.text, usage=duration_usage(item.audio_s)
    )
    if item.config.logprobs:
        end = end.model_copy(update={"logprobs": logprobs_of(transcript.tokens)})
    if languages is not None:
        end = end.model_copy(update={"languages": [HeardLanguage(code=code) for code in languages]})
    yield end


def failed(item: Item, error: ServiceError) -> Iterator[events.ServerEvent]:
    """Yield the events of an item that has no text."""
    yield from item.shown.settle()
    detail = events.ItemErrorBody(type=error.type, code=error.code, message=error.message, param=error.param)
    yield events.TranscriptionFailure(item_id=item.item_id, content_index=0, error=detail)


def _segments(
    item: Item, transcript: Transcript, new_id: Callable[[str], str]
) -> Iterator[events.TranscriptionSegment]:
    """Yield the timed segments and words that the client asked for, segments first. Speakers have segments."""
    config = item.config
    if not (config.granularities or config.tells_speakers):
        return
    segments = by_speaker(segments_of(transcript, item.audio_s), item.label)
    timed: list[tuple[Segment | Word, str]] = []
    if "segment" in config.granularities or config.tells_speakers:
        timed += [(segment, segment.speaker) for segment in segments]
    if "word" in config.granularities:
        timed += [(word, segment.speaker) for segment in segments for word in segment.words]
    for part, speaker in timed:
        yield events.TranscriptionSegment(
            id=new_id("seg"),
            item_id=item.item_id,
            content_index=0,
            text=part.text,
            speaker=speaker,
            start=part.start_s,
            end=part.end_s,
        )
