/**
 * The page that shows what a request becomes: its environ, for people (HTML) and programs (JSON).
 * Pure: an environ in, text out.
 *
 * @see {@link https://peps.python.org/pep-3333/#environ-variables | PEP 3333, environ variables}
 * @module
 */
import { hex, summaryHtml, textHtml, unmarked } from './escape.ts'
import { bodySize, type EnvironRecord, requestLine } from './facts.ts'
import { type Entry, groupEnviron } from './groups.ts'
import { overviewHtml } from './overview.ts'
import { STYLE } from './style.ts'
import { groupHtml } from './table.ts'
import { objectName, toJson } from './values.ts'

/**
 * The `Content-Security-Policy` that {@link renderEnvironHtml} is written for: no script, nothing
 * loaded, framed or submitted; inline styles.
 */
export const ENVIRON_PAGE_CSP: string =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** What the page shows. */
export interface EnvironPage {
  /** CGI and `HTTP_*` keys hold native strings, dotted keys (`wsgi.*`) anything. */
  readonly environ: EnvironRecord
  /** Names of the hops that the request made, first to last; absent, the page shows none. */
  readonly route?: readonly string[] | undefined
  /** The request body, or its size in bytes as `length`; absent, `CONTENT_LENGTH` tells the size. */
  readonly body?: { readonly length: number } | undefined
}

const NEXT_HTML = `<section class="next" aria-labelledby="next">
<h2 id="next">What next?</h2>
<p>Let your uWSGI listen with <code>--socket 127.0.0.1:3031</code>, set
<code>UPSTREAM=uwsgi://127.0.0.1:3031</code> here, and every request goes there.</p>
<p>Programs get this environ as JSON when they send <code>Accept: application/json</code>.</p>
</section>`

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
  const { environ, route, body } = page
  const { method, script, path, query } = requestLine(environ)
  const { cgi, http, wsgi } = groupEnviron(environ)
  const size = bodySize(environ, body)
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
<p>No backend of yours is set yet: this is what a WSGI application receives.</p>${routeHtml(route ?? [])}
</header>
<main>
${overviewHtml(environ, size)}
${NEXT_HTML}
${groupHtml('cgi', cgi, size)}
${groupHtml('http', http, size)}
${groupHtml('wsgi', wsgi, size)}
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
  const { environ, route, body } = page
  const size = bodySize(environ, body)
  const toObject = (entries: Entry[]): object =>
    Object.fromEntries(entries.map(([key, value]) => [key, toJson(value, objectName(key, size))]))
  const { cgi, http, wsgi } = groupEnviron(environ)
  const groups = { cgi: toObject(cgi), http: toObject(http), wsgi: toObject(wsgi) }
  const document = route ? { route, ...groups } : groups
  const json = JSON.stringify(document, undefined, 2)
  return `${json.replace(/[^\n\x20-\x7e]/g, (unit) => `\\u${hex(unit, 4)}`)}\n`
}

function routeHtml(route: readonly string[]): string {
  if (route.length === 0) return ''
  const hops = route.map((hop) => `<li>${textHtml(hop)}</li>`)
  return `\n<ol class="route" aria-label="Route of the request">${hops.join('')}</ol>`
}
