// Draws the map: rectangles of segments, never pairs of tokens, so that the work grows with what is in
// sight and not with the square of the sequence.

/** Space for the rulers, in CSS pixels: left and on top; less on a phone. */
const MARGIN = 78;
const SMALL_MARGIN = 54;
/** Width of the strip of documents along the rulers. */
const STRIP = 12;
/** From here on tokens have room for their text, in CSS pixels per token. */
const READABLE = 13;

class Painter {
  constructor(canvas, view) {
    Object.assign(this, { canvas, view, context: canvas.getContext('2d', { alpha: false }) });
    this.palette = document.getElementById('map').dataset.palette.split(' ');
    this.inks = this.palette.map(inkOn);
    this.theme();
  }

  /** Reads the colours of the theme again. */
  theme() {
    // A variable may be a `light-dark()` that only a property resolves.
    const color = (name) => {
      this.canvas.style.color = `var(${name})`;
      return getComputedStyle(this.canvas).color;
    };
    this.colors = {
      paper: color('--card'), ink: color('--ink'), muted: color('--muted'), line: color('--line'),
      masked: color('--masked'), across: color('--across'), padding: color('--padding'), hatch: color('--hatch'),
      hatched: color('--hatched'),
      accent: color('--accent'),
    };
    this.hatch = null;
  }

