"""One realtime session as a state machine without I/O: client events in; server events, notices and work out.

The connection passes on client events (`receive`), lets the session decode waiting audio (`process_audio`), asks for
work for the model (`next_work`) and reports its outcome (`finish`). These calls return outputs: events for the client,
and notices for the connection. They may come from any thread, one at a time.

Its only clock is the audio received, so nothing but live text depends on when audio arrives.

A commit, by the client or by turn detection, makes an item of the audio in the buffer. Each item ends in exactly one
`completed` or `failed`, in the order of the commits. One piece of work at a time is in flight: the items come first, in
their order, then the live text of the current utterance.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from src.audio.live_frames import LiveFrames
from src.audio.pcm_stream import AudioFormat, Encoding, StreamDecoder
from src.audio.samples import SAMPLE_RATE
from src.audio.silero import FRAME_SAMPLES
from src.audio.vad import Probabilities, SpeechStream
from src.engine.frames import SAMPLES_PER_FRAME
from src.engine.model import StepResult
from src.errors import InvalidRequest, QueueFull, ServiceError
from src.memory.budget import Reservation
from src.memory.plan import AUDIO_BYTES_PER_S
from src.realtime import events
from src.realtime import turn_detection as turns
from src.realtime.audio_input import AudioInput
from src.realtime.committed_items import CommittedItems
from src.realtime.config import AudioTranscription, SessionConfig
from src.realtime.items import Item, Utterance
from src.realtime.live import LiveTranscript
from src.realtime.outputs import CancelWork, ItemWork, Output, StepWork, Work, WorkOutcome
from src.realtime.session_limits import SessionLimits
from src.realtime.session_params import SessionParams
from src.realtime.shown_text import ShownText
from src.text.language_identifier import Identify, as_asked
from src.text.segments import ends_sentence
from src.text.transcript import Transcript
from src.wire.model_names import ServedModel

MIN_COMMIT_MS = 100
"""The shortest item that is accepted, as in OpenAI's API."""
MAX_UNFINISHED = 256
"""Items and responses without a text, beyond which the connection stops reading events."""
CATCH_UP_S = 10.0
"""When live text lags behind, one step takes up to this much audio: slightly less accurate, and much cheaper."""
MAX_WAITING_S = 1.0
"""Without turn detection, waiting audio is decoded from this much on, even if no step needs it."""
DETECTED_S = 3 * FRAME_SAMPLES / SAMPLE_RATE
"""How much waiting audio is decoded to detect turns in it."""
HEARD_BEFORE_S = 0.5
"""Audio before a step's chunk in which speech counts as heard: its words may have begun there."""
SENTENCE_SEEN_S = 0.24
"""Audio after the last speech that a step must have seen before its text counts as that of a whole sentence."""
SAMPLES_PER_MS = SAMPLE_RATE // 1000


class BufferTooShort(InvalidRequest):
    """A commit of less than `MIN_COMMIT_MS`. OpenAI's clients know its code."""

    code = "input_audio_buffer_commit_empty"


class BufferFull(InvalidRequest):
    """More uncommitted audio than a session may hold."""

    code = "input_audio_buffer_full"


