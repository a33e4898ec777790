// Who writes an answer: a place, a short sign and a name for each model.

/** Patterns and colours that the style sheet has; later authors share the last one. */
export const STYLES = 5;

/** A model's name for people: of a path its file's name. */
export function shortName(model) {
  return model.replace(/^.*[/\\]/, "").replace(/\.gguf$/i, "");
}

/** A sign such as `Q 1.5b`: the first letter and, where the name has one, the size. */
function signOf(name) {
  const letter = (name.match(/[a-z]/i)?.[0] ?? "M").toUpperCase();
  const size = name.match(/(?:^|[-_ ])(\d+(?:\.\d+)?[bm])(?:$|[-_. ])/i)?.[1];
  return size ? `${letter} ${size.toLowerCase()}` : letter;
}

/** The authors of one answer. A rung's place in the ladder is its style, so the teacher looks alike in every answer. */
export class Cast {
  #authors = new Map();

  constructor(ladder = []) {
    ladder.forEach((model) => this.of(model));
  }

  /** `{model, name, sign, style}`; a model that is not of the ladder comes last. */
  of(model) {
    const known = this.#authors.get(model);
    if (known) return known;
    const place = this.#authors.size;
    const name = shortName(model);
    let sign = signOf(name);
    if ([...this.#authors.values()].some((other) => other.sign === sign)) sign = `${sign} #${place + 1}`;
    const author = { model, name, sign, style: Math.min(place, STYLES - 1) + 1 };
    this.#authors.set(model, author);
    return author;
  }

  /** In order of their places. */
  all() {
    return [...this.#authors.values()];
  }
}
