// Positions, documents and, from close by, tokens along one side of the map.

class Ruler {
  constructor(painter, axis) {
    Object.assign(this, { painter, axis, c: painter.context });
  }

  /** Documents first: for them the canvas is turned, so that both rulers are drawn as the upper one. */
  draw(cursor) {
    const { c, painter } = this;
    const { view, ratio, left, size } = painter;
    c.save();
    if (this.axis === 'query') c.transform(0, 1, 1, 0, 0, 0);
    c.beginPath();
    c.rect(left - 1, 0, size + 2, left);
    c.clip();
    this.documents();
    c.restore();
    if (painter.scale >= READABLE * ratio && view.sequence.indices) this.tokens(cursor);
    else this.ticks(cursor);
  }

  documents() {
    const { c, painter } = this;
    const { left, ratio, palette, view } = painter;
    const [top, height] = [left - (STRIP + 3) * ratio, STRIP * ratio];
    for (const [s, from, to] of painter.inSight(this.axis)) {
      c.fillStyle = palette[s % palette.length];
      // The hair between neighbours goes where there is no room for it.
      const gap = to - from > 4 * ratio ? ratio : 0;
      c.fillRect(from, top, Math.max(to - from - gap, 1), height);
      const [a, b] = [Math.max(from, left), Math.min(to, left + painter.size)];
      if (b - a < 11 * ratio) continue;
      c.save();
      c.translate((a + b) / 2, top + height / 2);
      if (this.axis === 'query') c.transform(0, 1, 1, 0, 0, 0);
      c.fillStyle = painter.inks[s % palette.length];
      c.font = `600 ${10 * ratio}px ui-monospace, monospace`;
      c.textAlign = 'center';
      c.textBaseline = 'middle';
      c.fillText(view.sequence.letters[s], 0, 0.5 * ratio);
      c.restore();
    }
  }

  /** Start of a token along the axis, in pixels. */
  at(position) {
    return this.axis === 'key' ? this.painter.x(position) : this.painter.y(position);
  }

  ticks() {
    const { c, painter } = this;
    const { ratio, left, size, view, colors } = painter;
    const step = niceStep((view.span * 64 * ratio) / size);
    c.font = `${11 * ratio}px system-ui, sans-serif`;
    const edge = left - (STRIP + 7) * ratio;
    const start = view[this.axis];
    const last = Math.min(start + view.span, view.sequence.length);
    for (let n = Math.ceil(start / step) * step; n <= last; n += step) {
      const at = Math.round(this.at(n));
      c.fillStyle = colors.line;
      const tick = 5 * ratio;
      if (this.axis === 'key') c.fillRect(at, edge - tick + 3 * ratio, 1, tick);
      else c.fillRect(edge - tick + 3 * ratio, at, tick, 1);
      c.fillStyle = colors.muted;
      const text = position(n, step);
      // Labels at both ends stay within the map.
      const half = c.measureText(text).width / 2;
      if (this.axis === 'key') {
        c.textAlign = 'center';
        c.textBaseline = 'bottom';
        c.fillText(text, Math.min(Math.max(at, left + half - 2), left + size - half), edge - 4 * ratio);
      } else {
        c.textAlign = 'right';
        c.textBaseline = 'middle';
        c.fillText(text, edge - 4 * ratio, Math.min(Math.max(at, left + 4 * ratio), left + size - 5 * ratio));
      }
    }
  }

  /** The text of each token, outward from the map. */
  tokens(cursor) {
    const { c, painter } = this;
    const { ratio, left, size, view, colors, scale } = painter;
    const edge = left - (STRIP + 6) * ratio;
    c.save();
    c.beginPath();
    if (this.axis === 'key') c.rect(left, 0, size, edge + ratio);
    else c.rect(0, left, edge + ratio, size);
    c.clip();
    c.font = `${11 * ratio}px ui-monospace, monospace`;
    c.textBaseline = 'middle';
    const room = Math.floor((edge - 3 * ratio) / c.measureText('0').width);
    const end = Math.min(view.sequence.length, Math.ceil(view[this.axis] + view.span));
    for (let n = Math.max(0, Math.floor(view[this.axis])); n < end; n++) {
      const text = shortened(view.sequence.token(n).text, room);
      c.fillStyle = cursor && cursor[this.axis] === n ? colors.accent : colors.muted;
      c.save();
      if (this.axis === 'key') {
        c.translate(this.at(n) + scale / 2, edge);
        c.rotate(-Math.PI / 2);
        c.textAlign = 'left';
      } else {
        c.translate(edge, this.at(n) + scale / 2);
        c.textAlign = 'right';
      }
      c.fillText(text, 0, 0);
      c.restore();
    }
    c.restore();
  }
}

/** A token in as many characters: the space before a word goes first. */
function shortened(text, room) {
  const characters = [...(text.trim() || '␣')];
  return characters.length > room ? `${characters.slice(0, room - 1).join('')}…` : characters.join('');
}

/** The smallest round number of tokens that is at least `least`: 1, 2, 5, 10 … and powers of two above
 * 512, as lengths are. */
function niceStep(least) {
  if (least > 512) return 2 ** Math.ceil(Math.log2(least));
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least);
}

function position(n, step) {
  return step >= 1024 && n % 1024 === 0 ? (n === 0 ? '0' : `${n / 1024}K`) : count(n);
}
