/**
 * The page that shows what a request becomes: its environ, for people (HTML) and programs (JSON).
 *
 * Pure: an environ in, text out. The client chose nearly every value on the page, so functions named
 * `…Html`, and no others, turn text into markup: whatever a browser would run, hide or reorder is
 * made visible there.
 *
 * @see {@link https://peps.python.org/pep-3333/#environ-variables | PEP 3333, environ variables}
 * @see {@link https://www.rfc-editor.org/rfc/rfc3875#section-4.1 | RFC 3875 §4.1}
 * @module
 */

/**
 * The `Content-Security-Policy` that {@link renderEnvironHtml} is written for: no script, nothing
 * loaded, framed or submitted; inline styles.
 */
export const ENVIRON_PAGE_CSP: string =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** What the page shows. */
export interface EnvironPage {
  /** CGI and `HTTP_*` keys hold native strings, dotted keys (`wsgi.*`) anything. */
  readonly environ: Readonly<Record<string, unknown>>
  /** Names of the hops that the request made, first to last; absent, the page shows none. */
  readonly route?: readonly string[] | undefined
  /** The request body, or its size in bytes as `length`; absent, `CONTENT_LENGTH` tells the size. */
  readonly body?: { readonly length: number } | undefined
}

type Environ = EnvironPage['environ']
type GroupName = 'cgi' | 'http' | 'wsgi'
type Entry = [key: string, value: unknown]
/** Sets an escape off from text that looks like one. */
type Mark = (escape: string) => string

/** Over this many characters a value scrolls in a box of its own. */
const LONG_VALUE = 1000
/** At most this many characters of a value are repeated in the headline and the overview. */
const SUMMARY_LENGTH = 100

/** The keys with a place of their own, in that order, each with what it tells the application. */
const KEY_NOTES: ReadonlyMap<string, string> = new Map([
  ['REQUEST_METHOD', 'what to do'],
  ['SCRIPT_NAME', 'path of the application'],
  ['PATH_INFO', 'path inside it, decoded'],
  ['QUERY_STRING', 'after “?”, encoded'],
  ['REQUEST_URI', 'path and query, encoded'],
  ['RAW_URI', 'target, as received'],
  ['CONTENT_TYPE', 'kind of body'],
  ['CONTENT_LENGTH', 'bytes of body'],
  ['SERVER_NAME', 'host asked for'],
  ['SERVER_PORT', 'port asked for'],
  ['SERVER_PROTOCOL', 'HTTP version'],
  ['SERVER_SOFTWARE', 'this gateway'],
  ['GATEWAY_INTERFACE', 'CGI version'],
  ['REQUEST_SCHEME', 'http or https'],
  ['HTTPS', 'present if encrypted'],
  ['REMOTE_ADDR', 'address of the client'],
  ['REMOTE_PORT', 'port of the client'],
  ['REMOTE_USER', 'who signed in'],
  ['AUTH_TYPE', 'how they signed in'],
  ['wsgi.version', 'WSGI version'],
  ['wsgi.url_scheme', 'http or https'],
  ['wsgi.input', 'body, as a file'],
  ['wsgi.input_terminated', 'reads end with the body'],
  ['wsgi.errors', 'log, as a file'],
  ['wsgi.multithread', 'several threads at once'],
  ['wsgi.multiprocess', 'several processes at once'],
  ['wsgi.run_once', 'called only once'],
  ['wsgi.file_wrapper', 'sends files'],
])
const KEY_ORDER: readonly string[] = [...KEY_NOTES.keys()]

const GROUPS: Readonly<Record<GroupName, { title: string; about: string; none: string }>> = {
  cgi: {
    title: 'CGI',
    about: 'The request line, the server and the client.',
    none: 'No CGI variables.',
  },
  http: {
    title: 'HTTP',
    about: 'The header fields: Accept-Language becomes HTTP_ACCEPT_LANGUAGE.',
    none: 'No header fields.',
  },
  wsgi: {
    title: 'wsgi',
    about: 'What WSGI adds, as Python prints it.',
    none: 'No wsgi keys.',
  },
}

/**
 * Renders the environ as an HTML document.
 *
 * Self-contained: one inline style sheet, no script, no URL to load. It repeats cookies and
 * credentials of the request, so send it with {@link ENVIRON_PAGE_CSP} and `Cache-Control: no-store`.
 *
 * @param page The environ, and what is known besides.
 * @returns The document, for `text/html;charset=utf-8`.
 */
