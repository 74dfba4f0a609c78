// Sequences as they are embedded: see `payload.rs` for how they are encoded.

const decoder = new TextDecoder();

/** Inflates the payload `part` of a sequence; null if it is not embedded. */
async function inflate(part, sequence) {
  const element = document.querySelector(
    `script[data-part="${part}"][data-sequence="${sequence}"]`,
  );
  if (!element) return null;
  const packed = Uint8Array.from(atob(element.textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** One sequence: its segments by position, and its tokens once they are there. */
class Sequence {
  static #known = new Map();

  /** The sequence with this number; inflated once. */
  static async open(number) {
    if (!Sequence.#known.has(number)) {
      const layout = JSON.parse(decoder.decode(await inflate('layout', number)));
      Sequence.#known.set(number, new Sequence(number, layout));
    }
    return Sequence.#known.get(number);
  }

  constructor(number, layout) {
    Object.assign(this, layout, { number, letters: [...layout.letters], nSegments: layout.offset.length });
    this.length = layout.seq_len;
    this.words = null;
    this.indices = null;
  }

  end(segment) {
    return this.offset[segment] + this.len[segment];
  }

  /** The first segment that ends behind `position`; `nSegments` if there is none. */
  firstBehind(position) {
    let [low, high] = [0, this.nSegments];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.end(middle) > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The segment at a position; -1 for padding. */
  segmentAt(position) {
    const segment = this.firstBehind(position);
    return segment < this.nSegments && this.offset[segment] <= position ? segment : -1;
  }

  /** `same`, `across`, `masked` or `padding`: what becomes of a pair. */
  pair(query, key) {
    const [q, k] = [this.segmentAt(query), this.segmentAt(key)];
    if (q < 0 || k < 0) return 'padding';
    if (q === k) return 'same';
    return this.full_attention ? 'across' : 'masked';
  }

  /** Inflates the tokens; false if they are not embedded. */
  async loadTokens() {
    this.loading ??= this.#inflateTokens();
    return this.loading;
  }

  async #inflateTokens() {
    const bytes = await inflate('tokens', this.number);
    if (!bytes) return false;
    const split = 4 + new DataView(bytes.buffer).getUint32(0, true);
    const words = JSON.parse(decoder.decode(bytes.subarray(4, split)));
    const indices = new Uint32Array(this.length);
    for (let at = split, n = 0; n < this.length; n++) {
      let [value, shift] = [0, 0];
      for (;;) {
        const byte = bytes[at++];
        value |= (byte & 0x7f) << shift;
        shift += 7;
        if (byte < 0x80) break;
      }
      indices[n] = value;
    }
    [this.words, this.indices] = [words, indices];
    return true;
  }

  /** Id and text of the token at a position; null before they are inflated. */
  token(position) {
    if (!this.indices) return null;
    const index = this.indices[position];
    return { id: this.words.id[index], text: this.words.text[index] };
  }

  /** Source, file, record and bytes of a segment's document, as far as they are known. */
  whereFrom(segment) {
    if (this.place[segment] < 0) return `document ${count(this.document[segment])}`;
    const [source, file] = this.places[this.place[segment]];
    const range = this.bytes[segment];
    const bytes = range ? `, bytes ${count(range[0])}–${count(range[1])}` : '';
    return `${source} · ${file} · record ${count(this.record[segment])}${bytes}`;
  }
}

/** `1234567` as `1,234,567`. */
function count(n) {
  return Math.round(n).toLocaleString('en-US');
}
