/** Puts the page together. */

import { Announcer } from "./announcer.js";
import { ApiKey } from "./api_key.js";
import { metaOf, readFacts } from "./facts.js";
import { setUpFiles } from "./files.js";
import { Settings, storageOf } from "./settings.js";
import { Speak } from "./speak.js";

const facts = readFacts(metaOf(document));
const settings = new Settings(storageOf(window, "localStorage"));
const key = new ApiKey(storageOf(window, "sessionStorage"));
const announcer = new Announcer(document.getElementById("spoken"));
const base = new URL(".", document.baseURI).href;

const keyForm = document.getElementById("key-form");
const keyField = document.getElementById("key");

function setUpKey() {
  keyForm.hidden = !facts.wantsKey;
  keyField.value = key.value;
  keyField.addEventListener("input", () => {
    key.value = keyField.value;
    keyField.removeAttribute("aria-invalid");
  });
  keyForm.addEventListener("submit", (event) => event.preventDefault());
}

/** Lead the user to the field of the key. */
function askForKey() {
  keyForm.hidden = false;
  document.documentElement.classList.add("key-asked"); // captions mode hides the field otherwise
  keyField.setAttribute("aria-invalid", "true");
  keyField.focus();
}

setUpKey();
document.getElementById("model").textContent = [facts.model, facts.version].filter(Boolean).join(", version ");
const speak = new Speak(document, { facts, settings, key, announcer, base, askForKey });
setUpFiles(document.getElementById("files"), {
  base,
  settings,
  askForKey,
  wantsKey: facts.wantsKey,
  key: () => key.value,
  languages: facts.languages,
  limits: { maxAudioSeconds: facts.maxAudioSeconds, maxUploadMb: facts.maxUploadBytes / 2 ** 20 },
  language: () => speak.language,
  keywords: () => speak.hotWords,
  announce: (text) => announcer.say(text),
});
