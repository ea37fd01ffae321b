/** The turns of one recording: what the service says about them, over as many connections as it takes. */

const AROUND_S = 1;
/** How far the start of a turn may move when its audio is sent again. */
const REPEAT_S = 2;
/** Audio that is sent again of a turn too long to be repeated as a whole: what was under way when the connection went. */
const REPEATS = 2;
/** How often the audio of a turn is sent again that the service failed to transcribe. */

export class Turn {
  /** Text that stays until the turn's end. */
  settled = "";
  /** What probably follows it. */
  provisional = "";
  /** The sample after its last one; null while it is spoken. */
  end = null;
  /** Whether its text is final. */
  isFinal = false;
  /** The code of the language of its final text; empty until that is known. */
  language = "";
  #kept = null;

  /**
   * @param {string} id - of its item on the present connection
   * @param {number} start - its first sample
   * @param {Date} at - when that was spoken
   */
  constructor(id, start, at) {
    this.id = id;
    this.start = start;
    this.at = at;
  }

  /** The text to show. @returns {{settled: string, provisional: string}} */
  get shown() {
    const kept = this.#kept;
    const isShorter = kept && this.settled.length + this.provisional.length < kept.settled.length + kept.provisional.length;
    return isShorter && !this.isFinal ? kept : { settled: this.settled, provisional: this.provisional };
  }

  /** Begin anew under another id. What was shown stays in view until there is as much again. */
  repeatAs(id) {
    this.#kept = this.shown;
    this.id = id;
    this.settled = this.provisional = "";
    this.end = null;
  }

  /** End with this text, in the language of this code; empty if nobody has said it. */
  complete(text, language) {
    this.settled = text;
    this.provisional = "";
    this.language = language;
    this.isFinal = true;
  }
}

/** Positions are samples since the recording began, as those of `AudioTape`. */
export class Turns {
  #rate;
  #changed;
  #removed;
  #gaveUp;
  #timeOf;
  #failures = 0;
  #mustRepeat = false;
  #unfinished = [];
  #orphans = [];
  #base = 0;
  #finishedTo = 0;

  /**
   * @param {number} rate - samples a second
   * @param {(turn: Turn) => void} changed - called when a turn is new or its text has changed
   * @param {(turn: Turn) => void} removed - called when a turn turns out to be none
   * @param {object} more
   * @param {(seconds: number) => void} more.gaveUp - called when so much audio has failed for good
   * @param {(sample: number) => Date} more.timeOf - when a sample was spoken
   */
  constructor(rate, changed, removed, { gaveUp, timeOf }) {
    this.#rate = rate;
    this.#changed = changed;
    this.#removed = removed;
    this.#gaveUp = gaveUp;
    this.#timeOf = timeOf;
  }

  /** The end of the last turn that has its final text: audio before it is needed no more. */
  get finishedTo() {
    return this.#finishedTo;
  }

  /** Whether the service has failed on audio that it should get once more, over a new connection. */
  get mustRepeat() {
    return this.#mustRepeat;
  }

  /** Whether every turn has its final text. */
  get areFinal() {
    return !this.#unfinished.length && !this.#orphans.length;
  }

  /**
   * Take an event of the service.
   * @param {any} event
   * @param {number} sentTo - the sample after the last one that was sent
   */
  receive(event, sentTo) {
    switch (event.type) {
      case "input_audio_buffer.speech_started":
        return this.#begin(event.item_id, this.#base + this.#samples(event.audio_start_ms));
      case "input_audio_buffer.speech_stopped":
        return this.#stop(event.item_id, this.#base + this.#samples(event.audio_end_ms));
      case "input_audio_buffer.committed":
        return this.#stop(event.item_id, sentTo);
      case "conversation.item.input_audio_transcription.delta":
        return this.#extend(event.item_id, (turn) => (turn.settled += event.delta));
      case "conversation.item.input_audio_transcription.hypothesis":
        return this.#extend(event.item_id, (turn) => (turn.provisional = event.text));
      case "conversation.item.input_audio_transcription.completed":
        return this.#finish(event.item_id, event, sentTo);
      case "conversation.item.input_audio_transcription.failed":
        return this.#fail(event.item_id, sentTo);
    }
  }

