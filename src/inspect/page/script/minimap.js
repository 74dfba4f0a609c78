// The whole sequence, small, with a frame around what is in sight.

class Minimap {
  constructor(canvas, painter) {
    Object.assign(this, { canvas, painter, context: canvas.getContext('2d') });
    this.forget();
  }

  /** Draws the mask again next time. */
  forget() {
    this.mask = null;
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const side = Math.round(this.canvas.clientWidth * ratio);
    if (this.canvas.width === side) return;
    this.canvas.width = this.canvas.height = side;
    this.forget();
  }

  draw() {
    const { context: c, canvas, painter } = this;
    const { view, colors, ratio } = painter;
    if (canvas.width === 0) return;
    this.mask ??= this.whole();
    c.drawImage(this.mask, 0, 0);
    const scale = canvas.width / view.sequence.length;
    const side = Math.max(view.span * scale, 5 * ratio);
    const middle = view.middle.map((at) => at * scale);
    const [y, x] = middle.map((at) => Math.min(Math.max(at - side / 2, 0), canvas.width - side));
    c.strokeStyle = colors.ink;
    c.lineWidth = 1.5 * ratio;
    c.strokeRect(x + c.lineWidth / 2, y + c.lineWidth / 2, side - c.lineWidth, side - c.lineWidth);
  }

  /** The mask of the whole sequence as a picture. */
  whole() {
    const { canvas, painter } = this;
    const picture = document.createElement('canvas');
    const size = (picture.width = picture.height = canvas.width);
    const small = Object.create(painter, {
      context: { value: picture.getContext('2d') },
      view: { value: new View(painter.view.sequence) },
      left: { value: 0 },
      size: { value: size },
      name: { value: () => {} },
    });
    small.body();
    return picture;
  }
}
