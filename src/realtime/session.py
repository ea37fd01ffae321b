"""One realtime session as a state machine without I/O: events in, events and work out.

Its clock is the audio received: nothing in it depends on when that came. Who runs it feeds it events (`receive`), lets
it decode the audio that is waiting (`hear`), asks for the next piece of work for the model (`next_work`) and brings the
result back (`heard`, `transcribed`, `failed`). Calls return what to tell the client. One call at a time.

A commit, by hand or by turn detection, makes an item of the audio in the buffer, and each item ends in exactly one
`completed` or `failed`, in the order of the commits. Work is one piece at a time: first the items, in their order, then
the live text of what is being spoken.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from src.audio.pcm_stream import AudioFormat, Encoding, StreamDecoder
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.vad import SpeechStream
from src.engine.model import StepResult
from src.errors import InvalidRequest, QueueFull, ServiceError
from src.memory.budget import Reservation
from src.memory.plan import AUDIO_BYTES_PER_S
from src.realtime import events
from src.realtime import turn_detection as turns
from src.realtime.audio_input import AudioInput
from src.realtime.config import AudioTranscription, SessionConfig
from src.realtime.items import Item, Utterance, item_body
from src.realtime.live import LiveTranscript
from src.realtime.outputs import ItemCommitted, ItemEnded, ItemWork, Output, StepWork, Work
from src.realtime.responses import Responses
from src.realtime.session_params import SessionLimits, SessionParams
from src.text.segments import Segment, segments_of
from src.text.transcript import Transcript
from src.text.words import Word, words_of
from src.wire.logprobs import logprobs_of
from src.wire.model_names import ServedModel
from src.wire.usage import duration_usage

MIN_COMMIT_MS = 100
"""A shorter item is refused, as OpenAI does."""
ITEMS_KEPT = 1000
"""Items that can be asked for."""
MAX_UNDER_WAY = 256
"""Items and responses without a text yet, beyond which no more events should be read."""
CATCH_UP_S = 10.0
"""Where live text lags behind, one step takes up to this much audio: a little worse, and much cheaper."""
MS = SAMPLE_RATE // 1000


class BufferTooShort(InvalidRequest):
    """A commit of next to nothing; clients know the code."""

    code = "input_audio_buffer_commit_empty"


class BufferFull(InvalidRequest):
    """More uncommitted audio than a session may hold."""

    code = "input_audio_buffer_full"


class ItemNotFound(InvalidRequest):
    """An item that is not there, or no longer."""

    code = "item_not_found"


class Session:
    """One client's session.

    Args:
        opening: what is known of the client.
        limits: what holds for everybody.
        served: the model, as clients may name it.
        languages: the codes of the languages that it knows.
        listen: makes a new stream of the speech detector.
        new_id: makes an id of a kind: `item`, `resp`.
        memory: for its audio, as `AUDIO_BYTES_PER_S` counts it.
    """

    def __init__(
        self,
        opening: SessionParams,
        limits: SessionLimits,
        served: ServedModel,
        languages: Sequence[str],
        listen: Callable[[], SpeechStream],
        new_id: Callable[[str], str],
        memory: Reservation,
    ) -> None:
        self._opening = opening
        self._limits = limits
        self._served = served
        self._languages = languages
        self._new_id = new_id
        self._memory = memory
        self._config = opening.config or SessionConfig(
            AudioFormat(Encoding.PCM16, opening.rate),
            opening.pcm16_rate,
            AudioTranscription(model=opening.model),
            vad_by_default=opening.transcription,
        )
        self._announces = opening.transcription
        self._intake = AudioInput(self._config.format, listen, round(limits.max_audio_s * SAMPLE_RATE))
        self._utterance: Utterance | None = None
        self._stalled_until = 0  # after a step that failed, live text waits for audio up to this sample
        self._pending: deque[Item] = deque()
        self._busy: Work | None = None
        self._items: OrderedDict[str, str | None] = OrderedDict()
        self._previous_item_id: str | None = None
        self._responses = Responses(beta=opening.beta)
        self._told: list[Output] = []
        self._handle(self._intake.detect(self._config.detection))

    # -- who runs it ---------------------------------------------------------------------------------------------------

    @property
    def waiting_s(self) -> float:
        """Seconds of audio that `hear` has not decoded yet."""
        return self._intake.waiting_s

    @property
    def idle(self) -> bool:
        """Whether every committed item has its text."""
        return not self._pending

    @property
    def backlogged(self) -> bool:
        """Whether so much is under way that the client should be made to wait."""
        audio_s = sum(item.audio_s for item in self._pending)
        return audio_s > self._limits.max_audio_s or len(self._pending) + len(self._responses) > MAX_UNDER_WAY

    def open(self) -> list[Output]:
        """Return what a client reads first."""
        beta = self._opening.beta and self._opening.intent
        self._tell_state("transcription_session.created" if beta else "session.created")
        return self._outputs()

    def receive(self, event: events.ClientEvent) -> list[Output]:
        """Take in an event of the client."""
        try:
            self._take(event)
        except (InvalidRequest, QueueFull) as error:
            self._refuse(error, event.event_id)
        return self._outputs()

    def refuse(self, error: events.InvalidEvent | QueueFull) -> list[Output]:
        """Answer a message that is no event, or that there is no room to read."""
        self._refuse(error, error.event_id if isinstance(error, events.InvalidEvent) else None)
        return self._outputs()

    def hear(self) -> list[Output]:
        """Decode the audio that waits, and look for turns in it."""
        self._handle(self._intake.hear())
        return self._outputs()

    def next_work(self) -> Work | None:
        """Return what the model shall do now; None if there is nothing, or what it does is not back yet."""
        if self._busy is not None:
            return None
        self._busy = self._item_work(self._pending[0]) if self._pending else self._live_work()
        return self._busy

    def wants(self, work: Work) -> bool:
        """Return whether the result of work under way is still of use."""
        return isinstance(work, ItemWork) or self._stream_of(work) is not None

    def heard(self, work: StepWork, heard: StepResult) -> list[Output]:
        """Take in what the model heard in a step."""
        self._busy = None
        work.live.finish_step(heard)
        stream = self._stream_of(work)
        # Live text is for the simple dialect too; that reads of its items in nothing else than the response.
        if stream and self._limits.partials and (isinstance(stream, Utterance) or stream.announced):
            self._show(stream, work.live.text)
        self._end_streamed()
        return self._outputs()

    def transcribed(self, work: ItemWork, transcript: Transcript) -> list[Output]:
        """Take in the text of an item."""
        self._busy = None
        self._complete(work.item, transcript)
        return self._outputs()

    def failed(self, work: Work, error: ServiceError) -> list[Output]:
        """Take in that work could not be done: an item fails with it, live text tries again with more audio."""
        self._busy = None
        stream = work.item if isinstance(work, ItemWork) else self._stream_of(work)
        if isinstance(work, StepWork):
            work.live.cancel_step()
        if isinstance(stream, Utterance):
            self._stalled_until = self._intake.buffer.end + round(self._limits.windowing.chunk_s * SAMPLE_RATE)
        elif stream and stream is self._pending[0]:  # others try again when their turn has come, to fail in order
            self._fail(stream, error)
        self._end_streamed()
        return self._outputs()

    def abandoned(self, work: Work) -> list[Output]:
        """Take in that work was not done."""
        self._busy = None
        if isinstance(work, StepWork):
            work.live.cancel_step()
        self._end_streamed()
        return self._outputs()

    # -- events --------------------------------------------------------------------------------------------------------

    def _take(self, event: events.ClientEvent) -> None:
        match event:
            case events.Append():
                self._append(event.audio)
            case events.SessionUpdate():
                self._update(event)
            case events.Commit():
                self._commit_by_hand()
            case events.Clear():
                self._clear()
            case events.ResponseCreate():
                self._respond()
            case events.ItemCreate():
                self._create_item(event.item)
            case events.ItemRetrieve() | events.ItemDelete():
                self._look_up(event)

    def _append(self, audio: bytes) -> None:
        if not self._intake.detects_turns:
            self._check_room(self._intake.held_s + self._intake.seconds(audio), "audio")
        self._reserve(self._intake.seconds(audio), "audio")
        self._intake.append(audio)

    def _update(self, event: events.SessionUpdate) -> None:
        config = self._config.updated(event.wanted, self._served, self._languages)
        if config.detection is None:
            self._check_room(self._intake.held_in_s(config.format), "session")
        self._handle(self._intake.leave(config.format))
        self._config = config
        self._announces = True
        self._handle(self._intake.enter(config.format, config.detection))
        if event.type == "session.update":
            self._tell_state("session.updated")
        else:
            self._tell_state("transcription_session.updated")

    def _check_room(self, held_s: float, param: str) -> None:
        limit_s = self._limits.max_audio_s
        if held_s > limit_s:
            message = f"The buffer holds at most {limit_s:g} s of audio; commit or clear it before you append more."
            raise BufferFull(message, param=param)

    @property
    def _audio_s(self) -> float:
        """Seconds of audio that are here: in the buffer, and in items without a text."""
        return self._intake.held_s + sum(item.audio_s for item in self._pending)

    def _reserve(self, more_s: float, param: str) -> None:
        if not self._memory.resize(round((self._audio_s + more_s) * AUDIO_BYTES_PER_S)):
            message = (
                "The audio of all sessions fills the server's memory, and this was not taken. Commit or clear what is "
                "there, or try again later."
            )
            raise QueueFull(message, param=param)

    def _commit_by_hand(self) -> None:
        self._handle(self._intake.finish())
        length_ms = self._intake.uncommitted / MS
        if length_ms < MIN_COMMIT_MS:
            raise BufferTooShort(
                f"Error committing input audio buffer: buffer too small. Expected at least {MIN_COMMIT_MS}ms of "
                f"audio, but buffer only has {length_ms:.2f}ms of audio."
            )
        self._announces = True
        self._commit(self._intake.buffer.end, announced=True)
        self._intake.take()

    def _clear(self) -> None:
        self._handle(self._intake.finish())
        self._intake.clear()
        self._utterance = None
        self._tell(events.Cleared())

    def _respond(self) -> None:
        self._handle(self._intake.finish())
        if self._intake.uncommitted:
            self._commit(self._intake.buffer.end, announced=self._announces)
            self._intake.take()
        self._tell(*self._responses.create(self._new_id("resp"), self._new_id("item")))

    def _create_item(self, new: events.NewItem) -> None:
        if new.id is not None and self._is_taken(new.id):
            raise InvalidRequest(f"There is an item {new.id!r} already.", param="item.id")
        audio = b"".join(content.audio for content in new.content)
        audio_s = len(audio) / self._config.format.bytes_per_second
        if audio_s < MIN_COMMIT_MS / 1000:
            raise BufferTooShort(f"An item has at least {MIN_COMMIT_MS}ms of audio.", param="item.content")
        if audio_s > self._limits.max_audio_s:
            raise BufferFull(f"An item has at most {self._limits.max_audio_s:g} s of audio.", param="item.content")
        self._reserve(audio_s, "item.content")
        decoder = StreamDecoder(self._config.format)
        samples = np.concatenate([decoder.feed(audio), decoder.finish()])
        self._add(Item(new.id or self._new_id("item"), samples, self._config, announced=True))

    def _is_taken(self, item_id: str) -> bool:
        """Return whether an item has this id, if only one that was deleted before it had its text."""
        spoken = self._utterance is not None and self._utterance.item_id == item_id
        return spoken or item_id in self._items or any(item.item_id == item_id for item in self._pending)

    def _look_up(self, event: events.ItemRetrieve | events.ItemDelete) -> None:
        item_id = event.item_id
        if item_id not in self._items:
            raise ItemNotFound(f"There is no item {item_id[:80]!r}.", param="item_id")
        if isinstance(event, events.ItemRetrieve):
            self._tell(events.ItemRetrieved(item=item_body(item_id, self._items[item_id])))
        else:
            del self._items[item_id]
            self._tell(events.ItemDeleted(item_id=item_id))

    # -- turns and items -----------------------------------------------------------------------------------------------

    def _handle(self, found: Iterable[turns.TurnEvent]) -> None:
        for event in found:
            match event:
                case turns.TurnStarted(at):
                    self._intake.buffer.drop_until(at)
                    self._tell(events.SpeechStarted(audio_start_ms=at // MS, item_id=self._current().item_id))
                case turns.TurnStopped(at):
                    self._tell(events.SpeechStopped(audio_end_ms=at // MS, item_id=self._current().item_id))
                    self._commit(at, announced=True)
                case turns.IdleTimeout(start, end):
                    self._intake.buffer.drop_until(start)
                    item_id = self._current().item_id
                    self._tell(
                        events.TimeoutTriggered(audio_start_ms=start // MS, audio_end_ms=end // MS, item_id=item_id)
                    )
                    self._commit(end, announced=True)

    def _current(self) -> Utterance:
        """Return what is being spoken, which has an id from the first time that it is named."""
        if self._utterance is None:
            self._utterance = Utterance(self._new_id("item"))
        return self._utterance

    def _commit(self, end: int, *, announced: bool) -> None:
        """Make an item of the audio up to sample `end`."""
        spoken, live, self._utterance = self._current(), self._live(), None
        samples = self._intake.buffer.take_until(end)
        item = Item(spoken.item_id, samples, self._config, announced, live, spoken.shown)
        self._add(item)

    def _add(self, item: Item) -> None:
        if not self._limits.final_from_stream:
            item.live = None
        elif item.live is None:
            item.live = LiveTranscript(self._limits.windowing, item.config.keywords)
        self._pending.append(item)
        self._responses.commit(item.item_id)
        self._remember(item.item_id, None)
        if item.announced:
            self._announce(item)
        self._told.append(ItemCommitted(item.item_id, item.audio_s))
        self._end_streamed()

    def _announce(self, item: Item) -> None:
        previous, self._previous_item_id = self._previous_item_id, item.item_id
        self._tell(events.Committed(item_id=item.item_id, previous_item_id=previous))
        body = item_body(item.item_id, None)
        if self._opening.beta:
            self._tell(events.ItemState(type="conversation.item.created", item=body, previous_item_id=previous))
            return
        self._tell(
            events.ItemState(type="conversation.item.added", item=body, previous_item_id=previous),
            events.ItemState(type="conversation.item.done", item=body, previous_item_id=previous),
        )

    def _complete(self, item: Item, transcript: Transcript) -> None:
        if item.announced:
            self._show(item, transcript.text)
            self._tell(*_segments(item, transcript, self._new_id), _completed(item, transcript))
        if item.item_id in self._items:
            self._items[item.item_id] = transcript.text
        self._end(item, None, self._responses.end(item.item_id, transcript.text))

    def _fail(self, item: Item, error: ServiceError) -> None:
        if item.announced:
            detail = events.ItemError(type=error.type, code=error.code, message=error.message, param=error.param)
            self._tell(events.TranscriptionFailure(item_id=item.item_id, content_index=0, error=detail))
        self._end(item, error, self._responses.end(item.item_id, error))

    def _end(self, item: Item, error: ServiceError | None, responses: Iterable[events.ServerEvent]) -> None:
        self._pending.remove(item)
        self._tell(*responses)
        self._told.append(ItemEnded(item.item_id, error))

    def _remember(self, item_id: str, transcript: str | None) -> None:
        self._items[item_id] = transcript
        if len(self._items) > ITEMS_KEPT:
            self._items.popitem(last=False)

    # -- work ----------------------------------------------------------------------------------------------------------

    def _item_work(self, item: Item) -> Work | None:
        if item.live is None:
            return ItemWork(item)
        return _advance(item.live, len(item.samples), lambda start, stop: item.samples[start:stop], ended=True)

    def _live_work(self) -> Work | None:
        buffer = self._intake.buffer
        limits = self._limits
        is_open = self._intake.in_turn or not self._intake.detects_turns
        if not is_open or not (limits.partials or limits.final_from_stream) or buffer.end < self._stalled_until:
            return None
        live = self._live() or self._new_live()
        work = _advance(live, len(buffer), lambda start, stop: buffer.piece(buffer.start + start, buffer.start + stop))
        if work:  # before its first step, an utterance may still get other hot words
            spoken = self._current()
            spoken.live, spoken.start = live, buffer.start
        return work

    def _live(self) -> LiveTranscript | None:
        """Return the stream of what is being spoken; none where that has come to begin in another place."""
        spoken = self._utterance
        return spoken.live if spoken and spoken.start == self._intake.buffer.start else None

    def _new_live(self) -> LiveTranscript:
        limits = self._limits
        catch_up_s = 0.0 if limits.final_from_stream else CATCH_UP_S
        return LiveTranscript(limits.windowing, self._config.keywords, catch_up_s)

    def _stream_of(self, work: StepWork) -> Utterance | Item | None:
        """Return what the stream of a step belongs to; None where it is committed or cleared meanwhile."""
        if self._utterance and self._live() is work.live:
            return self._utterance
        return next((item for item in self._pending if item.live is work.live), None)

    def _end_streamed(self) -> None:
        """Complete the items whose text comes from their stream, as far as those have come to their end."""
        while self._pending and (live := self._pending[0].live):
            item = self._pending[0]
            is_under_way = isinstance(self._busy, StepWork) and self._busy.live is live
            if is_under_way or live.next_window(len(item.samples), ended=True) is not None:
                return
            live.finish()
            self._complete(item, Transcript(live.text, live.tokens))

    # -- what the client is told ---------------------------------------------------------------------------------------

    def _show(self, stream: Utterance | Item, text: str) -> None:
        """Tell how the text goes on, unless it goes otherwise than what was told before."""
        delta = text[len(stream.shown) :] if text.startswith(stream.shown) else ""
        if delta:
            stream.shown += delta
            self._tell(events.TranscriptionDelta(item_id=stream.item_id, content_index=0, delta=delta))

    def _tell_state(self, kind: events.StateName) -> None:
        opening = self._opening
        told = {"object": "realtime.transcription_session", "id": opening.session_id, "expires_at": opening.expires_at}
        is_flat = opening.beta or kind.startswith("transcription_session")
        config = self._config.beta() if is_flat else {"type": "transcription"} | self._config.ga()
        self._tell(events.SessionState(type=kind, session=told | config))

    def _refuse(self, error: ServiceError, event_id: str | None) -> None:
        detail = events.EventError(
            type=error.type, code=error.code, message=error.message, param=error.param, event_id=event_id
        )
        self._tell(events.Error(error=detail))

    def _tell(self, *told: events.ServerEvent) -> None:
        self._told += told

    def _outputs(self) -> list[Output]:
        self._memory.resize(round(self._audio_s * AUDIO_BYTES_PER_S))  # less than was reserved, or the same
        outputs, self._told = self._told, []
        return outputs


def _advance(
    live: LiveTranscript, samples: int, piece: Callable[[int, int], Samples], *, ended: bool = False
) -> StepWork | None:
    """Return the next step of a stream of so many samples, whose pieces `piece` gives, if it is time for one."""
    window = live.next_window(samples, ended)
    return StepWork(live, live.begin_step(window, piece(window.start, window.stop))) if window else None


def _completed(item: Item, transcript: Transcript) -> events.TranscriptionCompleted:
    completed = events.TranscriptionCompleted(
        item_id=item.item_id, content_index=0, transcript=transcript.text, usage=duration_usage(item.audio_s)
    )
    if not item.config.logprobs:
        return completed
    return completed.model_copy(update={"logprobs": logprobs_of(transcript.tokens)})


def _segments(
    item: Item, transcript: Transcript, new_id: Callable[[str], str]
) -> Iterator[events.TranscriptionSegment]:
    """Yield the timed parts of an item that its client asked for, segments before words."""
    timed: list[Segment | Word] = []
    if "segment" in item.config.granularities:
        timed += segments_of(transcript, item.audio_s)
    if "word" in item.config.granularities:
        timed += words_of(transcript, item.audio_s)
    for each in timed:
        yield events.TranscriptionSegment(
            id=new_id("seg"),
            item_id=item.item_id,
            content_index=0,
            text=each.text,
            speaker="",
            start=each.start_s,
            end=each.end_s,
        )
