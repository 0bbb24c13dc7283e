/**
 * The page that shows what a request becomes: its environ, for people (HTML) and for programs (JSON).
 *
 * Pure: an environ in, text out. Nearly every value on the page was chosen by the client, so text
 * becomes markup in one place only: functions named `…Html` return markup, take plain text, and
 * make visible whatever a browser would swallow, reorder or run.
 *
 * @see {@link https://peps.python.org/pep-3333/#environ-variables | PEP 3333, environ variables}
 * @see {@link https://www.rfc-editor.org/rfc/rfc3875#section-4.1 | RFC 3875 §4.1}
 * @module
 */

/**
 * The `Content-Security-Policy` that {@link renderEnvironHtml} is written for: no script, nothing
 * loaded, nothing framed; one inline style sheet.
 */
export const ENVIRON_PAGE_CSP: string =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** What the page shows. */
export interface EnvironPage {
  /** The environ: CGI and `HTTP_*` keys hold native strings, dotted keys (`wsgi.*`) anything. */
  readonly environ: Readonly<Record<string, unknown>>
  /** Names of the hops that the request made, first to last; not shown when absent or empty. */
  readonly route?: readonly string[] | undefined
  /** The request body or its size in bytes as `length`; when absent, `CONTENT_LENGTH` tells it. */
  readonly body?: { readonly length: number } | undefined
}

type GroupName = 'cgi' | 'http' | 'wsgi'
type Entry = [key: string, value: unknown]

/** Over this many characters a value scrolls in a box of its own. */
const LONG_VALUE = 1000
/** Characters of a value that the headline and the overview repeat at most. */
const SUMMARY_LENGTH = 120

/** The keys that have a fixed place, in display order, each with what it tells the application. */
const KEY_NOTES: ReadonlyMap<string, string> = new Map([
  ['REQUEST_METHOD', 'what to do'],
  ['SCRIPT_NAME', 'where the application is mounted'],
  ['PATH_INFO', 'the path below that, percent-decoded'],
  ['QUERY_STRING', 'after the “?”, still encoded'],
  ['REQUEST_URI', 'path and query, still encoded'],
  ['RAW_URI', 'the request target, untouched'],
  ['CONTENT_TYPE', 'media type of the body'],
  ['CONTENT_LENGTH', 'size of the body'],
  ['SERVER_NAME', 'the host asked for'],
  ['SERVER_PORT', 'the port asked for'],
  ['SERVER_PROTOCOL', 'HTTP version'],
  ['SERVER_SOFTWARE', 'this gateway'],
  ['GATEWAY_INTERFACE', 'CGI version'],
  ['REQUEST_SCHEME', 'http or https'],
  ['HTTPS', 'there when encrypted'],
  ['REMOTE_ADDR', 'the client'],
  ['REMOTE_PORT', 'its port'],
  ['REMOTE_USER', 'who signed in'],
  ['AUTH_TYPE', 'how they signed in'],
  ['wsgi.version', 'of this interface'],
  ['wsgi.url_scheme', 'for building links'],
  ['wsgi.input', 'reads the body'],
  ['wsgi.input_terminated', 'read() stops where the body does'],
  ['wsgi.errors', 'writes to the error log'],
  ['wsgi.multithread', 'other threads may call too'],
  ['wsgi.multiprocess', 'other processes may call too'],
  ['wsgi.run_once', 'one request per process'],
  ['wsgi.file_wrapper', 'sends a file'],
])

const GROUPS: Readonly<Record<GroupName, { title: string; about: string; none: string }>> = {
  cgi: {
    title: 'CGI',
    about: 'The request line, the server and the client, under the names CGI gave them.',
    none: 'This environ has no CGI variables.',
  },
  http: {
    title: 'HTTP',
    about: 'The header fields: HTTP_, then the name in capitals, “-” written “_”.',
    none: 'This request had no header fields.',
  },
  wsgi: {
    title: 'wsgi',
    about: 'What only a WSGI application gets, as Python would print it.',
    none: 'This environ has no wsgi keys.',
  },
}

