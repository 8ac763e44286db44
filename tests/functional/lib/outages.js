// When something that others need was not there, by whoever took it away; and what is left of a time without those.

// What was away counts as away for a little longer: whoever needs it may find out a second later that it is back.
const AFTER_MS = 1000;

export class Outages {
  #all = [];

  // From now on `what`, a list of words or objects, is away, until `over` of what is returned.
  begin(name, what) {
    const one = {name, what: new Set(what), from: Date.now(), to: Infinity};
    this.#all.push(one);
    return {
      over: () => (one.to = Date.now() + AFTER_MS),
      // This was, too, as turns out later.
      also: (more) => one.what.add(more),
    };
  }

  // Those between two times in which something of `needed` was away.
  during(from, to, needed) {
    return this.#all.filter((one) => one.from <= to && one.to >= from && needed.some((each) => one.what.has(each)));
  }
  // The milliseconds between two times in which all of `needed` was there.
  presentMs(from, to, needed) {
    let present = 0, at = from;
    for (const one of this.during(from, to, needed).sort((a, b) => a.from - b.from)) {
      present += Math.max(0, one.from - at);
      at = Math.max(at, one.to);
    }
    return present + Math.max(0, to - at);
  }
}