  /**
   * The connection is lost, and a new one begins. Return where it begins, and how many samples nobody will hear.
   * @param {number} tapeStart - the first sample that can be sent again
   * @param {number} heardTo - samples before this one have certainly reached the service
   * @returns {{from: number, missed: number}}
   */
  resume(tapeStart, heardTo) {
    this.#orphans.push(...this.#unfinished.splice(0));
    this.#orphans.sort((one, other) => one.start - other.start);
    let from = Math.max(tapeStart, this.#finishedTo);
    for (const turn of this.#orphans.filter((each) => each.start < from - this.#rate * AROUND_S)) {
      this.#settle(turn, turn.shown.settled + turn.shown.provisional);
      from = Math.max(from, turn.end ?? heardTo - this.#rate * REPEAT_S);
    }
    this.#base = this.#finishedTo = from;
    this.#mustRepeat = false;
    return { from, missed: Math.max(0, from - Math.max(heardTo, 0)) };
  }

  /** Nothing more will come: what is shown of unfinished turns stays as it is. */
  close() {
    for (const turn of [...this.#orphans, ...this.#unfinished]) {
      this.#settle(turn, turn.shown.settled + turn.shown.provisional);
    }
  }

  #samples(ms) {
    return Math.round((ms * this.#rate) / 1000);
  }

  #find(id) {
    return this.#unfinished.find((turn) => turn.id === id);
  }

  #begin(id, start) {
    const turn = this.#adopt(id, start) ?? new Turn(id, start, this.#timeOf(start));
    this.#unfinished.push(turn);
    this.#changed(turn);
    return turn;
  }

  /** Return the turn of an earlier connection whose audio this one repeats; undefined if there is none. */
  #adopt(id, start) {
    const reach = this.#rate * AROUND_S;
    const turn = this.#orphans.find((each) => start >= each.start - reach && start < (each.end ?? Infinity));
    if (!turn) return undefined;
    this.#orphans.splice(this.#orphans.indexOf(turn), 1);
    turn.repeatAs(id);
    turn.start = start;
    return turn;
  }

  #stop(id, end) {
    const turn = this.#find(id);
    if (turn) turn.end ??= end;
  }

  #extend(id, change) {
    const turn = this.#find(id) ?? this.#begin(id, this.#finishedTo);
    change(turn);
    this.#changed(turn);
  }

  #finish(id, { transcript, languages }, sentTo) {
    const turn = this.#find(id);
    const language = languages?.[0]?.code ?? "";
    if (turn || transcript) this.#end(turn ?? this.#begin(id, this.#finishedTo), transcript, sentTo, language);
  }

  /** Keep a turn that failed for another try; after some, keep what was shown of it, and say so. */
  #fail(id, sentTo) {
    const turn = this.#find(id) ?? this.#begin(id, this.#finishedTo);
    turn.end ??= sentTo;
    this.#failures += 1;
    this.#mustRepeat = this.#failures <= REPEATS && turn.end > this.#finishedTo;
    if (this.#mustRepeat) return;
    this.#end(turn, turn.shown.settled + turn.shown.provisional, sentTo);
    this.#gaveUp((turn.end - turn.start) / this.#rate);
  }

  #end(turn, text, sentTo, language = "") {
    turn.end ??= sentTo;
    this.#failures = 0;
    this.#finishedTo = Math.max(this.#finishedTo, turn.end);
    this.#settle(turn, text, language);
    for (const orphan of this.#orphans.filter((each) => each.end !== null && each.end <= this.#finishedTo)) {
      this.#remove(orphan);
    }
  }

  #settle(turn, text, language = "") {
    turn.complete(text.trim(), language);
    if (!turn.settled) return this.#remove(turn);
    this.#forget(turn);
    this.#changed(turn);
  }

  #remove(turn) {
    this.#forget(turn);
    this.#removed(turn);
  }

  #forget(turn) {
    for (const list of [this.#unfinished, this.#orphans]) {
      const at = list.indexOf(turn);
      if (at >= 0) list.splice(at, 1);
    }
  }
}