export function renderEnvironHtml(page: EnvironPage): string {
  const { method, script, path, query } = requestLine(page.environ)
  const { cgi, http, wsgi } = groupEnviron(page.environ)
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<meta name="referrer" content="no-referrer">
<title>${summaryHtml(`${method} ${script}${path}${query}`, unmarked)} as an environ</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<p class="brand">edge-wsgi</p>
<h1><code><span class="method">${summaryHtml(method)}</span> <bdi><span class="script">${summaryHtml(script)}</span><span class="path">${summaryHtml(path)}</span><span class="query">${summaryHtml(query)}</span></bdi></code> became this environ</h1>
<p>No backend is set yet: this is what a WSGI application would have received.</p>${routeHtml(page.route ?? [])}
</header>
<main>
${overviewHtml(page)}
${NEXT_HTML}
${groupHtml('cgi', cgi, page)}
${groupHtml('http', http, page)}
${groupHtml('wsgi', wsgi, page)}
</main>
<footer>
<p>A native string (PEP 3333) has one octet per character. Octets that are not printable ASCII are
written <code><i>\\xc3\\xa9</i></code>; where they spell UTF-8, the text stands beside them.</p>
</footer>
</body>
</html>
`
}

/**
 * Renders the environ as JSON: `{ "cgi": {…}, "http": {…}, "wsgi": {…} }`, with `"route"` in front
 * when the page has one.
 *
 * Native strings stay native strings, and every character outside printable ASCII is `\uXXXX`: the
 * octets survive any charset. What JSON cannot hold is a short string such as `<wsgi.errors>`.
 *
 * @param page The environ, and what is known besides.
 * @returns Indented JSON in ASCII, keys in the order of {@link renderEnvironHtml}.
 */
export function renderEnvironJson(page: EnvironPage): string {
  const toObject = (entries: Entry[]): object =>
    Object.fromEntries(entries.map(([key, value]) => [key, toJson(value, objectName(key, page))]))
  const { cgi, http, wsgi } = groupEnviron(page.environ)
  const groups = { cgi: toObject(cgi), http: toObject(http), wsgi: toObject(wsgi) }
  const document = page.route ? { route: page.route, ...groups } : groups
  const json = JSON.stringify(document, undefined, 2)
  return `${json.replace(/[^\n\x20-\x7e]/g, (unit) => `\\u${hex(unit, 4)}`)}\n`
}

function groupEnviron(environ: Environ): Record<GroupName, Entry[]> {
  const groups: Record<GroupName, Entry[]> = { cgi: [], http: [], wsgi: [] }
  for (const entry of Object.entries(environ)) groups[groupOf(entry[0])].push(entry)
  for (const entries of Object.values(groups)) entries.sort(compareEntries)
  return groups
}

function groupOf(key: string): GroupName {
  // Before the dot: a field name may hold one ("x.y"), and must not pass for a gateway's key.
  if (key.startsWith('HTTP_')) return 'http'
  return key.includes('.') ? 'wsgi' : 'cgi'
}

function compareEntries([a]: Entry, [b]: Entry): number {
  if (KEY_NOTES.has(a) && KEY_NOTES.has(b)) return KEY_ORDER.indexOf(a) - KEY_ORDER.indexOf(b)
  if (KEY_NOTES.has(a) !== KEY_NOTES.has(b)) return KEY_NOTES.has(a) ? -1 : 1
  return a < b ? -1 : 1
}

function textOf(environ: Environ, key: string): string {
  const value = environ[key]
  return typeof value === 'string' ? value : ''
}

function requestLine(environ: Environ): Record<'method' | 'script' | 'path' | 'query', string> {
  const query = textOf(environ, 'QUERY_STRING')
  return {
    method: textOf(environ, 'REQUEST_METHOD'),
    script: textOf(environ, 'SCRIPT_NAME'),
    path: textOf(environ, 'PATH_INFO'),
    query: query && `?${query}`,
  }
}

function bodySize({ environ, body }: EnvironPage): string | undefined {
  if (body) return countOf(body.length, 'byte')
  const length = textOf(environ, 'CONTENT_LENGTH')
  return /^\d{1,15}$/.test(length) ? countOf(Number(length), 'byte') : undefined
}

function countOf(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

/** What stands for an object, which has no literal: `<wsgi.input, 12 bytes>`. */
function objectName(key: string, page: EnvironPage): string {
  const size = key === 'wsgi.input' ? bodySize(page) : undefined
  return size === undefined ? `<${key}>` : `<${key}, ${size}>`
}

function toJson(value: unknown, name: string): unknown {
  if (value === undefined || value === null) return null
  // Lists of plain values are all that WSGI has; a deeper one may be a cycle.
  if (Array.isArray(value)) {
    return value.map((item) => (Array.isArray(item) ? '[...]' : toJson(item, name)))
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? value
    : name
}

/** Characters that mean something to HTML, in text or in a quoted attribute. */
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
])

const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\\', '\\\\'],
  ['\t', '\\t'],
  ['\n', '\\n'],
  ['\r', '\\r'],
])

/** In a native string: what is not printable ASCII, and the backslash, which begins an escape. */
const OCTET_SPECIAL = /[^\x20-\x7e]+|[&<>"'\\]/g

/**
 * In text: what is invisible or moves its neighbours (controls, bidi overrides, unusual spaces, lone
 * surrogates). Joiners and variation selectors stay: words and emoji are spelled with them.
 */
const TEXT_SPECIAL =
  /[[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]--[ \p{Join_Control}\p{Variation_Selector}]]+|[&<>"']/gv

function hex(character: string, digits: number): string {
  return (character.codePointAt(0) ?? 0).toString(16).padStart(digits, '0')
}

function escapeOf(character: string): string {
  const short = SHORT_ESCAPES.get(character)
  if (short !== undefined) return short
  if (character.length > 1) return `\\U${hex(character, 8)}`
  return character > '\xff' ? `\\u${hex(character, 4)}` : `\\x${hex(character, 2)}`
}

function marked(escape: string): string {
  return `<i>${escape}</i>`
}

/** For titles and attributes, which hold no elements. */
function unmarked(escape: string): string {
  return escape
}

function escapeHtml(text: string, special: RegExp, mark: Mark): string {
  return text.replace(
    special,
    (found) => ENTITIES.get(found) ?? mark(Array.from(found, escapeOf).join(''))
  )
}

function textHtml(text: string, mark: Mark = marked): string {
  return escapeHtml(text, TEXT_SPECIAL, mark)
}

/** A native string as the Python literal that `ascii()` prints. */
function literalHtml(value: string): string {
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'"
  const quoteHtml = textHtml(quote)
  const html = value
    .split(quote)
    .map((part) => escapeHtml(part, OCTET_SPECIAL, marked))
    .join(marked(`\\${quoteHtml}`))
  return `<s>${quoteHtml}</s>${html}<s>${quoteHtml}</s>`
}

/** The text of a native string whose octets are UTF-8 and not all ASCII. */
function decodeUtf8(value: string): string | undefined {
  if (!/[\x80-\xff]/.test(value) || /[^\0-\xff]/.test(value)) return undefined
  const octets = Uint8Array.from(value, (octet) => octet.charCodeAt(0))
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets)
  } catch {
    // Not UTF-8: there are octets to show, and no text.
    return undefined
  }
}

/** The beginning of a native string, to be read rather than copied: as text where it is UTF-8. */
function summaryHtml(value: string, mark: Mark = marked): string {
  const decoded = decodeUtf8(value)
  const text = decoded ?? value
  // A surrogate pair that the cut would split is left out.
  const start = text.slice(0, SUMMARY_LENGTH).replace(/[\ud800-\udbff]$/, '')
  const html = escapeHtml(start, decoded === undefined ? OCTET_SPECIAL : TEXT_SPECIAL, mark)
  return text.length > SUMMARY_LENGTH ? `${html}…` : html
}

function valueHtml(value: unknown, key: string, page: EnvironPage): string {
  if (typeof value === 'string') return stringHtml(value, key)
  if (Array.isArray(value)) {
    const html = value.map((item) => literalOrNameHtml(item, `<${key}>`)).join(', ')
    return `<code>${key === 'wsgi.version' ? `(${html})` : `[${html}]`}</code>`
  }
  return `<code>${literalOrNameHtml(value, objectName(key, page))}</code>`
}

function literalOrNameHtml(value: unknown, name: string): string {
  if (typeof value === 'string') return literalHtml(value)
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (Array.isArray(value)) return '[...]'
  return textHtml(String(toJson(value, name) ?? 'None'))
}

function stringHtml(value: string, key: string): string {
  const text = decodeUtf8(value)
  const utf8Html =
    text === undefined
      ? ''
      : ` <span class="utf8"><small>UTF-8</small> <bdi>${textHtml(text)}</bdi></span>`
  const html = `<code>${literalHtml(value)}</code>${utf8Html}`
  if (value.length <= LONG_VALUE) return html
  const size = countOf(value.length, 'octet')
  // What scrolls takes the focus, or a keyboard cannot scroll it.
  return `<div class="long" role="group" tabindex="0" aria-label="${textHtml(key, unmarked)}, ${size}">${html}</div><small>${size}</small>`
}

function groupHtml(name: GroupName, entries: Entry[], page: EnvironPage): string {
  const { title, about, none } = GROUPS[name]
  const heading = `<h2 id="${name}">${title}</h2>`
  if (entries.length === 0) {
    return `<section aria-labelledby="${name}">${heading}<p class="about">${none}</p></section>`
  }
  const notes = entries.some(([key]) => KEY_NOTES.has(key))
  const rows = entries.map(([key, value]) => {
    const note = notes ? `<td role="cell" class="note">${KEY_NOTES.get(key) ?? ''}</td>` : ''
    return `<tr role="row"><th role="rowheader" scope="row"><code>${textHtml(key)}</code></th><td role="cell">${valueHtml(value, key, page)}</td>${note}</tr>`
  })
  const columns = ['Key', 'Value', ...(notes ? ['Meaning'] : [])].map(
    (column) => `<th role="columnheader" scope="col">${column}</th>`
  )
  // The roles are the elements' own. Some browsers drop them under "display: block".
  return `<section aria-labelledby="${name}">
<table role="table">
<caption>${heading}<p class="about">${about}</p></caption>
<colgroup>${'<col>'.repeat(columns.length)}</colgroup>
<thead role="rowgroup"><tr role="row">${columns.join('')}</tr></thead>
<tbody role="rowgroup">
${rows.join('\n')}
</tbody>
</table>
</section>`
}

function withPort(name: string, port: string): string {
  return name && port ? `${name} port ${port}` : name
}

function routeHtml(route: readonly string[]): string {
  if (route.length === 0) return ''
  const hops = route.map((hop) => `<li>${textHtml(hop)}</li>`)
  return `\n<ol class="route" aria-label="Route of the request">${hops.join('')}</ol>`
}

function overviewHtml(page: EnvironPage): string {
  const text = (key: string): string => textOf(page.environ, key)
  const { method, script, path, query } = requestLine(page.environ)
  const split = [
    ['method', 'REQUEST_METHOD', method],
    ['script', 'SCRIPT_NAME', script],
    ['path', 'PATH_INFO', path],
    ['query', 'QUERY_STRING', query],
  ] as const
  const splitHtml = split.map(([name, label, value]) => {
    const html = value === '' ? '<em>empty</em>' : `<code><bdi>${summaryHtml(value)}</bdi></code>`
    return `<div class="${name}"><dt>${label}</dt><dd>${html}</dd></div>`
  })
  const size = bodySize(page)
  const facts = [
    ['Scheme', text('wsgi.url_scheme') || text('REQUEST_SCHEME'), 'unknown'],
    ['Server', withPort(text('SERVER_NAME'), text('SERVER_PORT')), 'unknown'],
    ['Client', withPort(text('REMOTE_ADDR'), text('REMOTE_PORT')), 'unknown'],
    ['Body', size ?? '', 'none announced'],
  ] as const
  const factsHtml = facts.map(([label, value, absent]) => {
    const html = value === '' ? `<em>${absent}</em>` : summaryHtml(value)
    return `<div><dt>${label}</dt><dd>${html}</dd></div>`
  })
  return `<section class="overview" aria-label="Overview">
<dl class="split">${splitHtml.join('')}</dl>
<dl>${factsHtml.join('')}</dl>
</section>`
}

const NEXT_HTML = `<section class="next" aria-labelledby="next">
<h2 id="next">What next?</h2>
<p>Let your uWSGI listen with <code>--socket 127.0.0.1:3031</code>, set
<code>UPSTREAM=uwsgi://127.0.0.1:3031</code> here, and every request goes there.</p>
<p>Programs get this environ as JSON when they send <code>Accept: application/json</code>.</p>
</section>`

const STYLE = `
:root {
  --paper: #faf9f7; --card: #fff; --ink: #1d2330; --muted: #5b6373; --line: #e5e2dc;
  --blue: #0a5cb8; --brown: #8a4b00; --violet: #6a3aa2; --red: #a3232a; --red-tint: #fcebea;
  --green: #15613a; --green-tint: #e4f3e9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12151a; --card: #1a1e26; --ink: #e3e6ed; --muted: #9aa3b4; --line: #2b313c;
    --blue: #7ab4ff; --brown: #f0b465; --violet: #c8a8f4; --red: #ff9f97; --red-tint: #3a2326;
    --green: #88d8a6; --green-tint: #1b3225;
  }
}
* { box-sizing: border-box; margin: 0; padding: 0; }
body {
  max-width: 70rem; margin: auto; padding: 2rem 1.5rem 3rem; overflow-wrap: anywhere;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
code { font: .875em ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
small { font-size: .75rem; color: var(--muted); }
em, s { color: var(--muted); }
em { font-size: 1rem; }
s { text-decoration: none; }
i { font-style: normal; color: var(--red); background: var(--red-tint); border-radius: 3px; }
h1 { margin: .5rem 0; font-size: clamp(1.375rem, 4.5vw, 2rem); font-weight: 400; line-height: 1.3; }
h1 { text-wrap: balance; }
p { text-wrap: pretty; }
h1 code { font-size: .92em; font-weight: 600; }
h2 { font-size: 1.125rem; line-height: 1.5; }
section { margin-top: 1.5rem; }
.brand { font-weight: 700; color: var(--muted); }
header > p, .about, footer { max-width: 48rem; color: var(--muted); }
.method { color: var(--blue); }
.script { color: var(--brown); }
.path { color: var(--green); }
.query { color: var(--violet); }
.route { display: flex; flex-wrap: wrap; margin-top: .75rem; font-size: .875rem; list-style: none; }
.route li + li::before { content: "→"; content: "→" / ""; margin: 0 .5rem; color: var(--muted); }
.overview, .next, table { border: 1px solid var(--line); border-radius: .625rem; background: var(--card); }
dl { display: flex; flex-wrap: wrap; gap: .75rem 2rem; padding: 1rem 1.25rem; }
dt { font-size: .75rem; color: var(--muted); }
.split { gap: .75rem 2px; border-bottom: 1px solid var(--line); }
.split div { padding: .25rem .75rem 0 0; border-top: 3px solid; }
.split .method { margin-right: 1rem; }
.split dd { font-size: 1.125rem; }
.next { padding: 1rem 1.25rem; border-left: 4px solid var(--blue); }
.next code { display: inline-block; }
.next p { margin-top: .25rem; }
table { width: 100%; table-layout: fixed; border-spacing: 0; }
caption { padding: 1rem 0 .625rem; text-align: left; }
thead { position: absolute; clip-path: inset(50%); }
th, td { padding: .5rem 1.25rem; text-align: left; vertical-align: baseline; font-weight: 400; }
col:first-child { width: 19rem; }
tr + tr > * { border-top: 1px solid var(--line); }
td code { white-space: pre-wrap; }
col:nth-child(3) { width: 15rem; }
.note { font-size: .875rem; text-align: right; color: var(--muted); }
.utf8 { display: inline-block; padding: 0 .375rem; border-radius: 3px; background: var(--green-tint); }
.long { max-height: 12rem; padding: .375rem; overflow: auto; border: 1px solid var(--line); border-radius: 3px; }
footer { margin-top: 2rem; font-size: .875rem; }
@media (max-width: 44rem) {
  body { padding: 1.25rem 1rem 2rem; }
  dl, .next { padding: .875rem 1rem; }
  table, caption, tbody, th, td { display: block; }
  colgroup { display: none; }
  table { border: 0; background: none; }
  tbody { border: 1px solid var(--line); border-radius: .625rem; background: var(--card); }
  tr { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; }
  tr { gap: 0 1rem; padding: .5rem 1rem; }
  tr + tr { border-top: 1px solid var(--line); }
  tr > *, tr + tr > * { padding: 0; border: 0; }
  tbody th { color: var(--muted); }
  tr > td:not(.note) { order: 1; width: 100%; }
}
`
