// The settings form: what it asks for, as the API takes it.

import { models } from "./api.mjs";
import { shortName } from "./authors.mjs";
import { byId, el, setText } from "./dom.mjs";
import { CONSTRAINTS } from "./examples.mjs";

const AUTO = "understudy/auto";
const POLICY = "understudy/";

/** A setting that cannot be sent; `field` is the element to look at. */
export class SettingError extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

export class Settings {
  #texts = new Map();
  #kind = "";

  /** `changed` is called when a setting changes. */
  constructor(changed) {
    this.changed = changed;
    this.form = byId("settings-form");
    this.model = byId("model");
    this.constraint = byId("constraint");
    this.grammar = byId("grammar");
    this.key = byId("key");
    this.key.value = remembered();
    this.constraint.append(
      el("option", { value: "" }, "none"),
      ...Object.entries(CONSTRAINTS).map(([kind, { name }]) => el("option", { value: kind }, name)),
    );
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => this.changed());
    this.model.addEventListener("change", () => this.#explainParameters());
    this.constraint.addEventListener("change", () => this.#showGrammar());
    this.key.addEventListener("change", () => {
      remember(this.key.value);
      this.refresh();
    });
    this.#explainParameters();
  }

  /** Chooses a constraint, with its example. */
  choose(kind) {
    this.constraint.value = kind;
    this.#showGrammar();
    this.changed();
  }

  /** Asks the node which names there are. Without an answer the list stays as it is. */
  async refresh() {
    const known = await models(this.key.value).catch(() => null);
    if (!known) return;
    const chosen = this.model.value;
    const option = (name, text) => el("option", { value: name }, text);
    const policies = known.filter(({ name }) => name.startsWith(POLICY) && name !== AUTO);
    const plain = known.filter(({ name }) => !name.startsWith(POLICY));
    const label = ({ name, here }) => (here ? shortName(name) : `${shortName(name)} (to be fetched)`);
    const group = (label, options) => (options.length > 0 ? el("optgroup", { label }, ...options) : "");
    this.model.replaceChildren(
      option(AUTO, "automatic"),
      group("By policy", policies.map(({ name }) => option(name, name.slice(POLICY.length)))),
      group("One model", plain.map((model) => option(model.name, label(model)))),
    );
    this.model.value = known.some(({ name }) => name === chosen) ? chosen : AUTO;
    this.#explainParameters();
    this.changed();
  }

  /** In a line, what will answer: `cascade`, `held to JSON Schema`. */
  describe() {
    const who = this.model.selectedOptions[0]?.textContent ?? "automatic";
    const kind = CONSTRAINTS[this.constraint.value];
    return kind ? `${who}, held to ${kind.name}` : who;
  }

  /** Whether the answer is code or data. */
  get formal() {
    return !["", "choice"].includes(this.constraint.value);
  }

  /** The request without its conversation; throws `SettingError`. */
  request() {
    const name = this.model.value;
    const policy = this.#policy(name);
    const constraint = this.#constraint();
    return {
      // A policy in the extension object says all: the name then asks for none of its own.
      model: policy ? AUTO : name,
      stream: true,
      temperature: this.#number("temperature") ?? 0,
      max_completion_tokens: this.#number("max-tokens"),
      understudy: { explain: true, policy, constraint },
    };
  }

  /** The system prompt, or empty. */
  get system() {
    return byId("system").value.trim();
  }

  /** A whole policy where parameters are given, else undefined. */
  #policy(name) {
    const parameters = byId("parameters").value.trim();
    if (!parameters || !name.startsWith(POLICY)) return undefined;
    return name === AUTO ? parameters : `${name.slice(POLICY.length)}:${parameters}`;
  }

  #constraint() {
    const kind = CONSTRAINTS[this.constraint.value];
    if (!kind) return undefined;
    if (!this.grammar.value.trim()) throw new SettingError(this.grammar, `${kind.name}: say what the answer may be.`);
    try {
      return kind.read(this.grammar.value);
    } catch (error) {
      throw new SettingError(this.grammar, `${kind.name}: ${error.message}`);
    }
  }

  #number(id) {
    const field = byId(id);
    if (!field.checkValidity()) throw new SettingError(field, `${field.labels[0].textContent}: ${field.validationMessage}`);
    return field.value === "" ? undefined : field.valueAsNumber;
  }

  #explainParameters() {
    const field = byId("parameters");
    const name = this.model.value;
    field.disabled = !name.startsWith(POLICY);
    field.placeholder = name === AUTO ? "cascade+friend" : "threshold=0.6";
    const help =
      name === AUTO
        ? "A whole policy in place of the node's own, such as cascade:threshold=0.6."
        : "Such as threshold=0.6,alpha=0.1; + joins another policy.";
    setText(byId("parameters-help"), field.disabled ? "A model alone has none." : help);
  }

  /** Each kind keeps its text while the page is open. */
  #showGrammar() {
    this.#texts.set(this.#kind, this.grammar.value);
    this.#kind = this.constraint.value;
    const kind = CONSTRAINTS[this.#kind];
    byId("grammar-field").hidden = !kind;
    if (!kind) return;
    this.grammar.value = this.#texts.get(this.#kind) || kind.example;
    setText(byId("grammar-label"), kind.name);
    setText(byId("grammar-help"), kind.help);
  }
}

const KEY = "understudy-key";

function remembered() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

function remember(key) {
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Storage may be forbidden: the key then holds for this page.
  }
}
