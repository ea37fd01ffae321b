/** The choices of the Speak part: fields on the page that are kept in the settings. */

/** Each field's id with its usual value. */
const USUAL = {
  source: "microphone",
  device: "",
  language: "",
  pause: "500",
  "hot-words": "",
  noise: false,
  echo: false,
  gain: false,
  awake: true,
  size: "56",
  colours: "ffffff-000000",
};

export class Choices {
  #fields = new Map();
  #settings;

  /**
   * @param {(id: string) => HTMLElement} fieldOf
   * @param {import("./settings.js").Settings} settings
   * @param {(id: string) => void} changed - called after the user has changed a field
   */
  constructor(fieldOf, settings, changed) {
    this.#settings = settings;
    for (const [id, usual] of Object.entries(USUAL)) {
      const field = fieldOf(id);
      this.#fields.set(id, field);
      write(field, settings.get(id, usual), usual);
      field.addEventListener("change", () => {
        settings.set(id, read(field));
        changed(id);
      });
    }
  }

  /** Return the value of a field: a text, or whether it is checked. */
  get(id) {
    return read(this.#fields.get(id));
  }

  /** Return the kept value of a field, also while it is not among the options. */
  kept(id) {
    return this.#settings.get(id, USUAL[id]);
  }

  /**
   * Replace the options of a field after its first one. The kept choice stays chosen if it is among them, or if there are
   * none yet, as while the model loads.
   * @param {string} id
   * @param {{value: string, label: string}[]} options
   */
  offer(id, options) {
    const field = this.#fields.get(id);
    const kept = this.kept(id);
    const known = options.length || !kept ? options : [{ value: kept, label: kept }];
    const added = known.map(({ value, label }) => new Option(label, value));
    field.replaceChildren(field.options[0], ...added);
    write(field, kept, USUAL[id]);
  }
}

function read(field) {
  return field.type === "checkbox" ? field.checked : field.value;
}

function write(field, value, usual) {
  if (field.type === "checkbox") field.checked = value;
  else field.value = value;
  if (field.tagName === "SELECT" && field.selectedIndex < 0) field.value = usual;
}
