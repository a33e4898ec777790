// When which rung worked. A stream tells when text arrived here; the ledger tells how long each rung worked in all.

/** Times are milliseconds since the request was sent. */
export class Timeline {
  #ladder = [];
  #lanes = new Map();
  #writing = null;
  #marks = [];
  #end = 0;

  /** A native event of the stream, at its arrival. */
  on(event, at) {
    this.#end = Math.max(this.#end, at);
    switch (event.type) {
      case "started":
        this.#ladder = event.ladder;
        event.ladder.forEach((model) => this.#lane(model));
        break;
      case "loading":
        this.#stretch(event.model, at, "loading");
        break;
      case "delta":
        this.#stretch(event.model, at, "writing");
        break;
      case "decided":
        this.#marks.push({ at, kind: event.kind });
        if (event.to) this.#begin(event.to, at);
        break;
      case "validated":
        this.#marks.push({ at, kind: "validated" });
        break;
      case "retracted":
        this.#marks.push({ at, kind: "retract" });
        break;
      default:
    }
  }

  #lane(model) {
    if (!this.#lanes.has(model)) this.#lanes.set(model, []);
    return this.#lanes.get(model);
  }

  /** `model` works from now on, though nothing has arrived yet. */
  #begin(model, at) {
    this.#writing = { from: at, to: at, kind: "writing" };
    this.#lane(model).push(this.#writing);
  }

  #stretch(model, at, kind) {
    const lane = this.#lane(model);
    const last = lane.at(-1);
    if (last && last === this.#writing && last.kind === kind) {
      last.to = at;
      return;
    }
    // The first rung works since the request began, others since the one before them ended.
    const from = this.#writing?.to ?? 0;
    this.#writing = { from, to: at, kind };
    lane.push(this.#writing);
  }

  /**
   * `{end, lanes: [{model, stretches: [{from, to, kind}], cost}], marks: [{at, kind}]}`, lanes in ladder order. `ledger`
   * is null while the answer is written. A rung that wrote nothing that stayed visible is shown as working unseen.
   */
  layout(ledger = null, totalMs = 0) {
    const end = Math.max(this.#end, totalMs, 1);
    const costs = new Map(ledger?.rungs.map((rung) => [rung.model, rung]));
    costs.forEach((_, model) => this.#lane(model));
    const lanes = [...this.#lanes]
      .map(([model, stretches]) => {
        const cost = costs.get(model) ?? null;
        const unseen = stretches.length === 0 && cost?.ms > 0;
        const shown = unseen ? [{ from: 0, to: Math.min(cost.ms, end), kind: "unseen" }] : stretches;
        return { model, stretches: shown, cost };
      })
      .filter((lane) => lane.stretches.length > 0 || lane.cost || this.#ladder.includes(lane.model));
    return { end, lanes, marks: this.#marks };
  }
}
