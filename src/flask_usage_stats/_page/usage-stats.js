/** <usage-stats>: the usage of the signed-in user's projects, from GET /api/usage. See docs/page.md. */

const SCRIPT = new URL(import.meta.url);
const ORIGINS = new Set([SCRIPT.origin, location.origin]);
const MAX_LIMIT = 1000; // of the API
const MAX_FILTER = 100; // characters
const MIN_REFRESH = 5; // seconds
const MAX_REFRESH = 86_400;
const HISTORY_INTERVAL = 60_000; // milliseconds
const TYPING_PAUSE = 300; // milliseconds
const UNKNOWN = 'The response is not one of the API.';
const CSV = 'csvFailed';

const ENGLISH = {
  usage: 'Usage',
  total: 'requests in total',
  projects: 'projects',
  refresh: 'Refresh',
  loading: 'Loading…',
  history: 'Requests per day',
  highest: 'highest: {number}',
  asTable: 'As a table',
  day: 'Day',
  noData: 'no data',
  soFar: '{number} so far',
  breakdown: 'Breakdown',
  plan: 'Plan',
  projectType: 'Type',
  status: 'Status',
  none: 'none',
  showAll: 'Show all',
  ranking: 'Projects',
  search: 'Search by name',
  order: 'Order',
  most: 'Most requests',
  fewest: 'Fewest requests',
  name: 'Name',
  newest: 'Newest',
  unused: 'Only unused',
  csv: 'Download CSV',
  rank: '#',
  project: 'Project',
  requests: 'Requests',
  share: 'Share',
  changed: 'Changed',
  created: 'Created',
  more: 'Show more',
  shown: '{shown} of {total} shown',
  asOf: ' · as of {time}',
  empty: 'No projects yet.',
  noMatch: 'No project matches.',
  unauthenticated: 'Sign in to see your usage.',
  failed: 'The usage could not be loaded.',
  historyFailed: 'The requests per day could not be loaded.',
  historyStale: 'The requests per day could not be refreshed. They are from {time}.',
  stale: 'The usage could not be refreshed. These numbers are from {time}.',
  csvFailed: 'The file could not be downloaded. These numbers are from {time}.',
  again: 'Try again',
};

