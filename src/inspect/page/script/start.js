// Puts the page to work: whatever is above is defined, nothing has run yet.

performance.mark('script');
for (const holder of document.querySelectorAll('details.numbers')) addTools(holder);

const canvas = document.getElementById('map');
const sequences = [...document.querySelectorAll('script[data-part="layout"]')].map((it) => it.dataset.sequence);
const map = canvas && sequences.length > 0 ? new MaskMap(canvas) : null;

listenToTheme(() => map?.theme());
listenToPrint(() => map?.theme());

/** Sequence and view of the address; the one chosen already if it names none that is here. */
function openAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const named = parameters.get('seq');
  return sequences.includes(named) ? map.open(named, parameters) : map.open(map.choice.value);
}

if (map) {
  const opened = openAddress();
  map.choice.addEventListener('change', () => map.open(map.choice.value));
  document.getElementById('go').addEventListener('submit', (event) => {
    event.preventDefault();
    map.goToText(document.getElementById('go-to').value);
  });
  document.getElementById('go-to').addEventListener('input', (event) => event.target.setCustomValidity(''));
  document.getElementById('zoom-in').addEventListener('click', () => map.zoom(1.5));
  document.getElementById('zoom-out').addEventListener('click', () => map.zoom(1 / 1.5));
  document.getElementById('zoom-fit').addEventListener('click', () => map.whole());
  document.getElementById('help-open').addEventListener('click', () => map.help());
  document.querySelector('details.segments').addEventListener('toggle', () => map.fillTable());
  addEventListener('hashchange', openAddress);
  await opened;
  listenToKeys(map);
  listenToPointers(map);
  listenToMinimap(map);
  new ResizeObserver(() => map.resize()).observe(canvas);
  await map.reading;
}
document.documentElement.dataset.ready = '';
