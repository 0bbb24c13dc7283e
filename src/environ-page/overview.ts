/**
 * The box above the tables: how the request was split, and between whom.
 *
 * @module
 */
import { summaryHtml } from './escape.ts'
import { countOf, type EnvironRecord, requestLine, textOf } from './facts.ts'

/**
 * A section with the four parts of the request line, then scheme, server, client and body.
 *
 * @param size Of the request body, in bytes.
 */
export function overviewHtml(environ: EnvironRecord, size: number | undefined): string {
  const text = (key: string): string => textOf(environ, key)
  const { method, script, path, query } = requestLine(environ)
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
  const facts = [
    ['Scheme', text('wsgi.url_scheme') || text('REQUEST_SCHEME'), 'unknown'],
    ['Server', withPort(text('SERVER_NAME'), text('SERVER_PORT')), 'unknown'],
    ['Client', withPort(text('REMOTE_ADDR'), text('REMOTE_PORT')), 'unknown'],
    ['Body', size === undefined ? '' : countOf(size, 'byte'), 'none announced'],
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

function withPort(name: string, port: string): string {
  return name && port ? `${name} port ${port}` : name
}