/**
 * Renders the environ as an HTML document.
 *
 * Self-contained (one inline style sheet, no script, no address to load from) and safe to serve as
 * `text/html;charset=utf-8` under {@link ENVIRON_PAGE_CSP}. It repeats cookies and credentials of
 * the request, so send it with `Cache-Control: no-store`.
 *
 * @param page The environ, and what is known besides.
 * @returns The document, from doctype to `</html>`.
 */
export function renderEnvironHtml(page: EnvironPage): string {
  const { environ } = page
  const groups = groupEnviron(environ)
  const parts = requestParts(environ)
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<meta name="referrer" content="no-referrer">
<title>${parts.map(([, , value]) => summaryHtml(value, unmarked)).join('').replace(METHOD…)} – environ</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<p class="brand">edge-wsgi</p>
<h1><code><b>${summaryHtml(method)}</b> <bdi>${summaryHtml(target)}</bdi></code> became this environ</h1>
<p>No backend is configured yet, so instead of an answer you see what a WSGI application
would have been called with.</p>
${routeHtml(page.route ?? [])}</header>
<main>
${overviewHtml(page)}
${NEXT_HTML}
${groupHtml('cgi', groups.cgi, page)}
${groupHtml('http', groups.http, page)}
${groupHtml('wsgi', groups.wsgi, page)}
</main>
<footer>
<p>Strings are native strings (PEP 3333): one character is one octet. Octets outside printable
ASCII are written as <code><i>\\xc3\\xa9</i></code>; where they are valid UTF-8, the text
follows.</p>
</footer>
</body>
</html>
`
}

/**
 * Renders the environ as JSON: `{ "cgi": {…}, "http": {…}, "wsgi": {…} }`, and `"route"` when given.
 *
 * Native strings stay native strings, with every character outside printable ASCII as `\uXXXX`, so
 * the octets survive any charset; what JSON cannot hold becomes a short string.
 *
 * @param page The environ, and what is known besides.
 * @returns Indented JSON, pure ASCII, in the key order of {@link renderEnvironHtml}.
 */
export function renderEnvironJson(page: EnvironPage): string {
  const { cgi, http, wsgi } = groupEnviron(page.environ)
  const toObject = (entries: Entry[]): object =>
    Object.fromEntries(entries.map(([key, value]) => [key, toJson(value, objectName(key, page))]))
  const document = {
    ...(page.route && { route: page.route }),
    cgi: toObject(cgi),
    http: toObject(http),
    wsgi: toObject(wsgi),
  }
  const json = JSON.stringify(document, undefined, 2)
  return `${json.replace(/[^\n\x20-\x7e]/g, (unit) => `\\u${hex(unit, 4)}`)}\n`
}

function groupEnviron(environ: EnvironPage['environ']): Record<GroupName, Entry[]> {
  const groups: Record<GroupName, Entry[]> = { cgi: [], http: [], wsgi: [] }
  for (const entry of Object.entries(environ)) groups[groupOf(entry[0])].push(entry)
  for (const entries of Object.values(groups)) entries.sort(byPlace)
  return groups
}

function groupOf(key: string): GroupName {
  // First, for a header field may be named "x.y" and must not pass for a key of the gateway.
  if (key.startsWith('HTTP_')) return 'http'
  return key.includes('.') ? 'wsgi' : 'cgi'
}

const PLACES: ReadonlyMap<string, number> = new Map([...KEY_NOTES.keys()].map((key, i) => [key, i]))

function byPlace([a]: Entry, [b]: Entry): number {
  const order = (PLACES.get(a) ?? PLACES.size) - (PLACES.get(b) ?? PLACES.size)
  return order === 0 ? (a < b ? -1 : 1) : order
}

function textOf(environ: EnvironPage['environ'], key: string): string {
  const value = environ[key]
  return typeof value === 'string' ? value : ''
}

function bodyLength({ environ, body }: EnvironPage): number | undefined {
  if (body) return body.length
  const length = textOf(environ, 'CONTENT_LENGTH')
  return /^\d+$/.test(length) ? Number(length) : undefined
}

function countOf(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

/** How an object that has no literal is called, as in `<wsgi.input, 12 bytes>`. */
function objectName(key: string, page: EnvironPage): string {
  const length = key === 'wsgi.input' ? bodyLength(page) : undefined
  return length === undefined ? `<${key}>` : `<${key}, ${countOf(length, 'byte')}>`
}

function toJson(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.map((item) => (Array.isArray(item) ? '[…]' : toJson(item, name)))
  if (value === undefined || value === null) return null
  return ['string', 'number', 'boolean'].includes(typeof value) ? value : name
}

/** Characters that mean something to HTML, in text or in an attribute value. */
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

/** In a native string: all that is not printable ASCII; the backslash, which begins an escape. */
const OCTET_SPECIAL = /[^\x20-\x7e]+|[&<>"'\\]/g

/**
 * In Unicode text: whatever is invisible or moves its neighbours (controls, bidi overrides, spaces
 * but the common one, lone surrogates). Joiners and variation selectors stay: words and emoji are
 * spelled with them.
 */
const TEXT_SPECIAL =
  /[[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]--[ \u200c\u200d\ufe00-\ufe0f]]+|[&<>"']/gv

function hex(character: string, digits: number): string {
  return (character.codePointAt(0) ?? 0).toString(16).padStart(digits, '0')
}

function escapeOf(character: string): string {
  const short = SHORT_ESCAPES.get(character)
  if (short !== undefined) return short
  if (character > '\uffff' && character.length > 1) return `\\U${hex(character, 8)}`
  return character > '\xff' ? `\\u${hex(character, 4)}` : `\\x${hex(character, 2)}`
}

/** Sets an escape off from text that happens to look like one. */
function marked(escape: string): string {
  return `<i>${escape}</i>`
}

/** For where HTML takes no elements: titles and attribute values. */
function unmarked(escape: string): string {
  return escape
}

function escapeHtml(text: string, special: RegExp, mark: (escape: string) => string): string {
  return text.replace(
    special,
    (found) => ENTITIES.get(found) ?? mark(Array.from(found, escapeOf).join(''))
  )
}

function textHtml(text: string, mark: (escape: string) => string = marked): string {
  return escapeHtml(text, TEXT_SPECIAL, mark)
}

/** A native string as the Python literal that `ascii()` prints. */
function literalHtml(value: string): string {
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'"
  const quoteHtml = textHtml(quote)
  const inner = value
    .split(quote)
    .map((part) => escapeHtml(part, OCTET_SPECIAL, marked))
    .join(marked(`\\${quoteHtml}`))
  return `<s>${quoteHtml}</s>${inner}<s>${quoteHtml}</s>`
}

/** The text in a native string, when its octets are UTF-8 and not ASCII alone. */
function decodeUtf8(value: string): string | undefined {
  if (!/[\x80-\xff]/.test(value) || /[^\0-\xff]/.test(value)) return undefined
  const octets = Uint8Array.from(value, (octet) => octet.charCodeAt(0))
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets)
  } catch {
    // Not UTF-8: the octets are all there is to show.
    return undefined
  }
}

/** The beginning of a native string for reading, not for copying: decoded where that is possible. */
function summaryHtml(value: string, mark: (escape: string) => string = marked): string {
  const decoded = decodeUtf8(value)
  const text = decoded ?? value
  // Not between the halves of a surrogate pair.
  const start = text.slice(0, SUMMARY_LENGTH).replace(/[\ud800-\udbff]$/, '')
  const special = decoded === undefined ? OCTET_SPECIAL : TEXT_SPECIAL
  return escapeHtml(start, special, mark) + (text.length > SUMMARY_LENGTH ? '…' : '')
}

function valueHtml(value: unknown, key: string, page: EnvironPage): string {
  if (typeof value === 'string') return stringHtml(value, key)
  if (typeof value === 'boolean') return `<code>${value ? 'True' : 'False'}</code>`
  if (typeof value === 'number') return `<code>${value}</code>`
  if (value === undefined || value === null) return '<code>None</code>'
  if (Array.isArray(value)) return `<code>${arrayHtml(value, key)}</code>`
  return `<code class="object">${textHtml(objectName(key, page))}</code>`
}

function stringHtml(value: string, key: string): string {
  const text = decodeUtf8(value)
  const hint = text === undefined ? '' : ` <span class="utf8">UTF-8 <bdi>${textHtml(text)}</bdi></span>`
  const html = `<code>${literalHtml(value)}</code>${hint}`
  if (value.length <= LONG_VALUE) return html
  const label = `${textHtml(key, unmarked)}, ${countOf(value.length, 'octet')}`
  // A box that scrolls must be reachable without a mouse.
  return `<div class="long" role="group" tabindex="0" aria-label="${label}">${html}</div>
<small>${countOf(value.length, 'octet')}</small>`
}

function arrayHtml(items: unknown[], key: string): string {
  const inner = items.map((item) => {
    if (typeof item === 'string') return literalHtml(item)
    // One level is all that WSGI has; a deeper one may be a cycle.
    return Array.isArray(item) ? '[…]' : textHtml(String(toJson(item, `<${key}>`)))
  })
  return key === 'wsgi.version' ? `(${inner.join(', ')})` : `[${inner.join(', ')}]`
}

function groupHtml(name: GroupName, entries: Entry[], page: EnvironPage): string {
  const { title, about, none } = GROUPS[name]
  const heading = `<h2 id="${name}">${title} <small>${countOf(entries.length, 'key')}</small></h2>`
  if (entries.length === 0) {
    return `<section aria-labelledby="${name}">${heading}<p class="about">${none}</p></section>`
  }
  // The roles are those the elements have anyway; some browsers drop them with `display: block`,
  // which narrow screens need.
  const rows = entries.map(([key, value]) => {
    const note = KEY_NOTES.get(key)
    return `<tr role="row"><th scope="row" role="rowheader"><code>${textHtml(key)}</code>${
      note === undefined ? '' : ` <small>${note}</small>`
    }</th><td role="cell">${valueHtml(value, key, page)}</td></tr>`
  })
  return `<section aria-labelledby="${name}">
<table role="table">
<caption>${heading}<p class="about">${about}</p></caption>
<thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">Key</th><th scope="col" role="columnheader">Value</th></tr></thead>
<tbody role="rowgroup">
${rows.join('\n')}
</tbody>
</table>
</section>`
}

function routeHtml(route: readonly string[]): string {
  if (route.length === 0) return ''
  const hops = route.map((hop) => `<li>${textHtml(hop)}</li>`)
  return `<ol class="route" aria-label="Route of this request">${hops.join('')}</ol>\n`
}

function overviewHtml(page: EnvironPage): string {
  const { environ } = page
  const text = (key: string): string => textOf(environ, key)
  const join = (...parts: string[]): string => parts.filter(Boolean).join(' ')
  const length = bodyLength(page)
  const split = [
    ['method', 'Method', text('REQUEST_METHOD')],
    ['script', 'SCRIPT_NAME', text('SCRIPT_NAME')],
    ['path', 'PATH_INFO', text('PATH_INFO')],
    ['query', 'Query', text('QUERY_STRING')],
  ] as const
  const port = text('REMOTE_PORT')
  const facts = [
    ['Scheme', text('wsgi.url_scheme') || text('REQUEST_SCHEME')],
    ['Server', join(text('SERVER_NAME'), text('SERVER_PORT') && `port ${text('SERVER_PORT')}`)],
    ['Client', join(text('REMOTE_ADDR'), port && `port ${port}`)],
    ['Body', length === undefined ? '' : join(countOf(length, 'byte'), text('CONTENT_TYPE'))],
  ] as const
  const splitHtml = split.map(
    ([name, label, value]) =>
      `<div class="${name}"><dt>${label}</dt><dd>${
        value === '' ? '<em>empty</em>' : `<code><bdi>${summaryHtml(value)}</bdi></code>`
      }</dd></div>`
  )
  const factsHtml = facts.map(
    ([label, value]) =>
      `<div><dt>${label}</dt><dd>${value === '' ? '<em>unknown</em>' : summaryHtml(value)}</dd></div>`
  )
  return `<section class="overview" aria-label="Overview">
<dl class="split">${splitHtml.join('')}</dl>
<dl class="facts">${factsHtml.join('')}</dl>
</section>`
}

const NEXT_HTML = `<section class="next" aria-labelledby="next">
<h2 id="next">What next?</h2>
<p>Start your application with <code>uwsgi --socket 127.0.0.1:3031</code> and set
<code>UPSTREAM=uwsgi://127.0.0.1:3031</code> here: every request then goes to that uWSGI
instead of this page.</p>
<p>For a program, send <code>Accept: application/json</code> and this environ comes as JSON.</p>
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
  max-width: 66rem; margin: auto; padding: 2rem 1.5rem 3rem; overflow-wrap: anywhere;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
code { font: .875em ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
small { font-size: .8125rem; font-weight: 400; color: var(--muted); }
i { font-style: normal; color: var(--red); background: var(--red-tint); border-radius: 3px; }
s { text-decoration: none; color: var(--muted); }
em { color: var(--muted); }
.brand { font-weight: 700; color: var(--muted); }
h1 { margin: .5rem 0; font-size: clamp(1.375rem, 4.5vw, 2rem); font-weight: 400; line-height: 1.3; }
h1 code { font-size: .92em; font-weight: 600; }
h2 { font-size: 1.125rem; line-height: 1.4; }
.method, h1 b { color: var(--blue); }
.script { color: var(--brown); }
.query { color: var(--violet); }
header p, .about, footer { max-width: 46rem; color: var(--muted); }
.route { display: flex; flex-wrap: wrap; gap: .375rem; margin-top: 1rem; list-style: none; }
.route li { font-size: .875rem; }
.route li + li::before { content: "→"; content: "→" / ""; margin-right: .375rem; color: var(--muted); }
section { margin-top: 1.5rem; }
.overview, .next, table { border: 1px solid var(--line); border-radius: .625rem; background: var(--card); }
dl { display: flex; flex-wrap: wrap; gap: .75rem 2rem; padding: 1rem 1.25rem; }
dt { font-size: .75rem; color: var(--muted); }
.split { border-bottom: 1px solid var(--line); }
.split dd { font-size: 1.125rem; }
.next { padding: 1rem 1.25rem; border-left: 4px solid var(--blue); }
table { width: 100%; border-collapse: separate; border-spacing: 0; }
caption { padding: 1rem 0 .625rem; text-align: left; }
th, td { padding: .5rem 1.25rem; text-align: left; vertical-align: top; font-weight: 400; }
tbody th { width: 19rem; }
tbody th small { display: block; }
tr + tr > * { border-top: 1px solid var(--line); }
td code { white-space: pre-wrap; }
thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.object { color: var(--muted); }
.utf8 { padding: 0 .375rem; border-radius: 3px; color: var(--green); background: var(--green-tint); }
.long { max-height: 14rem; overflow: auto; }
footer { margin-top: 2rem; font-size: .875rem; }
@media (max-width: 40rem) {
  body { padding: 1.25rem 1rem 2rem; }
  table, tbody, tr, tbody th, td { display: block; width: auto; }
  tbody th { padding: .625rem 1rem 0; }
  td { padding: 0 1rem .625rem; border: 0 !important; }
}
`
