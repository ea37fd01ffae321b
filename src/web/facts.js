/** What the service says about itself in the page's `<meta>` elements. */

/**
 * @typedef {object} Facts
 * @property {string} version
 * @property {string} model - name of the served model
 * @property {boolean} wantsKey - whether requests need an API key
 * @property {string[]} languages - codes that the model knows; none while it loads
 * @property {number} maxAudioSeconds - longest audio of one request
 * @property {number} maxUploadBytes - largest request body
 * @property {boolean} hypothesis - whether sessions can give provisional words
 */

/**
 * Read the facts.
 * @param {(name: string) => string|null|undefined} contentOf - the content of the meta element of a name
 * @returns {Readonly<Facts>}
 */
export function readFacts(contentOf) {
  const text = (name) => contentOf(`parakeet-${name}`) ?? "";
  const number = (name, fallback) => Number(text(name)) || fallback;
  return Object.freeze({
    version: text("version"),
    model: text("model"),
    wantsKey: text("keys") === "1",
    languages: text("languages").split(",").filter(Boolean),
    maxAudioSeconds: number("max-audio-seconds", Infinity),
    maxUploadBytes: number("max-upload-bytes", Infinity),
    hypothesis: text("hypothesis") === "1",
  });
}

/** Return a function that gives the content of a document's meta element, by name. */
export function metaOf(document) {
  return (name) => document.querySelector(`meta[name="${name}"]`)?.getAttribute("content");
}
