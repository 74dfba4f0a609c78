// The page of `inspect --html` in a real browser, offline. Started by `cargo test`, which says in the
// environment where everything is:
//
//   ULTRAPACK_BROWSER    Chromium                     ULTRAPACK_PAGE       the page
//   ULTRAPACK_PAGE_JSON  `inspect --html … --json`    ULTRAPACK_SEAMS      `--at … --context 16 --json`, several

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const read = (name) => JSON.parse(readFileSync(process.env[name], 'utf8'));
const address = pathToFileURL(process.env.ULTRAPACK_PAGE).href;
const { overview, sequences } = read('ULTRAPACK_PAGE_JSON').inspect;
const seams = read('ULTRAPACK_SEAMS');

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.ULTRAPACK_BROWSER, args: ['--no-sandbox'] });
});
after(() => browser?.close());

/** A page that has drawn its map; whatever goes wrong on it fails the test. */
async function open(t, { hash = '', ...options } = {}) {
  const viewport = { width: 1440, height: 1000 };
  const context = await browser.newContext({ offline: true, viewport, deviceScaleFactor: 1, ...options });
  const page = await context.newPage();
  const seen = { requests: [], problems: [] };
  page.on('request', (request) => seen.requests.push(request.url()));
  page.on('console', (message) => seen.problems.push(message.text()));
  page.on('pageerror', (error) => seen.problems.push(error.stack));
  page.on('dialog', (dialog) => {
    seen.problems.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(seen.problems, []);
    assert.deepEqual(seen.requests.filter((url) => url.split('#')[0] !== address), []);
  });
  await page.goto(address + hash);
  await page.waitForSelector('html[data-ready]', { state: 'attached' });
  return { page, seen };
}

/** What the map says that it shows, once it stands still. */
async function shown(page) {
  let [before, now] = [null, null];
  do {
    await page.waitForTimeout(200);
    [before, now] = [now, await page.getAttribute('#map', 'data-shown')];
  } while (now === null || now !== before);
  return JSON.parse(now);
}

/** Colours of the map's pixels at (query, key), at the middle of each token. */
function colors(page, view, pairs) {
  const points = pairs.map(([query, key]) => {
    const at = (position, start) => view.left + ((position + 0.5 - start) / view.span) * view.size;
    return [at(key, view.key), at(query, view.query)];
  });
  return page.evaluate((points) => {
    const canvas = document.querySelector('#map');
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    return points.map(([x, y]) => {
      const [r, g, b] = copy.getImageData(Math.floor(x), Math.floor(y), 1, 1).data;
      return `#${[r, g, b].map((c) => c.toString(16).padStart(2, '0')).join('')}`;
    });
  }, points);
}

/** The map's colour where the rulers meet: that of the paper. */
async function cornerColor(page, view) {
  const beside = -view.span * 0.06;
  return (await colors(page, { ...view, query: 0, key: 0 }, [[beside, beside]]))[0];
}

function segmentAt(sequence, position) {
  return sequence.segments.findIndex((s) => s.offset <= position && position < s.offset + s.len);
}

/** Puts the cursor on a pair and waits until the readout has it. */
async function goTo(page, text) {
  await page.keyboard.press('g');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'go-to');
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
}

const tokensOf = (page, side) =>
  page.$$eval(`[data-side="${side}"] .tok`, (tokens) =>
    tokens.map(({ textContent, dataset }) => ({
      position: Number(dataset.at),
      id: Number(dataset.id),
      segment: dataset.segment === undefined ? null : Number(dataset.segment),
      text: textContent,
    })),
  );

test('the page loads itself and nothing else', async (t) => {
  const { page, seen } = await open(t);
  assert.equal(seen.requests.length, 1);
  assert.ok(await page.isVisible('#map'));
  assert.equal(await page.evaluate(() => document.querySelectorAll('#map').length), 1);
});

