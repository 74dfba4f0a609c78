#!/usr/bin/env node
// Makes the README's picture of the page: the map of the demo dataset at the boundary of two documents.
//
//     npm ci --prefix tests/browser
//     ultrapack pack recipes/demo.yaml && ultrapack inspect out/demo --html page.html
//     ULTRAPACK_BROWSER=/usr/bin/chromium-headless-shell scripts/page_picture.mjs page.html docs/page.png

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const { chromium } = createRequire(new URL('../tests/browser/package.json', import.meta.url))('playwright-core');

/** Where the novel in sequence 1 ends and the next document begins. */
const [SEQUENCE, SEAM, SPAN] = [1, 92_679, 28];

const [page, picture] = process.argv.slice(2);
if (!picture) {
  console.error('usage: scripts/page_picture.mjs PAGE PICTURE');
  process.exit(2);
}
const executablePath = process.env.ULTRAPACK_BROWSER ?? '/usr/bin/chromium-headless-shell';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
const tab = await browser.newPage({ viewport: { width: 1320, height: 1200 }, colorScheme: 'light' });
const start = SEAM - SPAN / 2;
await tab.goto(`${pathToFileURL(page).href}#seq=${SEQUENCE}&q=${start}&k=${start}&span=${SPAN}`);
await tab.waitForSelector('html[data-ready]', { state: 'attached' });
const map = tab.locator('#map');
await map.scrollIntoViewIfNeeded();
await tab.waitForTimeout(300);
const { left, size } = JSON.parse(await map.getAttribute('data-shown'));
const at = (position) => left + ((position + 0.5 - start) / SPAN) * size;
await map.hover({ position: { x: at(SEAM - 4), y: at(SEAM + 3) } });
await tab.waitForTimeout(400);
await tab.locator('.map').screenshot({ path: picture });
await browser.close();