class Session:
    """One client's session.

    Args:
        params: what the handshake says about the client.
        limits: what holds for every session.
        served: the model, and the names that clients may give it.
        languages: codes of the languages that the model knows.
        new_speech_stream: makes a stream of the speech detector.
        new_id: makes an id of a kind: `item`, `resp` or `seg`.
        memory: reserves memory for the session's audio, `AUDIO_BYTES_PER_S` for each second.
        identify: tells the language of a text.
    """

    def __init__(
        self,
        params: SessionParams,
        limits: SessionLimits,
        served: ServedModel,
        languages: Sequence[str],
        new_speech_stream: Callable[[], SpeechStream],
        new_id: Callable[[str], str],
        memory: Reservation,
        identify: Identify = as_asked,
    ) -> None:
        self._params = params
        self._limits = limits
        self._served = served
        self._languages = languages
        self._new_id = new_id
        self._memory = memory
        self._config = params.config or SessionConfig(
            AudioFormat(Encoding.PCM16, params.rate),
            params.pcm16_rate,
            AudioTranscription(model=params.model),
            vad_by_default=params.transcription,
        )
        self._announces = params.transcription
        self._received_s = 0.0
        self._input = AudioInput(self._config.format, new_speech_stream, round(limits.max_audio_s * SAMPLE_RATE))
        self._utterance: Utterance | None = None
        self._not_begun = LiveTranscript(limits.windowing)  # tells when the first step of any utterance is due
        self._paused_until = 0  # after a step has failed, live text waits until the buffer reaches this sample
        self._items = CommittedItems(beta=params.beta, new_id=new_id, languages=languages, identify=identify)
        self._in_flight: Work | None = None
        self._cancelled: StepWork | None = None  # the last step that a `CancelWork` was emitted for
        self._outputs: list[Output] = []
        self._handle_turns(self._input.set_detection(self._config.detection))

    # -- for the connection --------------------------------------------------------------------------------------------

    @property
    def undecoded_s(self) -> float:
        """Seconds of audio that wait for `process_audio`."""
        return self._input.undecoded_s

    @property
    def received_s(self) -> float:
        """Seconds of audio that were appended since the session began."""
        return self._received_s

    @property
    def idle(self) -> bool:
        """Whether every committed item has ended."""
        return self._items.first is None

    @property
    def backlogged(self) -> bool:
        """Whether the client should be made to wait, because too much is unfinished."""
        return self._items.audio_s > self._limits.max_audio_s or self._items.unfinished > MAX_UNFINISHED

    def open(self) -> list[Output]:
        """Return the first event that the client gets."""
        beta = self._params.beta and self._params.intent
        self._emit_state("transcription_session.created" if beta else "session.created")
        return self._take_outputs()

    def receive(self, event: events.ClientEvent) -> list[Output]:
        """Process a client event. Appended audio is only stored; `process_audio` decodes it."""
        try:
            self._dispatch(event)
        except (InvalidRequest, QueueFull) as error:
            self._emit_error(error, event.event_id)
            return self._take_outputs()
        return [] if isinstance(event, events.Append) else self._take_outputs()  # an append has no outputs

    def reject(self, error: events.InvalidEvent | QueueFull) -> list[Output]:
        """Report a message that is not a valid event, or that there was no memory to parse."""
        self._emit_error(error, error.event_id if isinstance(error, events.InvalidEvent) else None)
        return self._take_outputs()

    def process_audio(self) -> list[Output]:
        """Decode the waiting audio and detect turns in it."""
        self._handle_turns(self._input.drain())
        self._end_sentence()
        return self._take_outputs()

    def decode_audio(self) -> LiveFrames | None:
        """Decode the next slice of waiting audio, so that an `AudioBatcher` can detect turns in many sessions together.

        Return the frames in which to detect turns; None if there are none. `detect_turns` is to be called next.
        """
        return self._input.decode() if self._input.is_decodable else None

    def detect_turns(self, probabilities: Probabilities | None) -> list[Output]:
        """Detect turns in the slice that was decoded, given the probability of speech in each of its frames."""
        self._handle_turns(self._input.detect(probabilities))
        self._end_sentence()
        return self._take_outputs()

    @property
    def needs_room(self) -> bool:
        """Whether `make_room` is to be called before more audio is decoded. May be asked while a call runs."""
        return self._input.needs_room

    def make_room(self) -> list[Output]:
        """Drop the silence that fills the buffer of a client that commits itself. It takes a tenth of a second.

        There are no outputs.
        """
        if self._input.needs_room:
            self._input.make_room()
        return self._take_outputs()

    def audio_due(self, step_s: float | None = None) -> bool:
        """Return whether the waiting audio should be decoded now. The argument is that of `due_audio_s`."""
        waiting_s = self._input.undecoded_s
        return waiting_s > 0 and waiting_s >= self.due_audio_s(step_s)

    def due_audio_s(self, step_s: float | None = None) -> float:
        """Return how many seconds of audio must wait to be decoded; less of it may wait for more.

        Turns are detected in a few frames of the detector at a time. Without turn detection, audio is only needed once
        there is enough for the next step of live text. May be called while another call runs.

        Args:
            step_s: as for `next_work`.
        """
        due_s = DETECTED_S if self._input.detects_turns else min(MAX_WAITING_S, self._audio_to_step_s(step_s))
        return max(due_s, self._input.decodable_s)

    def next_work(self, step_s: float | None = None) -> Work | None:
        """Return the next work for the model; None while other work is in flight, or if there is none.

        Args:
            step_s: the shortest step of live text, in seconds; None: a chunk.
        """
        if self._in_flight is not None:
            return None
        first = self._items.first
        self._in_flight = self._item_work(first) if first else self._live_work(step_s)
        return self._in_flight

    def asks_detector(self, work: Work, outcome: WorkOutcome) -> bool:
        """Return whether `finish` may run the speech detector, which takes milliseconds; else it is quick.

        It may if the step has a text and none of its utterance was shown yet. May be called while another call runs.
        """
        if not isinstance(work, StepWork) or not isinstance(outcome, StepResult) or self._limits.final_from_stream:
            return False
        utterance, has_text = self._utterance, outcome.tokens or outcome.lookahead or work.live.token_count
        if not has_text or utterance is None or utterance.live is not work.live:
            return False
        return not utterance.doubt.is_resolved and not self._input.has_heard_speech

    def finish(self, work: Work, outcome: WorkOutcome) -> list[Output]:
        """Handle the outcome of the work in flight.

        A result extends the live text or completes the item. An error fails the item; live text retries once more audio
        arrives. `next_work` returns cancelled work again if it is still needed.
        """
        self._in_flight = self._cancelled = None
        if isinstance(work, StepWork):
            self._finish_step(work, outcome)
            self._end_sentence()
        elif isinstance(outcome, Transcript):
            self._put_out(self._items.complete(work.item, outcome))
        elif isinstance(outcome, ServiceError):
            self._put_out(self._items.fail(work.item, outcome))
        self._complete_known()
        return self._take_outputs()

    def end(self) -> list[Output]:
        """Commit what the buffer holds, as no more audio comes: the open turn or, if the client commits, speech.

        A client of the simple dialect gets its text as a response, as if it had asked for one.
        """
        self._handle_turns(self._input.flush())
        if self._input.in_turn:
            self._handle_turns([turns.TurnStopped(self._input.buffer.end)])
            self._input.mark_committed()
        elif not self._input.detects_turns and self._should_commit_rest:
            self._commit_all()
            if not self._announces:
                self._put_out(self._items.create_response())
        return self._take_outputs()

    # -- client events -------------------------------------------------------------------------------------------------

    def _dispatch(self, event: events.ClientEvent) -> None:
        match event:
            case events.Append():
                self._append(event.audio)
            case events.SessionUpdate():
                self._update(event)
            case events.Commit():
                self._commit_manually()
            case events.Clear():
                self._clear()
            case events.ResponseCreate():
                self._create_response()
            case events.ItemCreate():
                self._create_item(event.item)
            case events.ItemRetrieve() | events.ItemDelete():
                self._look_up(event)

    def _append(self, audio: bytes) -> None:
        duration_s = self._input.duration_s(audio)
        held_s = self._input.held_s + duration_s
        if not self._input.detects_turns:
            self._check_limit(held_s, "audio")
        self._reserve(held_s + self._items.audio_s, "audio")
        self._received_s += duration_s
        self._input.append(audio)

    def _update(self, event: events.SessionUpdate) -> None:
        config = self._config.updated(event.patch, self._served, self._languages)
        if config.detection is None:
            self._check_limit(self._input.held_s_in(config.format), "session")
        self._handle_turns(self._input.drain_before(config.format))  # items of these turns have the old configuration
        self._config = config
        self._announces = True
        self._handle_turns(self._input.configure(config.format, config.detection))
        if self._utterance and not config.hypothesis:  # the client may have just ceased to ask
            self._emit(*self._utterance.shown.settle())
        if event.type == "session.update":
            self._emit_state("session.updated")
        else:
            self._emit_state("transcription_session.updated")

    def _check_limit(self, held_s: float, param: str) -> None:
        limit_s = self._limits.max_audio_s
        if held_s > limit_s:
            message = f"The buffer holds at most {limit_s:g} s of audio; commit or clear it before you append more."
            raise BufferFull(message, param=param)

    @property
    def _audio_s(self) -> float:
        """Seconds of audio in memory: in the buffer, and in items without a text."""
        return self._input.held_s + self._items.audio_s

    def _reserve(self, audio_s: float, param: str) -> None:
        """Reserve memory for so much audio in all."""
        if not self._memory.resize(round(audio_s * AUDIO_BYTES_PER_S)):
            message = (
                "The audio of all sessions fills the server's memory, so this audio was rejected. Commit or clear the "
                "buffer, or try again later."
            )
            raise QueueFull(message, param=param)

    def _commit_manually(self) -> None:
        self._handle_turns(self._input.flush())
        length_ms = self._input.committable / SAMPLES_PER_MS
        if length_ms < MIN_COMMIT_MS:
            raise BufferTooShort(
                f"Error committing input audio buffer: buffer too small. Expected at least {MIN_COMMIT_MS}ms of "
                f"audio, but buffer only has {length_ms:.2f}ms of audio."
            )
        self._announces = True
        self._commit_all()

    def _commit_all(self) -> None:
        self._commit(self._input.buffer.end, announced=self._announces)
        self._input.mark_committed()

    @property
    def _should_commit_rest(self) -> bool:
        """Whether the buffer is long enough for an item, and holds speech or has a text that was shown."""
        if self._input.committable < MIN_COMMIT_MS * SAMPLES_PER_MS:
            return False
        return bool(self._utterance and self._utterance.shown.text) or self._input.holds_speech

    def _clear(self) -> None:
        self._handle_turns(self._input.flush())
        self._input.clear()
        self._utterance = None
        self._emit(events.Cleared())

    def _create_response(self) -> None:
        self._handle_turns(self._input.flush())
        if self._input.committable:
            self._commit_all()
        self._put_out(self._items.create_response())

    def _create_item(self, new: events.NewItem) -> None:
        if new.id is not None and self._is_taken(new.id):
            raise InvalidRequest(f"There is an item {new.id!r} already.", param="item.id")
        audio = b"".join(content.audio for content in new.content)
        audio_s = len(audio) / self._config.format.bytes_per_second
        if audio_s < MIN_COMMIT_MS / 1000:
            raise BufferTooShort(f"An item has at least {MIN_COMMIT_MS}ms of audio.", param="item.content")
        if audio_s > self._limits.max_audio_s:
            raise BufferFull(f"An item has at most {self._limits.max_audio_s:g} s of audio.", param="item.content")
        self._reserve(self._audio_s + audio_s, "item.content")
        decoder = StreamDecoder(self._config.format)
        samples = np.concatenate([decoder.feed(audio), decoder.finish()])
        self._add(Item(ShownText(new.id or self._new_id("item")), samples, self._config, announced=True))

    def _is_taken(self, item_id: str) -> bool:
        """Return whether an item has this id, even one that was deleted before it had its text."""
        is_current = self._utterance is not None and self._utterance.item_id == item_id
        return is_current or self._items.is_taken(item_id)

    def _look_up(self, event: events.ItemRetrieve | events.ItemDelete) -> None:
        kept = self._items.kept
        is_read = isinstance(event, events.ItemRetrieve)
        self._emit(kept.retrieve(event.item_id) if is_read else kept.delete(event.item_id))

    # -- turns and items -----------------------------------------------------------------------------------------------

    def _handle_turns(self, turn_events: Iterable[turns.TurnEvent]) -> None:
        for event in turn_events:
            match event:
                case turns.TurnStarted(at):
                    self._input.buffer.drop_until(at)
                    self._emit(
                        events.SpeechStarted(audio_start_ms=at // SAMPLES_PER_MS, item_id=self._current().item_id)
                    )
                case turns.TurnStopped(at):
                    self._emit(events.SpeechStopped(audio_end_ms=at // SAMPLES_PER_MS, item_id=self._current().item_id))
                    self._commit(at, announced=True)
                case turns.IdleTimeout(start, end):
                    self._input.buffer.drop_until(start)
                    self._emit(
                        events.TimeoutTriggered(
                            audio_start_ms=start // SAMPLES_PER_MS,
                            audio_end_ms=end // SAMPLES_PER_MS,
                            item_id=self._current().item_id,
                        )
                    )
                    self._commit(end, announced=True)

    def _end_sentence(self) -> None:
        """End the open turn if its speech has paused and its text, to the end of the speech, ends a sentence."""
        end, live = self._input.sentence_end, self._live()
        if end is None or live is None:
            return
        seen_until = self._input.buffer.start + live.seen_samples
        if seen_until >= end + SENTENCE_SEEN_S * SAMPLE_RATE and ends_sentence(live.text + live.hypothesis):
            self._handle_turns(self._input.stop_after_sentence())

    def _current(self) -> Utterance:
        """Return the current utterance. It gets its id when it is first needed."""
        if self._utterance is None:
            self._utterance = Utterance(ShownText(self._new_id("item")))
        return self._utterance

    def _commit(self, end: int, *, announced: bool) -> None:
        """Make an item of the audio before sample `end`."""
        utterance, live, self._utterance = self._current(), self._live(), None
        live = live if self._limits.final_from_stream else None
        samples = self._input.buffer.take_until(end)
        self._add(Item(utterance.shown, samples, self._config, announced, live))

    def _add(self, item: Item) -> None:
        if item.tells_speakers:
            item.live = None  # it is heard as a whole for its speakers
        elif self._limits.final_from_stream:
            item.live = item.live or LiveTranscript(self._limits.windowing, item.config.keywords)
        self._put_out(self._items.add(item))
        self._complete_known()

    # -- work for the model --------------------------------------------------------------------------------------------

    def _item_work(self, item: Item) -> Work | None:
        if item.live is None:
            return ItemWork(item)
        window = item.live.next_window(len(item.samples), ended=True)
        if window is None:
            return None
        step = item.live.begin_step(window, item.samples[window.start : window.stop])
        return StepWork(item.live, step, (len(item.samples) - window.stop) / SAMPLE_RATE)

    def _live_work(self, step_s: float | None) -> StepWork | None:
        buffer = self._input.buffer
        is_open = self._input.in_turn or not self._input.detects_turns
        if not is_open or not self._has_live_text or buffer.end < self._paused_until:
            return None
        live = self._live() or self._new_live()
        window = live.next_window(len(buffer), step_s=self._paced(step_s))
        if window is None:
            return None
        # Only now is the live transcript kept: until its first step, the keywords may still change.
        utterance = self._current()
        utterance.live, utterance.start = live, buffer.start
        step = live.begin_step(window, buffer.view(buffer.start + window.start, buffer.start + window.stop))
        return StepWork(live, step, (len(buffer) - window.stop) / SAMPLE_RATE + self._input.undecoded_s)

    def _audio_to_step_s(self, step_s: float | None) -> float:
        """Return how many seconds of audio must follow the buffer for a step of live text; infinity if none follows."""
        if not self._has_live_text:
            return math.inf
        buffer = self._input.buffer
        due_at = (self._live() or self._not_begun).due_at(self._paced(step_s))
        return (max(due_at, self._paused_until - buffer.start) - len(buffer) - 0.5) / SAMPLE_RATE

    def _paced(self, step_s: float | None) -> float | None:
        """Return the shortest step. Text that is final must not depend on the load, nor on how the audio arrived."""
        return None if self._limits.final_from_stream else step_s

    @property
    def _has_live_text(self) -> bool:
        return self._limits.partials or self._limits.final_from_stream

    def _live(self) -> LiveTranscript | None:
        """Return the live transcript of the current utterance; None if the utterance now begins elsewhere."""
        utterance = self._utterance
        return utterance.live if utterance and utterance.start == self._input.buffer.start else None

    def _new_live(self) -> LiveTranscript:
        limits = self._limits
        catch_up_s = 0.0 if limits.final_from_stream else CATCH_UP_S
        return LiveTranscript(limits.windowing, self._config.keywords, catch_up_s)

    def _owner_of(self, work: StepWork) -> Utterance | Item | None:
        """Return what needs the result of a step; None if nothing does since a commit or a clear."""
        if self._utterance and self._live() is work.live:
            return self._utterance
        return self._items.with_live(work.live)

    def _finish_step(self, work: StepWork, outcome: WorkOutcome) -> None:
        owner = self._owner_of(work)
        if isinstance(outcome, StepResult):
            work.live.finish_step(outcome)
        else:
            work.live.cancel_step()
        if owner and isinstance(outcome, StepResult):
            if self._may_show(owner, work):
                self._show(owner, work.live)
        elif owner and isinstance(outcome, ServiceError):
            self._handle_step_error(owner, outcome)

    def _handle_step_error(self, owner: Utterance | Item, error: ServiceError) -> None:
        if isinstance(owner, Utterance):
            self._paused_until = self._input.buffer.end + round(self._limits.windowing.chunk_s * SAMPLE_RATE)
        elif owner is self._items.first:  # others retry when they are first, so that items fail in order
            self._put_out(self._items.fail(owner, error))

    def _complete_known(self) -> None:
        """Complete the first items, as long as the text of each is known."""
        while (item := self._items.first) and (transcript := self._known_text(item)) is not None:
            self._put_out(self._items.complete(item, transcript))

    def _known_text(self, item: Item) -> Transcript | None:
        """Return the text of an item if it is known: from its live transcript, that is once no step is left."""
        live = item.live
        if live is None:
            return None
        is_in_flight = isinstance(self._in_flight, StepWork) and self._in_flight.live is live
        if is_in_flight or live.next_window(len(item.samples), ended=True) is not None:
            return None
        live.finish()
        return Transcript(live.text, live.tokens)

    # -- outputs -------------------------------------------------------------------------------------------------------

    def _may_show(self, owner: Utterance | Item, work: StepWork) -> bool:
        """Return whether the text after a step may be shown: the final text does not deny it."""
        if isinstance(owner, Item) or self._limits.final_from_stream:
            return True
        live, step = work.live, work.step
        start = max(0, step.skip_frames * SAMPLES_PER_FRAME - round(HEARD_BEFORE_S * SAMPLE_RATE))
        text = live.text + live.hypothesis
        return owner.doubt.allows(text, live.tokens, step.samples[start:], self._input.hears_speech)

    def _show(self, owner: Utterance | Item, live: LiveTranscript) -> None:
        """Emit what a step has added to the text that is shown, and the hypothesis if the client asked for it."""
        config, announced = (owner.config, owner.announced) if isinstance(owner, Item) else (self._config, True)
        # The simple dialect gets live text too. Of its items it gets nothing but the response.
        if not self._limits.partials or not announced:
            return
        self._emit(*owner.shown.extend(live.text))
        if config.hypothesis:
            self._emit(*owner.shown.expect(live.text + live.hypothesis))

    def _emit_state(self, kind: events.StateName) -> None:
        params = self._params
        head = {"object": "realtime.transcription_session", "id": params.session_id, "expires_at": params.expires_at}
        is_flat = params.beta or kind.startswith("transcription_session")
        config = self._config.beta() if is_flat else {"type": "transcription"} | self._config.ga()
        self._emit(events.SessionState(type=kind, session=head | config))

    def _emit_error(self, error: ServiceError, event_id: str | None) -> None:
        detail = events.RealtimeErrorBody(
            type=error.type, code=error.code, message=error.message, param=error.param, event_id=event_id
        )
        self._emit(events.ErrorEvent(error=detail))

    def _emit(self, *server_events: events.ServerEvent) -> None:
        self._put_out(server_events)

    def _put_out(self, outputs: Iterable[Output]) -> None:
        self._outputs += outputs

    def _take_outputs(self) -> list[Output]:
        """Return the outputs since the last call, and release the memory of audio that has gone."""
        self._memory.resize(round(self._audio_s * AUDIO_BYTES_PER_S))  # never more than was reserved
        self._cancel_unneeded()
        outputs, self._outputs = self._outputs, []
        return outputs

    def _cancel_unneeded(self) -> None:
        """Emit `CancelWork`, once, for a step in flight that nobody needs."""
        work = self._in_flight
        if isinstance(work, StepWork) and work is not self._cancelled and self._owner_of(work) is None:
            self._cancelled = work
            self._outputs.append(CancelWork(work))