test('everything counted is on the page as often as in the JSON', async (t) => {
  const { page } = await open(t);
  const count = (selector) => page.locator(selector).count();
  assert.equal(await count('.findings li'), overview.findings.length);
  assert.equal(await count('#sequence option'), sequences.length);
  assert.equal(await count('script[data-part="layout"]'), sequences.length);
  assert.equal(await count('script[data-part="tokens"]'), sequences.length);
  assert.equal(await count('table[data-name="context"] tbody tr'), overview.context_kept.length);
  assert.equal(await count('table[data-name="fill"] tbody tr'), overview.fill.profile.length);
  assert.equal(await count('table[data-name="mixture"] tbody tr'), overview.mixture.length);
  assert.equal(await count('table[data-name="ranks"] tbody tr'), overview.attention.ranks.loads.length);
  assert.equal(await count('figure'), await count('figure svg.chart'));
  assert.equal(await count('figure'), await count('figure details.numbers'));
  const placed = page.locator('table[data-name="ledger"] tr', { hasText: '= placed' }).locator('td').last();
  assert.equal((await placed.textContent()).replaceAll(',', ''), String(overview.ledger.tokens_placed));
});

test('every kind of pair has its colour, at every zoom', async (t) => {
  for (const sequence of sequences.slice(0, 4)) {
    const { seq_len: length, segments } = sequence;
    // The whole, and the surroundings of a boundary.
    const seam = segments[Math.min(1, segments.length - 1)].offset;
    for (const span of [length, 24]) {
      const start = Math.min(Math.max(seam - span / 2, 0), length - span);
      const hash = `#seq=${sequence.sequence}&q=${start}&k=${start}&span=${span}`;
      const { page } = await open(t, { hash });
      const view = await shown(page);
      assert.deepEqual([view.query, view.key, view.span], [start, start, span]);
      const [palette, masked, across] = await page.evaluate(() => {
        const canvas = document.querySelector('#map');
        const css = (name) => {
          canvas.style.color = `var(${name})`;
          return '#' + getComputedStyle(canvas).color.match(/\d+/g).map((c) => Number(c).toString(16).padStart(2, '0')).join('');
        };
        return [canvas.dataset.palette.split(' '), css('--masked'), css('--across')];
      });
      // Tokens far enough from a boundary that a pixel holds nothing else; letters and hatches stay
      // clear of them, because a letter is in the middle and these are a fifth from the corner.
      const perPixel = span / view.size;
      const probes = [];
      for (const s of segments) {
        const from = Math.max(s.offset, Math.ceil(start));
        const to = Math.min(s.offset + s.len, Math.floor(start + span));
        if (to - from > 12 * perPixel && to - from >= 2) probes.push(from + Math.floor((to - from) / 5));
      }
      const wanted = [];
      const pairs = [];
      for (const query of probes.slice(0, 12)) {
        for (const key of probes.slice(0, 12)) {
          const [q, k] = [segmentAt(sequence, query), segmentAt(sequence, key)];
          pairs.push([query, key]);
          wanted.push(q === k ? palette[q % palette.length] : sequence.full_attention ? across : masked);
        }
      }
      // The cursor's cross would shade what it covers: there is none yet.
      assert.deepEqual(await colors(page, view, pairs), wanted, `sequence ${sequence.sequence}, span ${span}`);
      assert.ok(pairs.length > 0);
    }
  }
});

test('padding is hatched: two colours, neither of them that of a pair', async (t) => {
  const padded = sequences.find((s) => s.seq_len - s.segments.at(-1).offset - s.segments.at(-1).len >= 24);
  if (!padded) return t.skip('no sequence ends with padding');
  const start = padded.seq_len - 20;
  const { page } = await open(t, { hash: `#seq=${padded.sequence}&q=${start}&k=${start}&span=16` });
  const view = await shown(page);
  const pairs = [];
  for (let at = 0; at < 64; at++) pairs.push([start + 1 + (at % 8) / 7, start + 1 + at / 16]);
  const found = new Set(await colors(page, view, pairs));
  const others = await page.evaluate(() => document.querySelector('#map').dataset.palette.split(' '));
  assert.ok(found.size >= 2, [...found].join());
  assert.ok(!others.some((color) => found.has(color)));
});

