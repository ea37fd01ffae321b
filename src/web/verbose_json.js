/** The service's `verbose_json`, byte for byte, from the last event of a stream. */

/** Keys whose numbers are floats in the service: 3 is written as 3.0 there, which JSON.stringify cannot. */
const FLOATS = ["start", "end", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob", "duration"];

/**
 * @param {object} done The event `transcript.text.done` with segments and words.
 * @returns {string} The body of the same request with `response_format=verbose_json` and without `stream`.
 */
export function verboseJson({ language, duration, text, segments, words }) {
  const usage = { type: "duration", seconds: Math.ceil(duration) };
  return json({ task: "transcribe", language, duration, text, segments, words, usage });
}

function json(value, key = "") {
  if (Array.isArray(value)) return `[${value.map((item) => json(item)).join(",")}]`;
  if (value !== null && typeof value === "object") return `{${members(value).join(",")}}`;
  return FLOATS.includes(key) ? float(value) : JSON.stringify(value);
}

function members(object) {
  const set = Object.entries(object).filter(([, value]) => value !== undefined);
  return set.map(([key, value]) => `${JSON.stringify(key)}:${json(value, key)}`);
}

/**
 * Return a number as pydantic writes a float (Rust's crate ryu): with a fraction or an exponent, and with an exponent
 * below 0.00001, where JavaScript begins at 0.000001.
 */
export function float(number) {
  const size = Math.abs(number);
  if (size >= 1e-6 && size < 1e-5) return number.toExponential();
  if (Object.is(number, -0)) return "-0.0";
  return Number.isInteger(number) && size < 1e16 ? `${number}.0` : String(number);
}
