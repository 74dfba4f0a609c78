// The map: one sequence, a view of it, and everything that shows the view.

/** Tokens across the map after going to one. */
const NEAR = 48;

class MaskMap {
  constructor(canvas) {
    this.canvas = canvas;
    this.readout = new Readout(canvas);
    this.choice = document.getElementById('sequence');
    this.cursor = null;
    this.frames = 0;
  }

  /** Shows a sequence, at the view that the address names or as a whole. */
  async open(number, parameters = new URLSearchParams()) {
    this.wanted = number;
    const sequence = await Sequence.open(number);
    // Somebody may have chosen another in the meantime.
    if (this.wanted !== number) return;
    this.sequence = sequence;
    this.view = new View(sequence);
    this.view.fromHash(parameters);
    this.choice.value = String(number);
    this.cursor = null;
    if (!this.painter) {
      this.painter = new Painter(this.canvas, this.view);
      this.minimap = new Minimap(document.getElementById('minimap'), this.painter);
    }
    this.painter.view = this.view;
    this.minimap.forget();
    this.readout.facts(sequence);
    this.fillTable();
    this.resize();
    this.paint();
    performance.mark('drawn');
    this.reading = this.read(sequence);
  }

  /** Inflates the tokens behind what is drawn already. */
  async read(sequence) {
    sequence.bare = !(await sequence.loadTokens());
    performance.mark('read');
    this.readout.shown = '';
    if (this.sequence === sequence) this.paint();
  }

  resize() {
    this.painter.resize();
    this.minimap.resize();
    this.changed();
  }

  /** Draws in the colours of the theme at once: a printer does not wait for a frame. */
  theme() {
    this.painter.theme();
    this.minimap.forget();
    this.paint();
  }

  /** Draws before the next frame, however much changes until then. */
  changed() {
    this.asked ??= requestAnimationFrame(() => this.paint());
  }

  paint() {
    if (this.asked) cancelAnimationFrame(this.asked);
    this.asked = null;
    const cursor = this.cursor ?? this.middle();
    this.painter.draw(this.cursor);
    this.minimap.draw();
    this.readout.show(this.sequence, cursor);
    this.canvas.style.touchAction = this.view.isWhole ? 'pan-y' : 'none';
    this.frames += 1;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settled(), 120);
  }

  /** The view stands still: the address may follow. */
  settled() {
    const hash = this.view.toHash();
    if (location.hash !== hash) history.replaceState(null, '', hash);
    const { left, size, ratio } = this.painter;
    this.canvas.dataset.shown = JSON.stringify({
      sequence: this.sequence.number,
      query: this.view.query, key: this.view.key, span: this.view.span,
      left: left / ratio, size: size / ratio, frames: this.frames,
    });
  }

  middle() {
    const [query, key] = this.view.middle.map((at) => Math.min(Math.floor(at), this.sequence.length - 1));
    return { query, key };
  }

  pointAt(x, y) {
    this.cursor = this.painter.pairAt(x, y) ?? this.cursor;
    this.changed();
  }

  drag(x, y) {
    const perPixel = this.painter.ratio / this.painter.size;
    this.view.move(-x * perPixel, -y * perPixel);
    this.changed();
  }

  zoomAt(factor, x, y) {
    this.view.zoom(factor, ...this.painter.shares(x, y));
    this.cursor = this.painter.pairAt(x, y) ?? this.cursor;
    this.changed();
  }

  /** Zooms around the cursor if it is in sight, else around the middle. */
  zoom(factor) {
    const { query, key, span } = this.view;
    const share = (at, start) => (at + 0.5 - start) / span;
    const at = this.cursor && [share(this.cursor.key, key), share(this.cursor.query, query)];
    const inSight = at && at.every((share) => share >= 0 && share <= 1);
    this.view.zoom(factor, ...(inSight ? at : [0.5, 0.5]));
    this.changed();
  }

  /** Moves the view by shares of it, the cursor to its middle. */
  pan(x, y) {
    this.view.move(x, y);
    this.cursor = this.middle();
    this.changed();
  }

  centre(query, key) {
    this.view.show(query, key);
    this.changed();
  }

  whole() {
    this.view.whole();
    this.changed();
  }

  /** Goes to a pair, close enough to read. */
  go(query, key) {
    this.view.show(query, key, NEAR);
    this.cursor = { query, key };
    this.changed();
    this.canvas.focus({ preventScroll: true });
  }

  askToken() {
    const field = document.getElementById('go-to');
    field.focus();
    field.select();
  }

  goToText(text) {
    const numbers = text.split(/[^\d,]+|,(?!\d{3}(?!\d))/).filter(Boolean).map((part) => Number(part.replaceAll(',', '')));
    const [query, key = query] = numbers;
    const field = document.getElementById('go-to');
    const good = numbers.length > 0 && [query, key].every((n) => n < this.sequence.length);
    field.setCustomValidity(good ? '' : `a position from 0 to ${this.sequence.length - 1}, or two`);
    if (good) this.go(query, key);
    else field.reportValidity();
  }

  /** Shows the previous or the next document on the diagonal. */
  neighbour(step) {
    const at = (this.cursor ?? this.middle()).query;
    const here = this.sequence.segmentAt(at);
    // Between documents, the next is the one ahead.
    const from = here < 0 && step > 0 ? this.sequence.firstBehind(at) - 1 : here < 0 ? this.sequence.firstBehind(at) : here;
    this.showSegment(Math.min(Math.max(from + step, 0), this.sequence.nSegments - 1));
  }

  showSegment(segment) {
    if (this.sequence.nSegments === 0) return;
    this.view.showSegment(segment);
    const middle = this.sequence.offset[segment] + (this.sequence.len[segment] >> 1);
    this.cursor = { query: middle, key: middle };
    this.changed();
  }

  nextSequence(step) {
    const numbers = [...this.choice.options].filter((option) => !option.disabled).map((option) => option.value);
    const at = numbers.indexOf(this.choice.value);
    this.open(numbers[(at + step + numbers.length) % numbers.length]);
  }

  help() {
    document.getElementById('help').showModal();
  }

  /** Makes the table of documents when somebody looks at it. */
  fillTable() {
    const holder = document.getElementById('segments');
    if (!holder.closest('details').open) {
      holder.replaceChildren();
      return;
    }
    holder.replaceChildren(this.readout.table(this.sequence, (segment) => {
      this.showSegment(segment);
      this.canvas.scrollIntoView({ block: 'nearest' });
    }));
    addTools(holder);
  }
}
