// The part of a mask that is in sight: a square window, in tokens.

/** Fewest tokens across the map. */
const CLOSEST = 4;

class View {
  constructor(sequence) {
    this.sequence = sequence;
    this.whole();
  }

  whole() {
    [this.query, this.key, this.span] = [0, 0, this.sequence.length];
  }

  get isWhole() {
    return this.span >= this.sequence.length;
  }

  get middle() {
    return [this.query + this.span / 2, this.key + this.span / 2];
  }

  /** Keeps the window within the sequence. */
  clamp() {
    const { length } = this.sequence;
    this.span = Math.min(Math.max(this.span, Math.min(CLOSEST, length)), length);
    this.query = Math.min(Math.max(this.query, 0), length - this.span);
    this.key = Math.min(Math.max(this.key, 0), length - this.span);
  }

  /** Zooms by `factor` (above 1: closer) and keeps the point at the shares `x`, `y` in place. */
  zoom(factor, x = 0.5, y = 0.5) {
    const before = this.span;
    this.span /= factor;
    const { length } = this.sequence;
    this.span = Math.min(Math.max(this.span, Math.min(CLOSEST, length)), length);
    this.key += (before - this.span) * x;
    this.query += (before - this.span) * y;
    this.clamp();
  }

  /** Moves by shares of the window. */
  move(x, y) {
    this.key += x * this.span;
    this.query += y * this.span;
    this.clamp();
  }

  /** Shows the pair in the middle, with at most `span` tokens across. */
  show(query, key, span = this.span) {
    this.span = Math.min(this.span, span);
    this.query = query + 0.5 - this.span / 2;
    this.key = key + 0.5 - this.span / 2;
    this.clamp();
  }

  /** Shows the segment and a little around it. */
  showSegment(segment) {
    const { offset, len } = this.sequence;
    this.span = len[segment] * 1.25;
    this.query = this.key = offset[segment] - len[segment] / 8;
    this.clamp();
  }

  /** The view for the address, exact enough to come back to the same pixels. */
  toHash() {
    const short = (n) => String(Number(n.toFixed(2)));
    const where = this.isWhole
      ? {}
      : { q: short(this.query), k: short(this.key), span: short(this.span) };
    return `#${new URLSearchParams({ seq: this.sequence.number, ...where })}`;
  }

  /** Takes the view from an address; whatever is not a number there is as if it were not given. */
  fromHash(parameters) {
    const number = (name, otherwise) => {
      const value = Number.parseFloat(parameters.get(name));
      return Number.isFinite(value) ? value : otherwise;
    };
    this.span = number('span', this.sequence.length);
    this.query = number('q', 0);
    this.key = number('k', 0);
    this.clamp();
  }
}
