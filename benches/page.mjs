#!/usr/bin/env node
// Measures the page of `inspect --html` in a real browser and prints one table.
//
//     npm ci --prefix tests/browser
//     ULTRAPACK_BROWSER=/usr/bin/chromium-headless-shell benches/page.mjs PAGE [SEQUENCE] [--rounds 15]
//
// Loading is measured in fresh contexts, offline, from disk. Zooming turns the wheel once per frame, in
// from the whole sequence to single tokens and out again: a frame that takes longer than the screen waits
// shows as a longer interval. The browser has no GPU here, so that drawing is the processor's work.

import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { chromium } = createRequire(new URL('../tests/browser/package.json', import.meta.url))('playwright-core');

const { values, positionals } = parseArgs({
  options: { rounds: { type: 'string', default: '15' } },
  allowPositionals: true,
});
const [file, sequence] = positionals;
if (!file) {
  console.error('usage: benches/page.mjs PAGE [SEQUENCE] [--rounds N]');
  process.exit(2);
}
const address = pathToFileURL(file).href + (sequence ? `#seq=${sequence}` : '');
const executablePath = process.env.ULTRAPACK_BROWSER ?? '/usr/bin/chromium-headless-shell';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });

async function load() {
  const context = await browser.newContext({ offline: true, viewport: { width: 1440, height: 1000 } });
  const page = await context.newPage();
  await page.goto(address);
  await page.waitForSelector('html[data-ready]', { state: 'attached' });
  const marks = await page.evaluate(() => {
    const at = Object.fromEntries(performance.getEntriesByType('mark').map((mark) => [mark.name, mark.startTime]));
    return { ...at, read: at.read - at.drawn, first: at.drawn - at.script };
  });
  return { context, page, marks };
}

/** Busy milliseconds of the page's main thread so far. */
async function busy(devtools) {
  const { metrics } = await devtools.send('Performance.getMetrics');
  return 1000 * metrics.find((metric) => metric.name === 'TaskDuration').value;
}

async function zoom(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable');
  await page.$eval('#map', (map) => map.scrollIntoView({ block: 'center' }));
  const before = await busy(devtools);
  const intervals = await page.evaluate(async () => {
    const canvas = document.querySelector('#map');
    const frame = () => new Promise(requestAnimationFrame);
    const out = [];
    let last = await frame();
    for (let step = 0; step < 240; step++) {
      const { left, top, width } = canvas.getBoundingClientRect();
      const [clientX, clientY] = [left + width * 0.53, top + width * 0.53];
      const deltaY = step < 120 ? -36 : 36;
      canvas.dispatchEvent(new WheelEvent('wheel', { deltaY, clientX, clientY, cancelable: true, bubbles: true }));
      const now = await frame();
      out.push(now - last);
      last = now;
    }
    return out;
  });
  return { intervals, work: ((await busy(devtools)) - before) / intervals.length };
}

const quantile = (values, share) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
};
const rounds = [];
for (let round = 0; round < Number(values.rounds); round++) {
  const { context, page, marks } = await load();
  rounds.push({ ...marks, ...(await zoom(page)) });
  await context.close();
}
const facts = await (async () => {
  const { context, page } = await load();
  const text = await page.innerText('#facts');
  await context.close();
  return text.replaceAll('\n', ' ');
})();
const version = browser.version();
await browser.close();

const column = (name) => rounds.map((round) => round[name]);
const intervals = rounds.flatMap((round) => round.intervals);
const row = (what, values) =>
  console.log(`${what.padEnd(44)}${[0.5, 0.95, 1].map((q) => quantile(values, q).toFixed(1).padStart(9)).join('')}`);
console.log(`Chromium ${version}, page of ${(statSync(file).size / 1e6).toFixed(2)} MB, ${rounds.length} rounds`);
console.log(facts);
console.log(`${'milliseconds'.padEnd(44)}${['p50', 'p95', 'max'].map((q) => q.padStart(9)).join('')}`);
row('script starts to first draw of the map', column('first'));
row('navigation starts to first draw', column('drawn'));
row('first draw to tokens inflated', column('read'));
row('interval between frames while zooming', intervals);
row('work of the main thread per frame', column('work'));
const late = intervals.filter((interval) => interval > 1.5 * (1000 / 60)).length;
console.log(`frames later than 60 per second allow: ${late} of ${intervals.length}`);