test('the cursor shows what `--at` says, at both ends', async (t) => {
  for (const seam of seams) {
    const { page } = await open(t, { hash: `#seq=${seam.sequence}` });
    await goTo(page, String(seam.position));
    await page.waitForSelector(`[data-side="query"][data-position="${seam.position}"] .tok`);
    const wanted = seam.tokens.map(({ position, id, segment, text }) => ({ position, id, segment, text }));
    for (const side of ['query', 'key']) assert.deepEqual(await tokensOf(page, side), wanted);
    const current = seam.tokens.find((token) => token.position === seam.position);
    assert.equal(await page.textContent('[data-side="key"] .current'), current.text);
    assert.equal(await page.getAttribute('#pair', 'data-pair'), current.segment === null ? 'padding' : 'same');
    const seamsInSight = new Set(seam.tokens.map((token) => token.segment)).size;
    assert.ok((await page.locator('[data-side="query"] .seam').count()) >= seamsInSight - 1);
    if (current.segment !== null) {
      const where = await page.textContent('[data-side="query"] .where');
      assert.ok(where.startsWith(`token ${current.document_position.toLocaleString('en-US')} of `), where);
    }
  }
});

test('hovering names the pair under the pointer', async (t) => {
  const [sequence] = sequences;
  const { page } = await open(t, { hash: `#seq=${sequence.sequence}` });
  const view = await shown(page);
  for (const [x, y] of [[0.1, 0.1], [0.8, 0.15], [0.3, 0.95], [0.5, 0.5]]) {
    await page.locator('#map').hover({ position: { x: view.left + x * view.size, y: view.left + y * view.size } });
    const at = (share) => Math.round(share * sequence.seq_len);
    await page.waitForFunction(
      ([query, key, slack]) => {
        const near = (side, wanted) =>
          Math.abs(document.querySelector(`[data-side="${side}"]`).dataset.position - wanted) <= slack;
        return near('query', query) && near('key', key);
      },
      [at(y), at(x), Math.ceil(sequence.seq_len / view.size) + 1],
    );
    const [query, key] = await page.$$eval('.end', (ends) => ends.map((end) => Number(end.dataset.position)));
    const [q, k] = [segmentAt(sequence, query), segmentAt(sequence, key)];
    const wanted = q < 0 || k < 0 ? 'padding' : q === k ? 'same' : sequence.full_attention ? 'across' : 'masked';
    assert.equal(await page.getAttribute('#pair', 'data-pair'), wanted);
  }
});

test('wheel and drag keep the token under the pointer', async (t) => {
  const [{ seq_len: length, sequence }] = sequences;
  const { page } = await open(t, { hash: `#seq=${sequence}` });
  const first = await shown(page);
  await page.$eval('#map', (map) => map.scrollIntoView({ block: 'center' }));
  const canvas = await page.locator('#map').boundingBox();
  const at = (share) => first.left + share * first.size;
  const under = (view, share) => view.key + share * view.span;
  await page.mouse.move(canvas.x + at(0.25), canvas.y + at(0.75));
  for (let i = 0; i < 6; i++) await page.mouse.wheel(0, -120);
  const zoomed = await shown(page);
  assert.ok(zoomed.span < first.span / 2, JSON.stringify(zoomed));
  assert.ok(Math.abs(under(zoomed, 0.25) - 0.25 * length) < length / first.size);
  await page.mouse.down();
  await page.mouse.move(canvas.x + at(0.5), canvas.y + at(0.5), { steps: 4 });
  await page.mouse.up();
  const dragged = await shown(page);
  assert.equal(dragged.span, zoomed.span);
  assert.ok(Math.abs(dragged.key - (zoomed.key - zoomed.span / 4)) < zoomed.span / 100);
  assert.ok(Math.abs(dragged.query - (zoomed.query + zoomed.span / 4)) < zoomed.span / 100);
});

