/**
 * <usage-stats>: the usage of the signed-in user's projects, from GET /api/usage. Documented in docs/page.md.
 *
 * The shadow tree is built once. A response updates it in place: a row keeps its nodes, and so the focus.
 */

const SCRIPT = new URL(import.meta.url);
const ORIGINS = new Set([SCRIPT.origin, location.origin]);
const MAX_LIMIT = 1000; // of the API
const MAX_FILTER = 100; // characters
const MIN_REFRESH = 5; // seconds
const MAX_REFRESH = 86_400;
const HISTORY_INTERVAL = 60_000; // milliseconds
const TYPING_PAUSE = 300; // milliseconds
const UNKNOWN = 'The response is not one of the API.';

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
  stale: 'The usage could not be refreshed. These numbers are from {time}.',
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
  h2 { font-size: 1.5em; }
  h3 { font-size: 1.05em; }
  summary { font-size: .85em; color: var(--muted); inline-size: fit-content; }
  section { margin-block-start: 1.5em; }
  section > header, [part=toolbar], [part=summary], [part=group-by] {
    display: flex; flex-wrap: wrap; align-items: center; gap: .5em;
  }
  section > header > h3, ::slotted([slot=summary]) { margin-inline-end: auto; }
  small, .muted, thead { color: var(--muted); font-size: .85em; font-weight: normal; }

  [part=progress] { block-size: 2px; overflow: hidden; border-radius: 1px; margin-block-end: .5em; }
  [aria-busy=true] > [part=progress]::before {
    content: ''; display: block; block-size: 100%; inline-size: 30%; background: var(--accent);
    animation: slide 1.2s linear infinite;
  }
  @keyframes slide { from { margin-inline-start: -30%; } to { margin-inline-start: 100%; } }
  [part=error] {
    display: flex; flex-wrap: wrap; align-items: center; gap: .5em 1em; margin-block: .5em; padding: .5em .75em;
    border: 1px solid var(--line); border-inline-start: 4px solid var(--accent); border-radius: var(--radius);
  }
  [part=error] > span { flex: 1 1 12em; }
  [part=summary] { align-items: flex-end; gap: .25em 1.5em; margin-block-start: .5em; }
  [part=total], [part=projects] { display: block; font-weight: bold; line-height: 1.2; overflow-wrap: anywhere; }
  [part=total] { font-size: 2.2em; }
  [part=projects] { font-size: 1.5em; }
  .actions { display: flex; flex-wrap: wrap; gap: .5em; margin-inline-start: auto; }

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
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
  .plain { all: unset; cursor: pointer; text-decoration: underline; text-underline-offset: .2em; }
  .plain:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
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
  .rank { inline-size: 2.5em; color: var(--muted); }
  [part=link] { color: inherit; text-underline-offset: .2em; }
  .labels { display: block; color: var(--muted); font-size: .85em; }
  [part=track] { block-size: 8px; border-radius: 4px; background: var(--track); margin-block-start: .3em; overflow: hidden; }
  [part=track] > [part=bar] { block-size: 100%; border-radius: 4px; background: var(--accent); }
  .more { margin-block-start: 1em; }
  [part=note] { margin-block-start: 1em; min-block-size: 1.4em; }
  .hidden-text { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

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
    [part=chart] > *, [part=bar] { forced-color-adjust: none; --accent: Highlight; --line: GrayText; }
    [part=track] { border: 1px solid CanvasText; }
    [part~=button][aria-pressed=true] { border: 2px solid Highlight; }
  }
  @media print {
    [part=progress], [part=toolbar], [part=group-by], .actions, .more, summary { display: none !important; }
    [part=chart] > *, [part=track], [part=bar] { print-color-adjust: exact; }
    tr { break-inside: avoid; }
  }
