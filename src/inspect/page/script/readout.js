// What lies under the cursor: both tokens with their documents and the text around them, and the facts
// of the sequence. Text goes through `textContent` only.

/** Tokens of text shown on either side. */
const CONTEXT = 16;

/** An element with a class and children; strings become text. */
function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

const VERDICTS = {
  same: ['attends', 'both tokens are of the same document'],
  across: ['attends', 'across documents: this sequence has full attention'],
  masked: ['masked', 'the tokens are of different documents'],
  padding: ['padding', 'nothing attends to padding, and padding attends to nothing'],
};

class Readout {
  constructor(canvas) {
    const { eod, pad, mask } = canvas.dataset;
    this.flags = new Map([[Number(eod), 'eod']]);
    if (mask !== undefined) this.flags.set(Number(mask), 'mask');
    this.pad = Number(pad);
    this.palette = canvas.dataset.palette.split(' ');
    this.pair = document.getElementById('pair');
    this.ends = ['query', 'key'].map((side) => [side, document.querySelector(`[data-side="${side}"]`)]);
    this.shown = '';
  }

  /** Shows a pair, unless it is shown already. */
  show(sequence, cursor) {
    const key = `${sequence.number} ${cursor.query} ${cursor.key} ${Boolean(sequence.indices)}`;
    if (key === this.shown) return;
    this.shown = key;
    const kind = sequence.pair(cursor.query, cursor.key);
    const [word, why] = VERDICTS[kind];
    this.pair.replaceChildren(element('b', `verdict ${kind}`, word), ` ${why}`);
    this.pair.dataset.pair = kind;
    for (const [side, end] of this.ends) this.showEnd(sequence, side, end, cursor[side]);
  }

  showEnd(sequence, side, end, position) {
    const segment = sequence.segmentAt(position);
    const [title, where, text] = end.children;
    const chip = segment < 0 ? element('span', 'chip padding', '▨') : this.chip(sequence, segment);
    title.replaceChildren(chip, ` ${side} `, element('b', '', count(position)));
    if (segment < 0) {
      where.textContent = 'padding';
    } else {
      const within = sequence.start[segment] + position - sequence.offset[segment];
      where.textContent = `token ${count(within)} of ${sequence.whereFrom(segment)}`;
    }
    end.dataset.position = position;
    if (!sequence.indices) {
      text.replaceChildren(element('i', '', sequence.bare ? 'The tokens are not embedded.' : '…'));
      return;
    }
    const [from, to] = [Math.max(0, position - CONTEXT), Math.min(sequence.length, position + CONTEXT + 1)];
    const parts = [];
    for (let at = from, before = null; at < to; at++) {
      const here = sequence.segmentAt(at);
      if (before !== null && here !== before) parts.push(element('span', 'seam', '‖'));
      before = here;
      parts.push(this.token(sequence, at, here, at === position));
    }
    text.replaceChildren(...parts);
  }

  chip(sequence, segment) {
    const chip = element('span', 'chip', sequence.letters[segment]);
    const color = this.palette[segment % this.palette.length];
    chip.style.background = color;
    chip.style.color = inkOn(color);
    return chip;
  }

  token(sequence, at, segment, current) {
    const { id, text } = sequence.token(at);
    const flag = segment < 0 ? 'padding' : this.flags.get(id);
    const span = element('span', `tok${flag ? ` ${flag}` : ''}${current ? ' current' : ''}`, text);
    span.dataset.at = at;
    span.dataset.id = id;
    if (segment >= 0) span.dataset.segment = segment;
    span.title = `${count(at)} · id ${id}${flag ? ` · ${flag}` : ''}`;
    return span;
  }

  /** The facts of a sequence beside the minimap. */
  facts(sequence) {
    let pairs = 0;
    for (const len of sequence.len) pairs += len * len;
    if (sequence.full_attention) pairs = sequence.n_tokens ** 2;
    const facts = [
      ['Sequence', `#${count(sequence.number)} in ${sequence.shard}`],
      ['Attention', sequence.full_attention ? 'full' : 'within documents'],
      ['Density', `${((100 * pairs) / sequence.length ** 2).toFixed(2)} % of dense`],
      ['Documents', count(sequence.nSegments)],
      ['Tokens', `${count(sequence.n_tokens)} of ${count(sequence.length)}`],
    ];
    const rows = facts.map(([name, value]) => element('div', '', element('dt', '', name), element('dd', '', value)));
    document.getElementById('facts').replaceChildren(...rows);
    document.getElementById('legend-across').hidden = !sequence.full_attention;
  }

  /** The table of a sequence's documents; each row leads to its place on the map. */
  table(sequence, go) {
    const head = ['', 'offset', 'tokens', 'document', 'from token', 'where from'];
    const body = element('tbody', '');
    for (let s = 0; s < sequence.nSegments; s++) {
      const button = element('button', 'row', this.chip(sequence, s));
      button.type = 'button';
      button.setAttribute('aria-label', `Show document ${sequence.letters[s]} at ${sequence.offset[s]} on the map`);
      button.addEventListener('click', () => go(s));
      const numbers = [sequence.offset[s], sequence.len[s], sequence.document[s], sequence.start[s]];
      body.append(
        element(
          'tr', '',
          element('th', '', button),
          ...numbers.map((n) => element('td', '', count(n))),
          element('td', 'text', sequence.whereFrom(s)),
        ),
      );
    }
    const titles = head.map((title, column) => element('th', column === 5 ? 'text' : '', title));
    const table = element('table', '', element('thead', '', element('tr', '', ...titles)), body);
    table.dataset.name = `sequence-${sequence.number}`;
    return table;
  }
}