test('two fingers zoom', async (t) => {
  const { page } = await open(t, { hasTouch: true, viewport: { width: 375, height: 800 } });
  const first = await shown(page);
  await page.locator('#map').scrollIntoViewIfNeeded();
  const box = await page.locator('#map').boundingBox();
  const devtools = await page.context().newCDPSession(page);
  const touch = (type, apart) =>
    devtools.send('Input.dispatchTouchEvent', {
      type,
      touchPoints: type === 'touchEnd' ? [] : [-1, 1].map((side, id) => ({
        id, x: box.x + box.width / 2 + side * apart, y: box.y + box.height / 2,
      })),
    });
  await touch('touchStart', 20);
  for (const apart of [30, 45, 60]) await touch('touchMove', apart);
  await touch('touchEnd');
  const zoomed = await shown(page);
  assert.ok(zoomed.span < first.span / 2, JSON.stringify([first, zoomed]));
});

test('everything on the map can be done with keys', async (t) => {
  const { page } = await open(t, { hash: `#seq=${sequences[0].sequence}` });
  const { seq_len: length } = sequences[0];
  await page.focus('#map');
  await page.keyboard.press('+');
  await page.keyboard.press('+');
  const closer = await shown(page);
  assert.ok(Math.abs(closer.span - length / 2.25) < 0.01);
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowUp');
  const moved = await shown(page);
  assert.ok(Math.abs(moved.key - closer.key - closer.span / 8) < 0.01);
  assert.ok(Math.abs(moved.query - closer.query + closer.span / 8) < 0.01);
  await page.keyboard.press('-');
  assert.ok((await shown(page)).span > moved.span);
  await page.keyboard.press('0');
  assert.equal((await shown(page)).span, length);
  await goTo(page, '10, 5');
  await page.waitForSelector('[data-side="query"][data-position="10"]');
  assert.equal(await page.getAttribute('[data-side="key"]', 'data-position'), '5');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'map');
  await page.keyboard.press(']');
  await page.keyboard.press('[');
  const { offset, len } = sequences[0].segments[0];
  const first = await shown(page);
  assert.ok(first.query <= offset && first.query + first.span >= Math.min(offset + len, length));
  await page.keyboard.press('?');
  assert.ok(await page.isVisible('#help'));
  await page.keyboard.press('Escape');
  assert.ok(!(await page.isVisible('#help')));
  if (sequences.length > 1) {
    await page.keyboard.press('n');
    await page.waitForFunction((value) => document.querySelector('#sequence').value === value, String(sequences[1].sequence));
    assert.equal((await shown(page)).sequence, String(sequences[1].sequence));
  }
});

test('a position that is not there is refused', async (t) => {
  const { page } = await open(t);
  const before = await shown(page);
  await goTo(page, '999999999');
  assert.equal(await page.$eval('#go-to', (field) => field.validity.valid), false);
  await page.keyboard.press('Escape');
  const { query, key, span } = await shown(page);
  assert.deepEqual([query, key, span], [before.query, before.key, before.span]);
});

test('the address keeps the view over a reload, and nonsense in it does no harm', async (t) => {
  const last = sequences.at(-1);
  const { page } = await open(t, { hash: `#seq=${last.sequence}` });
  await goTo(page, '7');
  const view = await shown(page);
  const hash = new URL(page.url()).hash;
  assert.match(hash, new RegExp(`^#seq=${last.sequence}&q=[\\d.]+&k=[\\d.]+&span=[\\d.]+$`));
  await page.reload();
  await page.waitForSelector('html[data-ready]', { state: 'attached' });
  const again = await shown(page);
  for (const part of ['sequence', 'query', 'key', 'span']) assert.equal(again[part], view[part]);
  for (const hash of ['#seq=nowhere', '#seq=-1&q=x&k=1e999&span=NaN', '#%E0%A4%A', `#seq=${last.sequence}&q=-5&span=0`]) {
    await page.evaluate((hash) => (location.hash = hash), hash);
    const { span, query } = await shown(page);
    assert.ok(span >= 4 && query >= 0, hash);
  }
});