`);

/** Return an element with attributes (functions are listeners) and children (text is never markup). */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Set text only if it differs: nothing is announced without need. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Let the children of a parent be one node per item, in order. A node stays as long as its key does. */
function reconcile(parent, items, getKey, create, update) {
  const old = parent.nodes ?? new Map();
  const focused = parent.getRootNode().activeElement;
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
  // A node that was moved has lost the focus.
  if (focused?.isConnected && focused !== parent.getRootNode().activeElement) focused.focus();
}

/** Parse JSON. Integers that a double would round become a BigInt, where the browser gives their source. */
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

/** Formatters are kept: making one takes longer than formatting a row. */
const formatters = new Map();
function getFormatters(language) {
  if (!formatters.has(language)) {
    const percent = { style: 'percent', maximumFractionDigits: 1 };
    formatters.set(language, {
      number: new Intl.NumberFormat(language, { maximumFractionDigits: 2 }),
      percent: new Intl.NumberFormat(language, percent),
      date: new Intl.DateTimeFormat(language, { dateStyle: 'medium' }),
      time: new Intl.DateTimeFormat(language, { timeStyle: 'medium' }),
      clock: new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
    });
  }
  return formatters.get(language);
}

/** Thrown if the request is not authenticated. */
class Unauthenticated extends Error {}

/** Thrown for an unexpected response. */
class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Wait for all promises, so that none goes on after a failure. A 401 is the failure that counts. */
async function settle(promises) {
  const outcomes = await Promise.allSettled(promises);
  const reasons = outcomes.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
  if (reasons.length) throw reasons.find((reason) => reason instanceof Unauthenticated) ?? reasons[0];
  return outcomes.map(({ value }) => value);
}

export class UsageStats extends HTMLElement {
  /** The texts of languages by their tags, such as `UsageStats.strings.de`; those that lack are English. */
  static strings = { en: ENGLISH };

  static observedAttributes = [
    'src', 'group-by', 'limit', 'project-url', 'refresh', 'history', 'auth', 'lang',
  ];

  #token; // undefined until one is set
  #strings = {};
  #groupBy = 'plan';
  #filters = new Map(); // from the name of a label to its value, or null for those without
  #search = '';
  #order = 'most';
  #unused = false;
  #pages = 1; // the number of times `limit` that is shown
  #data = null; // {total, projects, groups, rows, time} of the last success
  #history = null; // {url, time, buckets}
  #kept = new Map(); // the tag and the body of each URL of the present view
  #running = null; // the AbortController of the present load
  #timer = 0;
  #typing = 0;
  #queued = false;
  #message = ''; // the error that is shown
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
    this.#translate();
    this.#queue();
  }

  disconnectedCallback() {
    document.removeEventListener('visibilitychange', this.#onVisibility);
    this.#running?.abort();
    this.#running = null;
    clearTimeout(this.#timer);
    clearTimeout(this.#typing);
  }

  attributeChangedCallback(name, before, value) {
    if (before === value) return;
    if (name === 'group-by') {
      const found = { type: 'projectType' }[value] ?? value;
      this.#groupBy = LABELS.includes(found) ? found : 'plan';
    }
    if (name === 'src') this.#forget();
    if (name === 'history') this.#history = null;
    if (!this.isConnected) return;
    if (name === 'lang') this.#translate();
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

  /** A bearer token, or a function `async (rejected) => token`. It cannot be read. */
  set token(value) {
    this.#token = value;
    // Perhaps another user's.
    this.#filters.clear();
    this.#search = this.#parts.search.value = '';
    clearTimeout(this.#typing);
    this.#forget();
    if (this.isConnected) this.#queue();
  }

  /** Texts that replace those of the language. */
  get strings() {
    return this.#strings;
  }

  set strings(value) {
    this.#strings = value ?? {};
    if (this.isConnected) this.#translate();
  }

  /** Load now. The promise is fulfilled when the response is shown, whatever it is. */
  refresh() {
    return this.#load();
  }

  // Loading

  /** Load soon, and once if several attributes change together. */
  #queue() {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      if (this.isConnected) this.#load();
    });
  }

  async #load() {
    this.#running?.abort();
    clearTimeout(this.#timer);
    if (this.getAttribute('auth') === 'token' && !this.#token) {
      this.#parts.signedOut.hidden = this.#token === undefined;
      return this.#stop();
    }
    const running = (this.#running = new AbortController());
    this.#setBusy(true);
    try {
      const [data, history] = await settle([this.#read(running.signal), this.#readHistory(running.signal)]);
      running.signal.throwIfAborted();
      this.#data = data;
      this.#parts.signedOut.hidden = true;
      this.#message = history?.error ? this.#text('historyFailed') : '';
      this.#translate(); // also renders; texts may have been added
      this.#showError(this.#message);
      this.#emit('usage-load', { totalRequests: data.total });
      if (history?.error) this.#emitError(history.error);
    } catch (error) {
      if (!running.signal.aborted) this.#fail(error);
    } finally {
      if (running === this.#running) this.#stop();
    }
  }

  /** End a load, and plan the next one. */
  #stop() {
    this.#running = null;
    this.#setBusy(false);
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

  #fail(error) {
    if (error instanceof Unauthenticated) {
      this.#forget();
      this.#parts.signedOut.hidden = false;
      this.#emit('usage-unauthenticated');
      return;
    }
    const text = this.#text(this.#data ? 'stale' : 'failed');
    this.#showError(text.replace('{time}', this.#data ? this.#format.clock.format(this.#data.time) : ''));
    this.#emitError(error);
  }

  /** Send a request with the token. */
  async #send(url, signal, tag, rejected) {
    let token = this.#token;
    if (typeof token === 'function') {
      token = await token(rejected);
      if (!token) throw new Unauthenticated();
    }
    const headers = tag ? { 'If-None-Match': tag } : {};
    if (token && ORIGINS.has(new URL(url, document.baseURI).origin)) headers.Authorization = `Bearer ${token}`;
    // Without the browser's cache, which would turn a 304 into a 200. A redirect leads to a login page.
    return fetch(url, { headers, signal, cache: 'no-store', redirect: 'manual' });
  }

  async #request(url, signal, tag) {
    let response = await this.#send(url, signal, tag, false);
    if (response.status === 401 && typeof this.#token === 'function') {
      response = await this.#send(url, signal, tag, true);
    }
    if (response.status === 401 || response.type === 'opaqueredirect') throw new Unauthenticated();
    if (response.ok || response.status === 304) return response;
    const body = await response.json().catch(() => null);
    throw new Failure(response.status, body?.message || response.statusText || String(response.status));
  }

  /** Return the body of a URL; if it has not changed, the same object as before. */
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

  /** Read as many projects as are to be shown. */
  async #read(signal) {
    const kept = new Map();
    const wanted = this.#limit * this.#pages;
    const groupBy = this.#groupBy;
    const rows = [];
    let first = null;
    let cursor = null;
    do {
      const query = this.#query(ORDERS[this.#order]);
      if (this.#unused) query.set('maxRequests', 0);
      query.set('groupBy', groupBy);
      query.set('limit', Math.min(wanted - rows.length, MAX_LIMIT));
      if (cursor) query.set('cursor', cursor);
      const body = await this.#get(`${this.src}?${query}`, signal, kept);
      first ??= body;
      rows.push(...body.projectStats);
      cursor = body.nextCursor;
    } while (cursor && rows.length < wanted);
    this.#kept = kept;
    const { totalRequests: total, totalProjects: projects, groups } = first;
    return { total, projects, groups, groupBy, rows, time: new Date() };
  }

  /** Read the requests of each day, at most once a minute. `error` says why they could not be read. */
  async #readHistory(signal) {
    const days = Math.min(Math.trunc(Number(this.getAttribute('history'))), 366);
    if (!(days > 0)) return null;
    const start = new Date();
    start.setDate(start.getDate() - days + 1);
    const parts = [start.getFullYear(), start.getMonth() + 1, start.getDate()];
    const from = parts.map((part) => String(part).padStart(2, '0')).join('-');
    const query = this.#query({ from, tz: Intl.DateTimeFormat().resolvedOptions().timeZone });
    const url = `${this.src}/history?${query}`;
    const old = this.#history;
    if (old?.url === url && Date.now() - old.time < HISTORY_INTERVAL) return old;
    const found = { url, time: Date.now(), buckets: old?.url === url ? old.buckets : null, error: null };
    try {
      const response = await this.#request(url, signal);
      found.buckets = parse(await response.text(), response.status).buckets;
    } catch (error) {
      if (signal.aborted || error instanceof Unauthenticated) throw error;
      if (error.status === 404) found.buckets = null;
      else found.error = error;
    }
    if (!signal.aborted) this.#history = found;
    return found;
  }

  /** Return the parameters of the filters, and others. */
  #query(others) {
    const query = new URLSearchParams(others);
    for (const [name, value] of this.#filters) {
      if (value === null) query.append('without', name);
      else query.append(name, value);
    }
    if (this.#search) query.set('search', this.#search);
    return query;
  }

  async #download() {
    const { signal } = this.#downloads;
    try {
      const query = this.#query({ ...ORDERS[this.#order], format: 'csv' });
      if (this.#unused) query.set('maxRequests', 0);
      const response = await this.#request(`${this.src}?${query}`, signal);
      const name = /filename="([^"]+)"/.exec(response.headers.get('Content-Disposition') ?? '')?.[1] ?? 'usage.csv';
      // Excel reads UTF-8 only after a byte order mark.
      const blob = new Blob(['\ufeff', await response.text()], { type: 'text/csv;charset=utf-8' });
      signal.throwIfAborted(); // another user
      const link = h('a', { href: URL.createObjectURL(blob), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** Load the first page of another view. */
  #change() {
    this.#pages = 1;
    this.#load();
  }

  get #limit() {
    return Math.max(Math.trunc(Number(this.getAttribute('limit'))) || 25, 1);
  }

  /** Take everything off the screen that a response has brought. */
  #forget() {
    this.#running?.abort();
    this.#downloads.abort();
    this.#downloads = new AbortController();
    this.#data = this.#history = null;
    this.#kept = new Map();
    this.#pages = 1;
    this.#showError('');
    this.#parts.signedOut.hidden = true;
    this.#render();
  }

  #emitError(error) {
    this.#emit('usage-error', { status: error?.status ?? 0, message: error?.message ?? String(error) });
  }

  #emit(type, detail = null, cancelable = false) {
    return this.dispatchEvent(new CustomEvent(type, { detail, cancelable, bubbles: true, composed: true }));
  }

  // Texts

  /** The language of the nearest ancestor that has one. */
  get #language() {
    let found = '';
    for (let node = this; node && !found; node = node.getRootNode().host) found = node.closest('[lang]')?.lang;
    try {
      return Intl.DateTimeFormat.supportedLocalesOf(found || navigator.language)[0] ?? 'en';
    } catch {
      return 'en'; // not a language tag
    }
  }

  get #format() {
    return getFormatters(this.#language);
  }

  #text(key) {
    return this.#texts[key];
  }

  #texts = ENGLISH;

  #translate() {
    const language = this.#language;
    const known = UsageStats.strings;
    this.#texts = { ...ENGLISH, ...known[language.split('-')[0]], ...known[language], ...this.#strings };
    for (const [node, key] of this.#parts.translated) setText(node, this.#text(key));
    const { search, select } = this.#parts;
    search.placeholder = this.#text('search');
    search.setAttribute('aria-label', this.#text('search'));
    select.setAttribute('aria-label', this.#text('order'));
    this.#render();
  }

  // The shadow tree

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
    parts.errorBox = h('div', { part: 'error', hidden: '' }, parts.error, button('again', () => this.#load()));
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

    parts.showAll = button('showAll', () => this.#showAll(), { hidden: '' });
    parts.groupBy = LABELS.map((name) => button(name, () => this.#setGroupBy(name)));
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
      'select', { part: 'select', change: () => this.#onOrder() },
      ...Object.keys(ORDERS).map((key) => text(h('option', { value: key }), key)),
    );
    parts.unused = button('unused', () => this.#toggleUnused(), { 'aria-pressed': 'false' });
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
    parts.more = button('more', () => this.#showMore(), { part: 'button', class: 'more' });
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
    parts.time = h('span'); // not announced
    parts.note = h('p', { part: 'note', class: 'muted' }, h('bdi', {}, parts.status, parts.time));
    parts.base = h(
      'div', { part: 'base', 'aria-busy': 'false' },
      h('div', { part: 'progress' }), h('slot', { name: 'heading' }, text(h('h2'), 'usage')),
      parts.errorBox, parts.signedOut, parts.content, parts.note,
    );
    this.shadowRoot.append(parts.base);
  }

  #setBusy(busy) {
    const { base, status, signedOut, errorBox } = this.#parts;
    base.setAttribute('aria-busy', String(busy));
    if (busy && !this.#data && signedOut.hidden && errorBox.hidden) setText(status, this.#text('loading'));
  }

  /** Show an error, or none. Readers hear it from the status line. */
  #showError(text) {
    const { error, errorBox, status, time, refresh } = this.#parts;
    this.#message = text;
    setText(error, text);
    if (text) setText(status, text);
    status.className = text ? 'hidden-text' : '';
    time.hidden = Boolean(text);
    this.#hide(errorBox, !text, refresh);
  }

  /** Hide or show a node. If it has the focus, another one gets it. */
  #hide(node, hidden, fallback) {
    const hadFocus = hidden && node.contains(this.shadowRoot.activeElement);
    node.hidden = hidden;
    if (hadFocus) fallback?.focus();
  }

  #render() {
    const { content, total, projects, status, time } = this.#parts;
    const { number, time: clock } = this.#format;
    const data = this.#data;
    content.hidden = !data;
    setText(total, data ? number.format(data.total) : '');
    setText(projects, data ? number.format(data.projects) : '');
    this.#renderHistory(data && this.#history?.buckets);
    this.#renderGroups(data?.groups ?? []);
    this.#renderRows(data?.rows ?? []);
    setText(time, data ? this.#text('asOf').replace('{time}', clock.format(data.time)) : '');
    const shown = data && this.#text('shown').replace('{shown}', number.format(data.rows.length));
    if (!this.#message) setText(status, data ? shown.replace('{total}', number.format(data.projects)) : '');
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
    setText(highest, top ? this.#text('highest').replace('{number}', format.number.format(top.totalRequests)) : '');
    setText(first, items.at(0)?.day ?? '');
    setText(last, items.at(-1)?.day ?? '');
    chart.className = items.length > 90 ? 'dense' : '';
    const getKey = (item) => item.day;
    reconcile(chart, items, getKey, () => h('div'), (node, { part, kind, today }) => {
      node.className = kind || (today ? 'today' : '');
      node.style.blockSize = kind ? '' : `max(${(100 * part).toFixed(2)}%, 2px)`;
    });
    const create = () => h('tr', {}, h('th', { scope: 'row' }), h('td', { class: 'number' }));
    reconcile(days, items, getKey, create, ({ firstChild, lastChild }, { day, count, today }) => {
      setText(firstChild, day);
      const text = count ?? this.#text('noData');
      setText(lastChild, today && count !== null ? this.#text('soFar').replace('{number}', count) : text);
    });
  }

  #renderGroups(groups) {
    const { breakdown, showAll, groupBy, groupName, groups: body } = this.#parts;
    const { number } = this.#format;
    const name = this.#data?.groupBy ?? this.#groupBy;
    breakdown.hidden = !groups.length && !this.#filters.size;
    this.#hide(showAll, !this.#filters.size, groupBy[LABELS.indexOf(name)]);
    groupBy.forEach((button, index) => button.setAttribute('aria-pressed', String(LABELS[index] === this.#groupBy)));
    setText(groupName, this.#text(name));
    const most = Math.max(Number(groups[0]?.totalRequests ?? 0), 0);
    const create = () => h(
      'tr', { part: 'group' }, h('th', { scope: 'row' }), h('td', { class: 'number wide' }),
      createBar(), h('td', { class: 'number' }),
    );
    reconcile(body, groups, (group) => `${name}:${JSON.stringify(group[name])}`, create, (row, group) => {
      const [head, projects, requests, share] = row.children;
      const value = group[name];
      const text = value?.trim() ? value : this.#text('none');
      if (!head.firstChild) head.append(this.#createFilter(name, value));
      setText(head.firstChild, text);
      if (head.firstChild.localName === 'button') {
        head.firstChild.setAttribute('aria-pressed', String(this.#filters.get(name) === value));
      }
      setText(projects, number.format(group.projects));
      updateBar(requests, number.format(group.totalRequests), Number(group.totalRequests) / most);
      setText(share, this.#formatShare(group.totalRequests));
    });
  }

  /** Return the control that filters by a value, or text for one that the API does not accept. */
  #createFilter(name, value) {
    if (value?.length > MAX_FILTER) return h('span');
    const click = () => {
      if (this.#filters.get(name) === value) this.#filters.delete(name);
      else this.#filters.set(name, value);
      this.#change();
    };
    return h('button', { type: 'button', class: 'plain', dir: 'auto', click });
  }

  #renderRows(rows) {
    const { rows: body, table, emptyText, emptySlot, more, unused, changed } = this.#parts;
    const { number } = this.#format;
    const date = this.#order === 'newest' ? 'createdAt' : 'updatedAt';
    const most = rows.reduce((found, row) => Math.max(found, Number(row.totalRequest)), 0);
    unused.setAttribute('aria-pressed', String(this.#unused));
    setText(changed, this.#text(date === 'createdAt' ? 'created' : 'changed'));
    const kind = this.hasAttribute('project-url') ? 'link' : 'text';
    const getKey = (row) => kind + JSON.stringify(row._id ?? null);
    reconcile(body, rows, getKey, () => this.#createRow(), (node, row, index) => {
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
    const filtered = this.#filters.size || this.#search || this.#unused;
    setText(emptyText, this.#text(filtered ? 'noMatch' : 'empty'));
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
      h('td', { class: 'rank wide' }), h('th', { scope: 'row' }, link, h('span', { class: 'labels' }, h('bdi'))),
      createBar(), h('td', { class: 'number wide' }), h('td', { class: 'number wide' }),
    );
  }

  /** Return the address of a project: `project-url` with `{_id}` and other fields. */
  #getUrl(row) {
    const template = this.getAttribute('project-url') ?? '';
    return template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(row[name] ?? ''));
  }

  #formatShare(count) {
    const { percent } = this.#format;
    const share = Number(count) / Number(this.#data.total);
    if (!(share >= 0 && share <= 1)) return '';
    // The isolates keep the sign on the left of the number also from right to left.
    return share > 0 && share < 0.001 ? `\u2066< ${percent.format(0.001)}\u2069` : percent.format(share);
  }

  #formatDate(text) {
    if (!text) return '';
    // Any other text would be read in a way of the browser's own.
    const date = new Date(/^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) ? text : NaN);
    return Number.isNaN(date.getTime()) ? text : this.#format.date.format(date);
  }

  // Controls

  #setGroupBy(name) {
    this.#groupBy = name;
    this.#load();
  }

  #showAll() {
    this.#filters.clear();
    this.#change();
  }

  #onSearch() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => {
      this.#search = this.#parts.search.value;
      this.#change();
    }, TYPING_PAUSE);
  }

  #onOrder() {
    this.#order = this.#parts.select.value;
    this.#change();
  }

  #toggleUnused() {
    this.#unused = !this.#unused;
    this.#change();
  }

  #showMore() {
    this.#pages += 1;
    this.#load();
  }

  /** Let a router open a project. A click with a modifier, or another button, is the browser's. */
  #onOpen(event) {
    if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const { project } = event.currentTarget.closest('tr');
    if (!this.#emit('usage-open', { project }, true)) event.preventDefault();
  }
}

/** Return a cell with a number and its bar, which readers do not hear. */
function createBar() {
  return h(
    'td', { class: 'number bars' }, h('span'),
    h('div', { part: 'track', 'aria-hidden': 'true' }, h('div', { part: 'bar' })),
  );
}

/** Show a number and a bar of a part from 0 to 1. Whatever is more than 0 can be seen. */
function updateBar(cell, text, part) {
  setText(cell.firstChild, text);
  cell.lastChild.firstChild.style.inlineSize = part > 0 ? `max(${(100 * part).toFixed(2)}%, 3px)` : '0';
}

if (!customElements.get('usage-stats')) customElements.define('usage-stats', UsageStats);