  /** Fits the canvas to its element; a pixel of the screen is a pixel of the canvas. */
  resize() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    if (this.canvas.width !== width || this.canvas.height !== width) {
      this.canvas.width = this.canvas.height = width;
      this.hatch = null;
    }
    this.ratio = ratio;
    const margin = this.canvas.clientWidth > 560 ? MARGIN : SMALL_MARGIN;
    this.left = Math.round(margin * ratio);
    this.size = Math.max(1, width - this.left - 1);
  }

  /** Pixels per token. */
  get scale() {
    return this.size / this.view.span;
  }

  x(key) {
    return this.left + (key - this.view.key) * this.scale;
  }

  y(query) {
    return this.left + (query - this.view.query) * this.scale;
  }

  /** The pair under a point of the element; null beside the mask. */
  pairAt(x, y) {
    const at = (offset, start) => Math.floor(start + ((offset * this.ratio - this.left) / this.size) * this.view.span);
    const [key, query] = [at(x, this.view.key), at(y, this.view.query)];
    const inside = (value) => value >= 0 && value < this.view.sequence.length;
    const beside = x * this.ratio < this.left || y * this.ratio < this.left;
    return beside || !inside(key) || !inside(query) ? null : { query, key };
  }

  /** Shares of the mask's area at a point of the element. */
  shares(x, y) {
    const share = (value) => Math.min(Math.max((value * this.ratio - this.left) / this.size, 0), 1);
    return [share(x), share(y)];
  }

  draw(cursor) {
    const { context: c, colors, left, size } = this;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.fillStyle = colors.paper;
    c.fillRect(0, 0, this.canvas.width, this.canvas.height);
    c.save();
    c.beginPath();
    c.rect(left, left, size, size);
    c.clip();
    this.body();
    this.grid();
    this.crosshair(cursor);
    c.restore();
    c.strokeStyle = colors.line;
    c.lineWidth = 1;
    c.strokeRect(left - 0.5, left - 0.5, size + 1, size + 1);
    new Ruler(this, 'key').draw(cursor);
    new Ruler(this, 'query').draw(cursor);
  }

  /** The mask itself. */
  body() {
    const { context: c, colors, left, size } = this;
    c.fillStyle = this.view.sequence.full_attention ? colors.across : colors.masked;
    c.fillRect(left, left, size, size);
    this.blocks();
    this.padding('key');
    this.padding('query');
  }

  /** Segments in sight along an axis, as [segment, from, to] in pixels. Of segments that begin within the
   * same pixel only the first is given: a thousand of them look like one. */
  *inSight(axis) {
    const { sequence, span } = this.view;
    const start = this.view[axis];
    const { scale, left } = this;
    let drawn = -1;
    for (let s = sequence.firstBehind(start); s < sequence.nSegments; s++) {
      const from = left + (sequence.offset[s] - start) * scale;
      if (sequence.offset[s] >= start + span) break;
      const to = from + sequence.len[s] * scale;
      if (to - from < 1) {
        if (Math.floor(from) === drawn) continue;
        drawn = Math.floor(from);
      }
      yield [s, from, to];
    }
  }

  blocks() {
    const { context: c, palette } = this;
    const [right, bottom] = [this.left + this.size, this.left + this.size];
    const shift = (this.view.key - this.view.query) * this.scale;
    for (const [s, from, to] of this.inSight('key')) {
      // A block is square, and the smallest can still be seen.
      const side = Math.max(to - from, 1.5 * this.ratio);
      const top = from + shift;
      if (top >= bottom || top + side <= this.left) continue;
      c.fillStyle = palette[s % palette.length];
      c.fillRect(from, top, side, side);
      this.name(s, from, top, side, right, bottom);
    }
  }

  /** The letter of a block in the middle of what is in sight of it. */
  name(segment, x, y, side, right, bottom) {
    const [x0, y0] = [Math.max(x, this.left), Math.max(y, this.left)];
    const room = Math.min(Math.min(x + side, right) - x0, Math.min(y + side, bottom) - y0);
    if (room < 20 * this.ratio) return;
    const { context: c } = this;
    c.fillStyle = this.inks[segment % this.inks.length];
    c.font = `600 ${Math.min(room * 0.5, 22 * this.ratio)}px ui-monospace, monospace`;
    c.textAlign = 'center';
    c.textBaseline = 'middle';
    const [x1, y1] = [Math.min(x + side, right), Math.min(y + side, bottom)];
    c.fillText(this.view.sequence.letters[segment], (x0 + x1) / 2, (y0 + y1) / 2);
  }

  /** How much of each pixel along an axis is padding, 0 to 1. */
  coverage(axis) {
    const { sequence, span } = this.view;
    const start = this.view[axis];
    const { scale } = this;
    const covered = new Float32Array(this.size);
    const add = (from, to) => {
      const a = Math.max((from - start) * scale, 0);
      const b = Math.min((to - start) * scale, this.size);
      for (let pixel = Math.floor(a); pixel < b; pixel++) {
        covered[pixel] += Math.min(b, pixel + 1) - Math.max(a, pixel);
      }
    };
    let s = sequence.firstBehind(start);
    let end = s > 0 ? sequence.end(s - 1) : 0;
    for (; s < sequence.nSegments && end < start + span; s++) {
      if (sequence.offset[s] > end) add(end, sequence.offset[s]);
      end = sequence.end(s);
    }
    if (s === sequence.nSegments && end < sequence.length) add(end, sequence.length);
    return covered;
  }

  /** Hatches the rows or the columns of padding, fainter where a pixel holds other tokens too. */
  padding(axis) {
    const { context: c, left, size } = this;
    const covered = this.coverage(axis);
    this.hatch ??= this.hatched();
    for (let from = 0; from < size; ) {
      const share = covered[from];
      let to = from + 1;
      while (to < size && covered[to] === share) to++;
      if (share > 0.01) {
        c.globalAlpha = Math.min(share, 1);
        // A line or two of a hatch are a shade, and a shade is drawn much faster.
        c.fillStyle = to - from > 2 ? this.hatch : this.colors.hatched;
        if (axis === 'key') c.fillRect(left + from, left, to - from, size);
        else c.fillRect(left, left + from, size, to - from);
      }
      from = to;
    }
    c.globalAlpha = 1;
  }

  hatched() {
    const tile = document.createElement('canvas');
    const side = (tile.width = tile.height = Math.round(8 * this.ratio));
    const c = tile.getContext('2d');
    c.fillStyle = this.colors.padding;
    c.fillRect(0, 0, side, side);
    c.strokeStyle = this.colors.hatch;
    c.lineWidth = Math.max(1, this.ratio);
    c.beginPath();
    for (const shift of [-side, 0, side]) {
      c.moveTo(shift - 1, side + 1);
      c.lineTo(shift + side + 1, -1);
    }
    c.stroke();
    return this.context.createPattern(tile, 'repeat');
  }

  /** Lines between tokens when they are large enough to be told apart. */
  grid() {
    if (this.scale < 8 * this.ratio) return;
    const { context: c, left, size, view } = this;
    c.globalAlpha = Math.min((this.scale / this.ratio - 8) / 16, 1) * 0.35;
    c.fillStyle = this.colors.paper;
    for (let i = 0; i <= view.span + 1; i++) {
      c.fillRect(Math.round(this.x(Math.floor(view.key) + i)), left, 1, size);
      c.fillRect(left, Math.round(this.y(Math.floor(view.query) + i)), size, 1);
    }
    c.globalAlpha = 1;
  }

  crosshair(cursor) {
    if (!cursor) return;
    const { context: c, left, size } = this;
    const wide = Math.max(this.scale, this.ratio);
    c.globalAlpha = 0.16;
    c.fillStyle = this.colors.ink;
    c.fillRect(this.x(cursor.key), left, wide, size);
    c.fillRect(left, this.y(cursor.query), size, wide);
    c.globalAlpha = 1;
    if (wide < 5 * this.ratio) return;
    c.strokeStyle = this.colors.ink;
    c.lineWidth = 2 * this.ratio;
    c.strokeRect(this.x(cursor.key), this.y(cursor.query), wide, wide);
  }
}

/** Black or white, whichever is easier to read on a colour. */
function inkOn(color) {
  const channel = (at) => (Number.parseInt(color.slice(at, at + 2), 16) / 255) ** 2.2;
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5) > 0.22 ? '#111' : '#fff';
}