test('phone and desktop, light and dark: nothing scrolls sideways', async (t) => {
  const papers = new Set();
  for (const width of [375, 1440]) {
    for (const colorScheme of ['light', 'dark']) {
      const { page } = await open(t, { viewport: { width, height: 900 }, colorScheme });
      await page.evaluate(() => document.querySelectorAll('details').forEach((details) => (details.open = true)));
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
      assert.ok((await page.locator('#map').boundingBox()).width > 0.5 * Math.min(width, 1000));
      papers.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
      await page.click('#theme');
      papers.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
      const view = await shown(page);
      const corner = await cornerColor(page, view);
      const card = await page.$eval('.map', (map) => getComputedStyle(map).backgroundColor.match(/\d+/g).map(Number));
      assert.equal(corner, `#${card.map((c) => c.toString(16).padStart(2, '0')).join('')}`);
    }
  }
  assert.equal(papers.size, 2);
});

test('tables can be saved, and print is light with all tables open', async (t) => {
  const { page } = await open(t);
  await page.click('#context summary');
  const download = page.waitForEvent('download');
  await page.click('#context button:text("CSV")');
  const file = await download;
  assert.equal(file.suggestedFilename(), 'context.csv');
  const lines = readFileSync(await file.path(), 'utf8').trim().split('\n');
  assert.equal(lines.length, overview.context_kept.length + 1);

  await page.click('#theme');
  const view = await shown(page);
  const paper = () => cornerColor(page, view);
  const screen = await paper();
  assert.notEqual(screen, '#ffffff');
  await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
  assert.equal(await paper(), '#ffffff');
  assert.equal(await page.locator('details.numbers:not([open])').count(), 0);
  await page.evaluate(() => dispatchEvent(new Event('afterprint')));
  assert.equal(await paper(), screen);
  assert.ok((await page.pdf()).length > 10_000);
});

test('the table of documents leads to their places', async (t) => {
  const [sequence] = sequences;
  const { page } = await open(t, { hash: `#seq=${sequence.sequence}` });
  await page.click('details.segments > summary');
  const rows = page.locator('#segments tbody tr');
  await rows.first().waitFor();
  assert.equal(await rows.count(), sequence.segments.length);
  const segment = sequence.segments.at(-1);
  await rows.last().locator('button').click();
  await page.waitForFunction(
    ([from, to]) => {
      const { position } = document.querySelector('[data-side="query"]').dataset;
      return position >= from && position < to;
    },
    [segment.offset, segment.offset + segment.len],
  );
});

test('text from documents stays text', async (t) => {
  const hidden = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff]/;
  for (const { sequence, seq_len: length } of sequences) {
    const { page } = await open(t, { hash: `#seq=${sequence}` });
    await page.click('details.segments > summary');
    for (let at = 0; at < Math.min(length, 512); at += 16) {
      await goTo(page, String(at));
      await page.waitForSelector(`[data-side="key"][data-position="${at}"] .tok`);
    }
    assert.match(await page.title(), /ultrapack inspect$/);
    const made = await page.evaluate(() => ({
      images: document.images.length,
      scripts: document.querySelectorAll('script:not([data-part])').length,
      handlers: document.querySelectorAll('[onerror], [onload], [onclick]').length,
      inText: document.querySelectorAll('.tok *, .where *, bdi :not(code)').length,
      text: document.querySelector('main').textContent + document.title,
    }));
    assert.deepEqual([made.images, made.scripts, made.handlers, made.inText], [0, 1, 0, 0]);
    assert.doesNotMatch(made.text, hidden);
  }
});
