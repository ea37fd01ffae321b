/** The Speak part of the page: its button, what it says, and the captions. */

import { CaptionLog } from "./caption_log.js";
import { CaptionsMode, addressOf, lookOf, readAddress } from "./captions_mode.js";
import { microphones } from "./capture.js";
import { Choices } from "./choices.js";
import { copyText } from "./clipboard.js";
import { fileTime } from "./clock_time.js";
import { LevelMeter, SilenceWatch, levelOf } from "./level_meter.js";
import { Refusal, problem } from "./problem.js";
import { ProblemBox } from "./problem_box.js";
import { Recording } from "./recording.js";
import { plainText, saveFile, timedText } from "./saved_text.js";
import { hotWordsNote } from "./session_settings.js";
import { StateLine } from "./state_line.js";
import { WakeLock } from "./wake_lock.js";

const STATES = {
  connecting: "Connecting…",
  listening: "Listening.",
  lost: "Connection lost. Connecting again…",
  closed: "",
};
const SILENT = "Listening, but the sound is silent. Is the microphone muted?";
const SETTLED = new Set(["source", "device", "noise", "echo", "gain"]);
/** Choices that hold from the next start on. */

export class Speak {
  #page;
  #byId;
  #choices;
  #log;
  #mode;
  #problems;
  #state;
  #meter;
  #wakeLock = new WakeLock();
  #recording = null;
  #isBusy = false;
  #isListening = false;
  #silence = new SilenceWatch();
  #addressLook = null;

  /**
   * @param {Document} document
   * @param {object} page - facts, settings, key, announcer, base, keyField: see `page.js`
   */
  constructor(document, page) {
    this.#page = page;
    this.#byId = (id) => document.getElementById(id);
    const byId = this.#byId;
    this.#log = new CaptionLog({ log: byId("captions"), newest: byId("newest"), hint: byId("captions-hint") });
    this.#state = new StateLine(byId("state"));
    this.#meter = new LevelMeter(byId("level"));
    this.#problems = new ProblemBox({ box: byId("problem"), sentence: byId("problem-sentence"), remedy: byId("problem-remedy") });
    this.#mode = new CaptionsMode(document.documentElement, byId("captions"), () => this.#modeChanged());
    this.#choices = new Choices(byId, page.settings, (id) => this.#chosen(id));
    this.#noteHotWords();
    this.#offerLanguages();
    this.#offerMicrophones();
    this.#showAddress();
    this.#listen(document);
    this.#followAddress(document.location.search);
  }

  get language() {
    return this.#choices.get("language");
  }

  get hotWords() {
    return this.#choices.get("hot-words");
  }

