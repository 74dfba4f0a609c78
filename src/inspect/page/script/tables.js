// Copying and saving tables, and the theme.

/** The cells of a table, row by row. */
function cells(table) {
  return [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent));
}

/** Comma-separated values; a cell that a spreadsheet would take for a formula is text. */
function toCsv(rows) {
  const quote = (cell) => {
    const number = /^[-+]?[\d,]+(\.\d+)?$/.test(cell);
    const text = number ? cell.replaceAll(',', '') : /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(quote).join(',')}\n`).join('');
}

/** Adds the buttons that copy and save the tables in `holder`. */
function addTools(holder) {
  for (const table of holder.querySelectorAll('table')) {
    const copy = element('button', '', 'Copy');
    const save = element('button', '', 'CSV');
    copy.type = save.type = 'button';
    copy.addEventListener('click', async () => {
      const text = cells(table).map((row) => row.join('\t')).join('\n');
      copy.textContent = (await copied(text)) ? 'Copied' : 'Not allowed';
      setTimeout(() => (copy.textContent = 'Copy'), 1500);
    });
    save.addEventListener('click', () => {
      const link = document.createElement('a');
      const address = URL.createObjectURL(new Blob([toCsv(cells(table))], { type: 'text/csv' }));
      link.setAttribute('href', address);
      link.download = `${table.dataset.name}.csv`;
      link.click();
      URL.revokeObjectURL(address);
    });
    table.before(element('div', 'tools', copy, save));
  }
}

/** Puts text on the clipboard; a page from disk may have to do it by selection. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element('textarea', 'aside', text);
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

/** Light, dark, and as the system has it: remembered where the browser lets a page from disk remember. */
function listenToTheme(changed) {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem('theme', value);
      return localStorage.getItem('theme');
    } catch {
      return null;
    }
  };
  const stored = remembered();
  if (stored === 'light' || stored === 'dark') root.dataset.theme = stored;
  document.getElementById('theme').addEventListener('click', () => {
    const now = root.dataset.theme ?? (dark.matches ? 'dark' : 'light');
    root.dataset.theme = now === 'dark' ? 'light' : 'dark';
    remembered(root.dataset.theme);
    changed();
  });
  dark.addEventListener('change', changed);
}

/** Prints in light, with every table open. */
function listenToPrint(changed) {
  const root = document.documentElement;
  let [opened, theme] = [[], undefined];
  addEventListener('beforeprint', () => {
    opened = [...document.querySelectorAll('details.numbers:not([open])')];
    for (const details of opened) details.open = true;
    theme = root.dataset.theme;
    root.dataset.theme = 'light';
    changed();
  });
  addEventListener('afterprint', () => {
    for (const details of opened) details.open = false;
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    changed();
  });
}