const ORDERS = {
  most: {},
  fewest: { order: 'asc' },
  name: { sort: 'name' },
  newest: { sort: 'createdAt' },
};
const LABELS = ['plan', 'projectType', 'status'];

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
  :host {
    --accent: var(--usage-accent, color-mix(in srgb, #1d72e8 88%, currentColor));
    --muted: var(--usage-muted, color-mix(in srgb, currentColor 72%, transparent));
    --line: var(--usage-line, color-mix(in srgb, currentColor 20%, transparent));
    --track: var(--usage-track, color-mix(in srgb, currentColor 10%, transparent));
    --radius: var(--usage-radius, 6px);
    display: block;
    inline-size: 100%; /* a container has no width of its own */
    container-type: inline-size;
    font-family: var(--usage-font, inherit);
    line-height: 1.4;
    text-align: start;
  }
  :host([hidden]), [hidden] { display: none !important; }
  :host([standalone]) {
    color-scheme: light dark;
    background: Canvas;
    color: CanvasText;
    font-family: var(--usage-font, system-ui, sans-serif);
  }
  :host([standalone]) [part=base] { max-width: 64rem; margin-inline: auto; padding: 1.5rem 1rem; }
  * { box-sizing: border-box; }
  h2, h3, p, table { margin: 0; }
  summary { inline-size: fit-content; }
  section { margin-block-start: 1.5em; }
  section > header, [part=toolbar], [part=summary], [part=group-by], [part=error], .actions {
    display: flex; flex-wrap: wrap; align-items: center; gap: .5em;
  }
  section > header > h3, ::slotted([slot=summary]) { margin-inline-end: auto; }
  small, thead, summary, .muted { color: var(--muted); font-size: .85em; font-weight: normal; }

  [part=progress] { block-size: 2px; overflow: hidden; border-radius: 1px; margin-block-end: .5em; }
  [aria-busy=true] > [part=progress]::before {
    content: ''; display: block; block-size: 100%; inline-size: 30%; background: var(--accent);
    animation: slide 1.2s linear infinite;
  }
  @keyframes slide { from { margin-inline-start: -30%; } to { margin-inline-start: 100%; } }
  [part=error] {
    margin-block: .5em; padding: .5em .75em;
    border: 1px solid var(--line); border-inline-start: 4px solid var(--accent); border-radius: var(--radius);
  }
  [part=error] > span { flex: 1 1 12em; }
  [part=summary] { align-items: flex-end; gap: .25em 1.5em; margin-block-start: .5em; }
  [part=total], [part=projects] { display: block; font-weight: bold; line-height: 1.2; overflow-wrap: anywhere; }
  [part=total] { font-size: 2.2em; }
  [part=projects] { font-size: 1.5em; }
  .actions { margin-inline-start: auto; }

  [part~=button], [part=select], input {
    font: inherit; font-size: .9em; color: inherit; background: transparent; border: 1px solid var(--line);
    border-radius: var(--radius); padding: .35em .7em; min-block-size: 2.2em;
  }
  [part=select] option { background: Canvas; color: CanvasText; }
  input { flex: 1 1 9em; max-inline-size: 14em; min-inline-size: 0; }
  input::placeholder { color: var(--muted); opacity: 1; }
  button, [part=select], summary { cursor: pointer; }
  [part~=button]:hover { background: var(--track); }
  [part~=button][aria-pressed=true] { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); }
  .plain { all: unset; cursor: pointer; text-decoration: underline; }
  .plain, [part=link] { text-underline-offset: .2em; }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
  .plain[aria-pressed=true] { font-weight: bold; }

  [part=chart] {
    display: flex; align-items: flex-end; gap: 2px; block-size: 7em; margin-block: .4em .3em;
    border-block-end: 1px solid var(--line);
  }
  [part=chart] > * { flex: 1 1 0; min-inline-size: 0; border-radius: 2px 2px 0 0; background: var(--accent); }
  [part=chart].dense { gap: 0; }
  [part=chart] > .none {
    block-size: 100%; background: repeating-linear-gradient(135deg, var(--line) 0 1px, transparent 1px 6px);
  }
  [part=chart] > .zero { background: none; }
  [part=chart] > .today {
    background: repeating-linear-gradient(135deg, var(--accent) 0 2px, transparent 2px 5px);
    box-shadow: inset 0 0 0 1px var(--accent);
  }
  .ends { display: flex; justify-content: space-between; }
  details { margin-block-start: .3em; }
  details > table { margin-block-start: .5em; }

  table { inline-size: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
  th, td { padding: .5em .4em; text-align: start; vertical-align: top; font-weight: normal; overflow-wrap: anywhere; }
  th:first-child, td:first-child { padding-inline-start: 0; }
  th:last-child, td:last-child { padding-inline-end: 0; }
  tr { border-block-end: 1px solid var(--line); }
  .number { text-align: end; white-space: nowrap; }
  .bars { inline-size: 42%; }
  .bars > span { unicode-bidi: plaintext; } /* the minus */
  .rank { inline-size: 2.5em; color: var(--muted); }
  [part=link] { color: inherit; }
  .labels { display: block; }
  [part=track] { block-size: 8px; border-radius: 4px; background: var(--track); margin-block-start: .3em; overflow: hidden; }
  [part=track] > [part=bar] { block-size: 100%; border-radius: 4px; background: var(--accent); }
  .more, [part=note] { margin-block-start: 1em; min-block-size: 1.4em; }
  .hidden-text { position: absolute; inline-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

  @container (max-width: 36em) {
    .wide { display: none; }
    .rank + th, .rank + td { padding-inline-start: 0; }
    [part=ranking] .bars { padding-inline-end: 0; }
    .bars { inline-size: 36%; }
    [part=toolbar] { inline-size: 100%; }
    input { max-inline-size: none; flex-basis: 100%; }
  }
  @media (prefers-reduced-motion: reduce) {
    [aria-busy=true] > [part=progress]::before { animation: none; inline-size: 100%; }
  }
  @media (forced-colors: active) {
    [part=progress]::before, [part=chart] > *, [part=bar] {
      forced-color-adjust: none; --accent: Highlight; --line: GrayText;
    }
    [part=track] { border: 1px solid CanvasText; }
    [part~=button][aria-pressed=true] { border: 2px solid Highlight; }
  }
  @media print {
    [part=progress], [part=toolbar], [part~=button], .actions, summary { display: none !important; }
    [part=chart] > *, [part=track], [part=bar] { print-color-adjust: exact; }
    tr { break-inside: avoid; }
  }
`);

/** Functions are listeners, and text is never markup. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Nothing is announced without need. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Make one child per item. A node stays, with the focus, as long as its key does. */
function reconcile(parent, items, getKey, create, update) {
  const root = parent.getRootNode();
  const focused = root.activeElement;
  const position = [...parent.children].findIndex((node) => node.contains(focused));
  const old = parent.nodes ?? new Map();
  parent.nodes = new Map();
  let next = parent.firstElementChild;
  items.forEach((item, index) => {
    let key = getKey(item, index);
    while (parent.nodes.has(key)) key += '\0';
    const node = old.get(key) ?? create(item);
    parent.nodes.set(key, node);
    old.delete(key);
    update(node, item, index);
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  });
  for (const node of old.values()) node.remove();
  if (position < 0 || root.activeElement === focused) return;
  // A node that was moved has lost the focus. One that is gone leaves it to the next.
  const { children } = parent;
  const found = children[Math.min(position, children.length - 1)]?.querySelector('a, button');
  (focused.isConnected ? focused : found ?? parent.closest('[part=base]')).focus();
}

/** Integers that a double would round become a BigInt, if the browser knows their source. */
function parse(text, status) {
  const revive = (_, value, context) => {
    const isLarge = typeof value === 'number' && !Number.isSafeInteger(value);
    return isLarge && /^-?\d+$/.test(context?.source ?? '') ? BigInt(context.source) : value;
  };
  try {
    return JSON.parse(text, revive);
  } catch {
    throw new Failure(status, UNKNOWN);
  }
}

/** Fill a time into a text, as HH:MM. */
function fillTime(text, time) {
  return text.replace('{time}', time.toTimeString().slice(0, 5));
}

// Making a formatter takes longer than formatting a row.
const formatters = new Map();
function getFormatters(language) {
  if (!formatters.has(language)) {
    let locale;
    try {
      [locale = 'en'] = Intl.DateTimeFormat.supportedLocalesOf(language);
    } catch {
      locale = 'en'; // not a language tag
    }
    formatters.set(language, {
      number: new Intl.NumberFormat(locale, { maximumFractionDigits: 2 }),
      percent: new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 }),
      date: new Intl.DateTimeFormat(locale, { dateStyle: 'medium' }),
    });
  }
  return formatters.get(language);
}

class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class UsageStats extends HTMLElement {
  /** Texts by language, the same if the script is loaded from two addresses. */
  static strings = customElements.get('usage-stats')?.strings ?? { en: ENGLISH };

  static observedAttributes = [
    'src', 'group-by', 'limit', 'project-url', 'refresh', 'history', 'auth', 'lang',
  ];

  #token; // undefined until one is set
  #strings = {};
  #texts = ENGLISH;
  // What is to be shown; replaced, never changed. A filter that is null is for those without.
  #view = { groupBy: 'plan', filters: new Map(), search: '', order: 'most', unused: false, pages: 1 };
  #data = null; // {view, total, projects, groups, rows, time, history} of the last success
  #failed = null; // the view that could not be loaded, or CSV
  #history = null; // the last {url, time, buckets, shown, error}, of the buckets since `shown`
  #kept = new Map(); // the tag and the body of each URL of the present view
  #running = null; // the AbortController of the present load
  #loading = null; // its promise
  #timer = 0;
  #typing = 0;
  #queued = false;
  #downloads = new AbortController();
  #parts = {};

  constructor() {
    super();
    this.attachShadow({ mode: 'open' }).adoptedStyleSheets = [STYLE];
    this.#build();
  }

  connectedCallback() {
    // Properties that were set before the element was defined.
    for (const name of ['token', 'strings', 'src']) {
      if (Object.hasOwn(this, name)) {
        const value = this[name];
        delete this[name];
        this[name] = value;
      }
    }
    document.addEventListener('visibilitychange', this.#onVisibility);
    const search = this.#parts.search.value;
    if (search !== this.#view.search) this.#view = { ...this.#view, search };
    this.#translate();
    this.#queue();
  }

  disconnectedCallback() {
    document.removeEventListener('visibilitychange', this.#onVisibility);
    this.#running?.abort();
    this.#running = null;
    clearTimeout(this.#timer);
    this.#stopTyping();
  }

  attributeChangedCallback(name, before, value) {
    if (before === value) return;
    if (name === 'group-by') {
      const found = { type: 'projectType' }[value] ?? value;
      this.#view = { ...this.#view, groupBy: LABELS.includes(found) ? found : 'plan' };
    }
    if (name === 'src' || name === 'auth') this.#forget();
    if (!this.isConnected) return;
    if (name === 'lang') {
      this.#translate();
      return;
    }
    if (name === 'group-by' || name === 'project-url') this.#render();
    this.#queue();
  }

  /** The path of the API, by default that of this script. */
  get src() {
    return (this.getAttribute('src') ?? new URL('.', SCRIPT).href).replace(/\/$/, '');
  }

  set src(value) {
    this.setAttribute('src', value);
  }

  /** Text, or `async (rejected) => token`. */
  set token(value) {
    this.#token = value;
    // Perhaps another user's.
    this.#stopTyping();
    this.#view = { ...this.#view, filters: new Map(), search: '' };
    this.#forget();
    if (this.isConnected) this.#queue();
  }

  get strings() {
    return this.#strings;
  }

  set strings(value) {
    this.#strings = value;
    if (this.isConnected) this.#translate();
  }

  /** Load, and wait for the last response. */
  async refresh() {
    this.#load();
    for (let last; last !== this.#loading; ) {
      last = this.#loading;
      await last;
    }
  }

  #queue() {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      if (this.isConnected) this.#load();
    });
  }

  #load() {
    this.#running?.abort();
    clearTimeout(this.#timer);
    if (this.getAttribute('auth') === 'token' && !this.#token) {
      this.#parts.signedOut.hidden = this.#token === undefined;
      this.#stop();
    } else {
      this.#running = new AbortController();
      this.#loading = this.#loadAll(this.#running);
    }
  }

  async #loadAll(running) {
    const { signal } = running;
    const attempt = async (promise, show) => {
      try {
        const found = await promise;
        signal.throwIfAborted();
        show(found);
      } catch (error) {
        if (!signal.aborted) this.#fail(error);
      }
    };
    this.#renderStatus();
    const list = attempt(this.#read(signal), (data) => this.#show(data));
    const history = Promise.all([this.#readHistory(signal), list]).then(([found]) =>
      // Another user's list has dropped what was kept.
      found === this.#history ? found : this.#readHistory(signal));
    await attempt(history, (found) => this.#showHistory(found));
    if (running === this.#running) this.#stop();
  }

  #show(data) {
    const old = this.#data;
    const known = new Set(old?.rows.map(({ _id }) => _id));
    // With cookies, the user can change without a 401.
    const isOther = old?.view === data.view && known.size + data.rows.length
      && !data.rows.some(({ _id }) => known.has(_id));
    if (isOther) this.#history = null;
    this.#data = { ...data, history: isOther ? null : old?.history };
    this.#view = data.view;
    this.#failed = null;
    this.#parts.signedOut.hidden = true;
    this.#translate(); // also renders; texts may have been added
    this.#emit('usage-load', { totalRequests: data.total });
  }

  #showHistory(history) {
    if (this.#failed || !this.#data) return;
    const old = this.#data.history;
    this.#data.history = history;
    this.#render();
    if (history?.error && history !== old) this.#emitError(history.error);
  }

  #stop() {
    this.#running = null;
    this.#renderStatus();
    const seconds = Number(this.getAttribute('refresh'));
    if (seconds > 0 && this.isConnected && !document.hidden && this.#parts.signedOut.hidden) {
      const wait = Math.min(Math.max(seconds, MIN_REFRESH), MAX_REFRESH);
      this.#timer = setTimeout(() => this.#load(), wait * 1000);
    }
  }

  #onVisibility = () => {
    clearTimeout(this.#timer);
    const waits = this.hasAttribute('refresh') || !this.#parts.signedOut.hidden;
    if (!document.hidden && waits) this.#load();
  };

  #fail(error, failed = this.#view) {
    if (error?.status === 401) {
      this.#forget();
      this.#parts.signedOut.hidden = false;
      this.#stop();
      this.#emit('usage-unauthenticated');
      return;
    }
    this.#failed = failed;
    if (this.#data && failed !== CSV) this.#view = this.#data.view;
    this.#render();
    this.#emitError(error);
  }

  #retry() {
    if (this.#failed === CSV) {
      this.#download();
      return;
    }
    this.#view = this.#failed ?? this.#view;
    if (this.#history?.error) this.#history.time = 0;
    this.#load();
  }

  async #request(url, signal, tag, rejected = false) {
    let token = this.#token;
    const canRenew = typeof token === 'function';
    if (canRenew) {
      token = await token(rejected);
      if (!token) throw new Failure(401);
    }
    const headers = tag ? { 'If-None-Match': tag } : {};
    if (token && ORIGINS.has(new URL(url, document.baseURI).origin)) headers.Authorization = `Bearer ${token}`;
    // Without the browser's cache, which would turn a 304 into a 200. A redirect leads to a login page.
    const response = await fetch(url, { headers, signal, cache: 'no-store', redirect: 'manual' });
    const { ok, status, statusText, type } = response;
    if (status === 401 && canRenew && !rejected) return this.#request(url, signal, tag, true);
    if (status === 401 || type === 'opaqueredirect') throw new Failure(401);
    if (ok || status === 304) return response;
    const body = await response.json().catch(() => null);
    throw new Failure(status, body?.message || statusText || String(status));
  }

  async #get(url, signal, kept) {
    const old = this.#kept.get(url);
    const response = await this.#request(url, signal, old?.tag);
    let entry = old;
    if (response.status !== 304) {
      const body = parse(await response.text(), response.status);
      if (!Array.isArray(body?.projectStats) || !(body.totalProjects >= 0)) throw new Failure(response.status, UNKNOWN);
      entry = { tag: response.headers.get('ETag'), body };
    }
    kept.set(url, entry);
    return entry.body;
  }

  async #read(signal) {
    const kept = new Map();
    const view = this.#view;
    const limit = Math.max(Math.trunc(Number(this.getAttribute('limit'))) || 25, 1);
    const wanted = limit * view.pages;
    const rows = [];
    let first = null;
    let cursor = null;
    do {
      const query = this.#query(view, { ...ORDERS[view.order], groupBy: view.groupBy });
      query.set('limit', Math.min(wanted - rows.length, MAX_LIMIT));
      if (cursor) query.set('cursor', cursor);
      const body = await this.#get(`${this.src}?${query}`, signal, kept);
      first ??= body;
      rows.push(...body.projectStats);
      cursor = body.nextCursor;
    } while (cursor && rows.length < wanted);
    this.#kept = kept;
    const { totalRequests: total, totalProjects: projects, groups } = first;
    return { view, total, projects, groups, rows, time: new Date() };
  }

  async #readHistory(signal) {
    const days = Math.min(Math.trunc(Number(this.getAttribute('history'))), 366);
    if (!(days > 0)) return null;
    const start = new Date();
    start.setDate(start.getDate() - days + 1);
    const from = start.toLocaleDateString('sv'); // as 2024-03-15
    const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const query = this.#query({ ...this.#view, unused: false }, { from, tz });
    const url = `${this.src}/history?${query}`;
    const old = this.#history;
    if (old?.url === url && Date.now() - old.time < HISTORY_INTERVAL) return old;
    const found = { ...(old?.url === url && old), url, time: Date.now(), error: null };
    try {
      const response = await this.#request(url, signal);
      const body = parse(await response.text(), response.status);
      if (!Array.isArray(body?.buckets)) throw new Failure(response.status, UNKNOWN);
      found.buckets = body.buckets;
      found.shown = new Date();
    } catch (error) {
      if (signal.aborted || error?.status === 401) throw error;
      if (error?.status === 404) found.buckets = null;
      else found.error = error ?? String(error);
    }
    this.#history = found;
    return found;
  }

  #query({ filters, search, unused }, others) {
    const query = new URLSearchParams(others);
    for (const [name, value] of filters) {
      if (value === null) query.append('without', name);
      else query.append(name, value);
    }
    if (search) query.set('search', search);
    if (unused) query.set('maxRequests', 0);
    return query;
  }

  async #download() {
    const { signal } = this.#downloads;
    const view = this.#view;
    try {
      const query = this.#query(view, { ...ORDERS[view.order], format: 'csv' });
      const response = await this.#request(`${this.src}?${query}`, signal);
      if (!response.headers.get('Content-Type')?.includes('csv')) throw new Failure(response.status, UNKNOWN);
      const name = /filename="([^"]+)"/.exec(response.headers.get('Content-Disposition') ?? '')?.[1] ?? 'usage.csv';
      // Excel reads UTF-8 only after a byte order mark.
      const blob = new Blob(['\ufeff', await response.text()], { type: 'text/csv;charset=utf-8' });
      const link = h('a', { href: URL.createObjectURL(blob), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      if (this.#failed === CSV) this.#failed = null;
      this.#renderStatus();
    } catch (error) {
      if (!signal.aborted) this.#fail(error, CSV);
    }
  }

  #change(changes) {
    this.#view = { ...this.#view, pages: 1, ...changes };
    this.#load();
  }

  /** Take all numbers off the screen. */
  #forget() {
    this.#running?.abort();
    this.#downloads.abort();
    this.#downloads = new AbortController();
    this.#data = this.#history = this.#failed = null;
    this.#kept = new Map();
    this.#view = { ...this.#view, pages: 1 };
    this.#parts.signedOut.hidden = true;
    this.#render();
  }

  #emitError(error) {
    this.#emit('usage-error', { status: error?.status ?? 0, message: error?.message ?? String(error) });
  }

  #emit(type, detail = null, cancelable = false) {
    return this.dispatchEvent(new CustomEvent(type, { detail, cancelable, bubbles: true, composed: true }));
  }

  get #language() {
    let found = '';
    for (let node = this; node && !found; node = node.getRootNode().host) found = node.closest('[lang]')?.lang;
    return found || navigator.language;
  }

  get #format() {
    return getFormatters(this.#language);
  }

  #translate() {
    const language = `${this.#language}-`.toLowerCase();
    const known = Object.keys(UsageStats.strings).filter((tag) => language.startsWith(`${tag}-`.toLowerCase()));
    known.sort((one, other) => one.length - other.length);
    this.#texts = Object.assign({}, ENGLISH, ...known.map((tag) => UsageStats.strings[tag]), this.#strings);
    for (const [node, key] of this.#parts.translated) setText(node, this.#texts[key]);
    const { search, select } = this.#parts;
    search.placeholder = this.#texts.search;
    search.setAttribute('aria-label', this.#texts.search);
    select.setAttribute('aria-label', this.#texts.order);
    this.#render();
  }

  #build() {
    const translated = [];
    const text = (node, key) => {
      translated.push([node, key]);
      return node;
    };
    const button = (key, click, attributes = {}) =>
      text(h('button', { type: 'button', part: 'button', click, ...attributes }), key);
    const cell = (key, name = '') => text(h('th', { scope: 'col', class: name }), key);
    const parts = (this.#parts = { translated });

    parts.error = h('span');
    parts.errorBox = h('div', { part: 'error', hidden: '' }, parts.error, button('again', () => this.#retry()));
    parts.signedOut = h(
      'div', { hidden: '' }, h('slot', { name: 'unauthenticated' }, text(h('p'), 'unauthenticated')),
    );
    parts.total = h('strong', { part: 'total' });
    parts.projects = h('strong', { part: 'projects' });
    parts.refresh = button('refresh', () => this.#load());
    const summary = h(
      'div', { part: 'summary' },
      h('div', {}, parts.total, text(h('small'), 'total')),
      h('div', {}, parts.projects, text(h('small'), 'projects')),
      h('slot', { name: 'summary' }),
      h('div', { class: 'actions' }, h('slot', { name: 'actions' }), parts.refresh),
    );

    parts.highest = h('small');
    parts.chart = h('div', { part: 'chart', 'aria-hidden': 'true' });
    parts.first = h('small');
    parts.last = h('small');
    parts.days = h('tbody');
    parts.history = h(
      'section', { part: 'history', hidden: '' },
      h('header', {}, text(h('h3', { id: 'history' }), 'history'), parts.highest),
      parts.chart,
      h('div', { class: 'ends', 'aria-hidden': 'true' }, parts.first, parts.last),
      h(
        'details', {}, text(h('summary'), 'asTable'),
        h(
          'table', { part: 'table', 'aria-labelledby': 'history' },
          h('thead', {}, h('tr', {}, cell('day'), cell('requests', 'number'))), parts.days,
        ),
      ),
    );

    parts.showAll = button('showAll', () => this.#change({ filters: new Map() }), { hidden: '' });
    parts.groupBy = LABELS.map((name) => button(name, () => this.#change({ groupBy: name, pages: this.#view.pages })));
    parts.groupName = h('th', { scope: 'col' });
    parts.groups = h('tbody');
    parts.breakdown = h(
      'section', { part: 'groups' },
      h(
        'header', {}, text(h('h3', { id: 'groups' }), 'breakdown'),
        parts.showAll, h('div', { part: 'group-by' }, ...parts.groupBy),
      ),
      h(
        'table', { part: 'table', 'aria-labelledby': 'groups' },
        h(
          'thead', {},
          h(
            'tr', {}, parts.groupName, cell('ranking', 'number wide'), cell('requests', 'number bars'),
            cell('share', 'number'),
          ),
        ),
        parts.groups,
      ),
    );

    parts.search = h('input', { type: 'search', maxlength: MAX_FILTER, input: () => this.#onSearch() });
    parts.select = h(
      'select', { part: 'select', change: () => this.#change({ order: parts.select.value }) },
      ...Object.keys(ORDERS).map((key) => text(h('option', { value: key }), key)),
    );
    parts.unused = button('unused', () => this.#change({ unused: !this.#view.unused }), { 'aria-pressed': 'false' });
    parts.changed = h('th', { scope: 'col', class: 'number wide' });
    parts.rows = h('tbody');
    parts.table = h(
      'table', { part: 'table', 'aria-labelledby': 'ranking' },
      h(
        'thead', {},
        h(
          'tr', {}, cell('rank', 'rank wide'), cell('project'), cell('requests', 'number bars'),
          cell('share', 'number wide'), parts.changed,
        ),
      ),
      parts.rows,
    );
    parts.emptyText = h('p');
    parts.emptySlot = h('div', { part: 'empty' }, h('slot', { name: 'empty' }, parts.emptyText));
    parts.more = button('more', () => this.#change({ pages: this.#view.pages + 1 }), { class: 'more' });
    const ranking = h(
      'section', { part: 'ranking' },
      h(
        'header', {}, text(h('h3', { id: 'ranking' }), 'ranking'),
        h(
          'div', { part: 'toolbar' },
          parts.search, parts.select, parts.unused, button('csv', () => this.#download()),
        ),
      ),
      parts.table, parts.emptySlot, parts.more,
    );

    parts.content = h('div', { hidden: '' }, summary, parts.history, parts.breakdown, ranking);
    parts.status = h('span', { role: 'status' });
    parts.time = h('span');
    parts.note = h('p', { part: 'note', class: 'muted' }, h('bdi', {}, parts.status, parts.time));
    parts.base = h(
      'div', { part: 'base', 'aria-busy': 'false', tabindex: -1 },
      h('div', { part: 'progress' }), h('slot', { name: 'heading' }, text(h('h2'), 'usage')),
      parts.errorBox, parts.signedOut, parts.content, parts.note,
    );
    this.shadowRoot.append(parts.base);
  }

  /** If a node with the focus is hidden, another one gets it. */
  #hide(node, hidden, fallback) {
    const hadFocus = hidden && node.contains(this.shadowRoot.activeElement);
    node.hidden = hidden;
    if (!hadFocus) return;
    fallback.focus();
    if (this.shadowRoot.activeElement !== fallback) this.#parts.base.focus();
  }

  #render() {
    const { base, content, total, projects } = this.#parts;
    const { number } = this.#format;
    const data = this.#data;
    this.#hide(content, !data, base);
    setText(total, data ? number.format(data.total) : '');
    setText(projects, data ? number.format(data.projects) : '');
    this.#renderHistory(data?.history?.buckets);
    this.#renderGroups(data?.groups ?? []);
    this.#renderRows(data?.rows ?? []);
    this.#renderStatus();
  }

  /** Readers hear all but the time of each refresh. */
  #renderStatus() {
    const { base, error, errorBox, status, time, refresh } = this.#parts;
    const { number } = this.#format;
    const data = this.#data;
    const message = this.#getMessage();
    base.setAttribute('aria-busy', String(Boolean(this.#running)));
    let text = this.#running ? this.#texts.loading : '';
    if (data) {
      text = this.#texts.shown.replace('{shown}', number.format(data.rows.length));
      text = text.replace('{total}', number.format(data.projects));
    }
    setText(error, message);
    setText(status, message || text);
    status.className = message ? 'hidden-text' : '';
    setText(time, data && !message ? fillTime(this.#texts.asOf, data.time) : '');
    this.#hide(errorBox, !message, refresh);
  }

  #getMessage() {
    const data = this.#data;
    const texts = this.#texts;
    if (this.#failed) return data ? fillTime(texts[this.#failed === CSV ? CSV : 'stale'], data.time) : texts.failed;
    if (!data?.history?.error) return '';
    const { buckets, shown } = data.history;
    return buckets ? fillTime(texts.historyStale, shown) : texts.historyFailed;
  }

  #renderHistory(buckets) {
    const { history, highest, chart, first, last, days } = this.#parts;
    const format = this.#format;
    history.hidden = !buckets?.length;
    const counts = (buckets ?? []).map((bucket) => Number(bucket.totalRequests ?? 0));
    const most = Math.max(...counts, 0);
    const top = buckets?.find((bucket, index) => bucket.totalRequests !== null && counts[index] === most);
    const items = (buckets ?? []).map((bucket, index) => ({
      day: format.date.format(new Date(bucket.from)),
      count: bucket.totalRequests === null ? null : format.number.format(bucket.totalRequests),
      part: most ? counts[index] / most : 0,
      kind: bucket.totalRequests === null ? 'none' : !counts[index] ? 'zero' : '',
      today: bucket.partial && index === counts.length - 1,
    }));
    setText(highest, top ? this.#texts.highest.replace('{number}', format.number.format(top.totalRequests)) : '');
    setText(first, items.at(0)?.day ?? '');
    setText(last, items.at(-1)?.day ?? '');
    chart.className = items.length > 90 ? 'dense' : '';
    const getKey = (item) => item.day;
    reconcile(chart, items, getKey, () => h('div'), (node, { day, count, part, kind, today }) => {
      node.title = `${day}: ${count ?? this.#texts.noData}`;
      node.className = kind || (today ? 'today' : '');
      node.style.blockSize = kind ? '' : `max(${(100 * part).toFixed(2)}%, 2px)`;
    });
    const create = () => h('tr', {}, h('th', { scope: 'row' }), h('td', { class: 'number' }));
    reconcile(days, items, getKey, create, ({ firstChild, lastChild }, { day, count, today }) => {
      setText(firstChild, day);
      const text = count ?? this.#texts.noData;
      setText(lastChild, today && count !== null ? this.#texts.soFar.replace('{number}', count) : text);
    });
  }

  #renderGroups(groups) {
    const { breakdown, showAll, groupBy, groupName, groups: body } = this.#parts;
    const { number } = this.#format;
    const { groupBy: pressed, filters } = this.#view;
    const name = this.#data?.view.groupBy ?? pressed;
    breakdown.hidden = !groups.length && !filters.size;
    this.#hide(showAll, !filters.size, groupBy[LABELS.indexOf(name)]);
    groupBy.forEach((button, index) => button.setAttribute('aria-pressed', String(LABELS[index] === pressed)));
    setText(groupName, this.#texts[name]);
    const most = Math.max(Number(groups[0]?.totalRequests ?? 0), 0);
    const create = () => h(
      'tr', { part: 'group' }, h('th', { scope: 'row' }), h('td', { class: 'number wide' }),
      createBar(), h('td', { class: 'number' }),
    );
    reconcile(body, groups, (group) => `${name}:${JSON.stringify(group[name])}`, create, (row, group) => {
      const [head, projects, requests, share] = row.children;
      const value = group[name];
      const text = value?.trim() ? value : this.#texts.none;
      if (!head.firstChild) head.append(this.#createFilter(name, value));
      setText(head.firstChild, text);
      if (head.firstChild.localName === 'button') {
        head.firstChild.setAttribute('aria-pressed', String(filters.get(name) === value));
      }
      setText(projects, number.format(group.projects));
      updateBar(requests, number.format(group.totalRequests), Number(group.totalRequests) / most);
      setText(share, this.#formatShare(group.totalRequests));
    });
  }

  /** A value that the API does not accept is text. */
  #createFilter(name, value) {
    if (value?.length > MAX_FILTER) return h('span');
    const click = () => {
      const filters = new Map(this.#view.filters);
      if (filters.get(name) === value) filters.delete(name);
      else filters.set(name, value);
      this.#change({ filters });
    };
    return h('button', { type: 'button', class: 'plain', dir: 'auto', click });
  }

  #renderRows(rows) {
    const { rows: body, table, emptyText, emptySlot, more, search, select, unused, changed } = this.#parts;
    const { number } = this.#format;
    const view = this.#view;
    const date = view.order === 'newest' ? 'createdAt' : 'updatedAt';
    const most = rows.reduce((found, row) => Math.max(found, Number(row.totalRequest)), 0);
    if (!this.#typing) search.value = view.search;
    select.value = view.order;
    unused.setAttribute('aria-pressed', String(view.unused));
    setText(changed, this.#texts[date === 'createdAt' ? 'created' : 'changed']);
    const kind = this.hasAttribute('project-url') ? 'link' : 'text';
    reconcile(body, rows, (row) => kind + row._id, () => this.#createRow(), (node, row, index) => {
      const [rank, project, requests, share, day] = node.children;
      node.project = row;
      setText(rank, number.format(index + 1));
      const [link, labels] = project.children;
      setText(link, row.name?.trim() ? row.name : String(row._id ?? ''));
      if (link.localName === 'a') link.href = this.#getUrl(row);
      setText(labels.firstChild, [row.projectType, row.plan, row.status].filter(Boolean).join(' · '));
      updateBar(requests, number.format(row.totalRequest), Number(row.totalRequest) / most);
      setText(share, this.#formatShare(row.totalRequest));
      setText(day, this.#formatDate(row[date]));
    });
    const filtered = view.filters.size || view.search || view.unused;
    setText(emptyText, this.#texts[filtered ? 'noMatch' : 'empty']);
    table.hidden = !rows.length;
    emptySlot.hidden = Boolean(rows.length);
    this.#hide(more, rows.length >= (this.#data?.projects ?? 0), body.lastElementChild?.querySelector('a') ?? unused);
  }

  #createRow() {
    const link = this.hasAttribute('project-url')
      ? h('a', { part: 'link', dir: 'auto', click: (event) => this.#onOpen(event) })
      : h('span', { part: 'link', dir: 'auto' });
    return h(
      'tr', { part: 'row' },
      h('td', { class: 'rank wide' }), h('th', { scope: 'row' }, link, h('span', { class: 'labels muted' }, h('bdi'))),
      createBar(), h('td', { class: 'number wide' }), h('td', { class: 'number wide' }),
    );
  }

  #getUrl(row) {
    const template = this.getAttribute('project-url') ?? '';
    return template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(row[name] ?? ''));
  }

  #formatShare(count) {
    const { percent } = this.#format;
    const share = Number(count) / Number(this.#data.total);
    if (!(share >= 0 && share <= 1)) return '';
    // The isolates keep the sign on the left, also from right to left.
    return share > 0 && share < 0.001 ? `\u2066< ${percent.format(0.001)}\u2069` : percent.format(share);
  }

  #formatDate(text) {
    if (!text) return '';
    // Browsers read other texts, each in its own way.
    const date = new Date(/^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) ? text : NaN);
    return Number.isNaN(date.getTime()) ? text : this.#format.date.format(date);
  }

  #onSearch() {
    this.#stopTyping();
    this.#typing = setTimeout(() => {
      this.#typing = 0;
      this.#change({ search: this.#parts.search.value });
    }, TYPING_PAUSE);
  }

  #stopTyping() {
    clearTimeout(this.#typing);
    this.#typing = 0;
  }

  /** A click with a modifier, or another button, is the browser's. */
  #onOpen(event) {
    if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const { project } = event.currentTarget.closest('tr');
    if (!this.#emit('usage-open', { project }, true)) event.preventDefault();
  }
}

/** A number with its bar, which readers do not hear. */
function createBar() {
  return h(
    'td', { class: 'number bars' }, h('span'),
    h('div', { part: 'track', 'aria-hidden': 'true' }, h('div', { part: 'bar' })),
  );
}

/** Whatever is more than 0 can be seen. */
function updateBar(cell, text, part) {
  setText(cell.firstChild, text);
  cell.lastChild.firstChild.style.inlineSize = part > 0 ? `max(${(100 * part).toFixed(2)}%, 3px)` : '0';
}

if (!customElements.get('usage-stats')) customElements.define('usage-stats', UsageStats);