  #listen(document) {
    const onClick = (id, action) => this.#byId(id).addEventListener("click", action);
    onClick("start", () => (this.#recording ? this.#stop() : this.#start()));
    onClick("enter-mode", () => this.#enterMode());
    onClick("leave-mode", () => this.#mode.leave());
    onClick("save", () => this.#save(document));
    onClick("copy", () => this.#copy());
    onClick("clear", () => this.#clear());
    onClick("address", () => this.#byId("address").select());
    navigator.mediaDevices?.addEventListener("devicechange", () => this.#offerMicrophones());
    window.addEventListener("online", () => this.#recording?.noteNetwork(true));
    window.addEventListener("offline", () => this.#recording?.noteNetwork(false));
    window.addEventListener("beforeunload", (event) => this.#recording && event.preventDefault());
  }

  // -- recording -----------------------------------------------------------------------------------------------------

  async #start() {
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#problems.show(null);
    this.#state.say("Asking for the sound…");
    try {
      this.#checkKey();
      this.#recording = await Recording.start(this.#server, this.#sound, () => this.#choice, this.#listener());
      this.#showRunning(true);
      this.#recording.open(); // not before: it may be refused at once
      this.#offerMicrophones();
    } catch (error) {
      this.#fail(error instanceof Refusal ? error.problem : problem("no-worklet"));
    }
    this.#isBusy = false;
  }

  #checkKey() {
    const { facts, key } = this.#page;
    if (facts.wantsKey && !key.value) throw new Refusal(problem("no-key"));
    if (facts.wantsKey && !key.isPossible) throw new Refusal(problem("wrong-key"));
  }

  async #stop() {
    if (this.#isBusy) return this.#recording.abandon(); // pressed again
    this.#isBusy = true;
    this.#state.say("Waiting for the last words…");
    await this.#recording.stop();
    this.#isBusy = false;
  }

  get #server() {
    const { base, facts, key } = this.#page;
    return { base, key, wantsKey: facts.wantsKey, fetch: window.fetch.bind(window), WebSocket: window.WebSocket };
  }

  get #sound() {
    const [source, noise, echo, gain] = ["source", "noise", "echo", "gain"].map((id) => this.#choices.get(id));
    return { source, device: this.#choices.kept("device"), noise, echo, gain };
  }

  get #choice() {
    const { language, hotWords } = this;
    return { language, hotWords, pauseMs: Number(this.#choices.get("pause")), hypothesis: this.#page.facts.hypothesis };
  }

  #listener() {
    return {
      heard: (samples, rate) => this.#hear(samples, rate),
      changed: (turn) => this.#show(turn),
      removed: (turn) => this.#log.remove(turn),
      state: (state) => this.#showState(state),
      missed: (seconds) => this.#log.note(`Not heard: ${Math.round(seconds)} s, as the connection was away too long.`),
      gaveUp: (seconds) => this.#log.note(`Not transcribed: ${Math.ceil(seconds)} s, as the server failed at it again and again.`),
      ended: () => this.#end(problem("unplugged")),
    };
  }

  #hear(samples, rate) {
    this.#meter.show(levelOf(samples));
    const isSilent = this.#silence.isSilent(samples, rate);
    if (this.#isListening && !this.#isBusy) this.#state.say(isSilent ? SILENT : STATES.listening);
  }

  #show(turn) {
    this.#log.show(turn);
    this.#mode.noteWords();
    if (turn.isFinal) this.#page.announcer.say(turn.settled, turn.language);
    this.#showActions();
  }

  #showState({ name, problem: reason }) {
    this.#isListening = name === "listening";
    if (this.#isListening) document.documentElement.classList.remove("key-asked");
    this.#state.say(STATES[name]);
    if (name === "closed") this.#closed(reason);
    else this.#problems.show(reason);
  }

  /** The sound has ended by itself: have the last words transcribed, and say why it is over. */
  async #end(reason) {
    if (!this.#recording || this.#isBusy) return;
    await this.#stop();
    this.#problems.show(reason);
  }

  #closed(reason) {
    const recording = this.#recording;
    this.#recording = null;
    recording?.abandon();
    this.#showRunning(false);
    this.#meter.show(0);
    if (reason) this.#fail(reason);
  }

  #fail(reason) {
    this.#state.say("");
    this.#problems.show(reason);
    if (reason.kind === "no-key" || reason.kind === "wrong-key") this.#page.askForKey();
  }

  // -- what is shown -------------------------------------------------------------------------------------------------

  #showRunning(isRunning) {
    this.#byId("start").textContent = isRunning ? "Stop captions" : "Start captions";
    document.documentElement.classList.toggle("running", isRunning);
    this.#wakeLock.wanted = isRunning && this.#choices.get("awake");
    if (!isRunning) this.#isListening = false;
  }

  #showActions() {
    for (const id of ["copy", "save", "clear"]) this.#byId(id).disabled = this.#log.isEmpty;
  }

  #save(document) {
    const { lines } = this.#log;
    saveFile(document, `Captions ${fileTime(lines[0]?.at ?? new Date())}.txt`, timedText(lines));
  }

  async #copy() {
    const done = await copyText(plainText(this.#log.lines));
    this.#state.mention(done ? "Copied." : "The browser does not let this page copy. Save the text instead.");
  }

  #clear() {
    this.#log.clear();
    this.#showActions();
    this.#byId("captions").focus();
  }

  // -- choices -------------------------------------------------------------------------------------------------------

  #chosen(id) {
    if (id === "hot-words") this.#noteHotWords();
    if (id === "size" || id === "colours") this.#chosenLook();
    else if (id === "awake") this.#wakeLock.wanted = this.#recording !== null && this.#choices.get("awake");
    else if (!SETTLED.has(id)) this.#recording?.update();
    else if (this.#recording) this.#state.mention("The other sound is used from the next start on.");
  }

  #offerLanguages() {
    const names = new Intl.DisplayNames(["en"], { type: "language" });
    const languages = this.#page.facts.languages.map((code) => ({ value: code, label: names.of(code) ?? code }));
    languages.sort((one, other) => one.label.localeCompare(other.label, "en"));
    this.#choices.offer("language", languages);
  }

  async #offerMicrophones() {
    const found = await microphones();
    if (found.length) this.#choices.offer("device", found.map(({ id, name }) => ({ value: id, label: name })));
  }

  get #look() {
    return lookOf(this.#choices.get("size"), this.#choices.get("colours"));
  }

  #noteHotWords() {
    this.#byId("hot-words-left").textContent = hotWordsNote(this.hotWords);
  }

  #chosenLook() {
    this.#addressLook = null;
    this.#showAddress();
  }

  #showAddress() {
    this.#byId("address").value = addressOf(this.#page.base, this.#look);
  }

  #enterMode() {
    this.#mode.enter(this.#addressLook ?? this.#look);
    this.#mode.fillScreen();
    this.#byId("start").focus();
  }

  /** Captions mode was entered or left. What has the focus stays in view. */
  #modeChanged() {
    this.#log.follow();
    if (!this.#mode.isOn) this.#byId("enter-mode").focus();
  }

  #followAddress(search) {
    const look = readAddress(search, this.#look);
    if (look.captions) this.#mode.enter((this.#addressLook = look));
    if (look.start) this.#start();
  }
}
