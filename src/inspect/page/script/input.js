// Wheel, pointers and keys on the map and its minimap.

/** What the keys do to the map. */
const KEYS = {
  ArrowLeft: (map, step) => map.pan(-step, 0),
  ArrowRight: (map, step) => map.pan(step, 0),
  ArrowUp: (map, step) => map.pan(0, -step),
  ArrowDown: (map, step) => map.pan(0, step),
  '+': (map) => map.zoom(1.5),
  '=': (map) => map.zoom(1.5),
  '-': (map) => map.zoom(1 / 1.5),
  _: (map) => map.zoom(1 / 1.5),
  0: (map) => map.whole(),
  g: (map) => map.askToken(),
  '[': (map) => map.neighbour(-1),
  ']': (map) => map.neighbour(1),
  n: (map) => map.nextSequence(1),
  p: (map) => map.nextSequence(-1),
  '?': (map) => map.help(),
};

/** Keys work around the map and while nothing else has the focus, but not in fields; arrows on the map only. */
function listenToKeys(map) {
  document.addEventListener('keydown', (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest('input, select, dialog')) return;
    if (target !== document.body && !target.closest('#mask')) return;
    if (key.startsWith('Arrow') && target !== map.canvas) return;
    const act = KEYS[key];
    if (!act) return;
    event.preventDefault();
    act(map, event.shiftKey ? 1 / map.view.span : 1 / 8);
  });
  document.getElementById('go-to').addEventListener('keydown', (event) => {
    if (event.key === 'Escape') map.canvas.focus();
  });
}

/** One pointer drags, two pinch; without a button the cursor follows. */
function listenToPointers(map) {
  const { canvas } = map;
  const pointers = new Map();
  const place = (event) => [event.offsetX, event.offsetY];
  const middle = () => {
    const [a, b = a] = [...pointers.values()];
    return { x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, apart: Math.hypot(a[0] - b[0], a[1] - b[1]) };
  };

  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, place(event));
    canvas.setPointerCapture(event.pointerId);
    canvas.classList.add('dragging');
    map.pointAt(...place(event));
  });
  canvas.addEventListener('pointermove', (event) => {
    if (!pointers.has(event.pointerId)) {
      map.pointAt(...place(event));
      return;
    }
    const before = middle();
    pointers.set(event.pointerId, place(event));
    const now = middle();
    map.drag(now.x - before.x, now.y - before.y);
    if (before.apart > 0 && now.apart > 0) map.zoomAt(now.apart / before.apart, now.x, now.y);
  });
  const release = (event) => {
    pointers.delete(event.pointerId);
    if (pointers.size === 0) canvas.classList.remove('dragging');
  };
  canvas.addEventListener('pointerup', release);
  canvas.addEventListener('pointercancel', release);
  canvas.addEventListener('dblclick', (event) => map.zoomAt(3, ...place(event)));
  canvas.addEventListener(
    'wheel',
    (event) => {
      // Zooming out of the whole is scrolling on.
      if (map.view.isWhole && event.deltaY > 0) return;
      event.preventDefault();
      const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
      map.zoomAt(Math.exp(-Math.max(-240, Math.min(240, pixels)) * 0.0025), ...place(event));
    },
    { passive: false },
  );
}

/** A click or a drag on the minimap moves the view there. */
function listenToMinimap(map) {
  const { canvas } = map.minimap;
  const go = (event) => {
    if (event.buttons !== 1) return;
    canvas.setPointerCapture(event.pointerId);
    const share = (at, side) => Math.floor(Math.min(Math.max(at / side, 0), 0.9999999) * map.sequence.length);
    map.centre(share(event.offsetY, canvas.clientHeight), share(event.offsetX, canvas.clientWidth));
  };
  canvas.addEventListener('pointerdown', go);
  canvas.addEventListener('pointermove', go);
}
