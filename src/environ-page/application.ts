/**
 * The environ page as a WSGI application: what answers where no backend is set yet.
 *
 * @module
 */
import { parseAccept } from 'hono/utils/accept'
import type { Application } from '../core/application.ts'
import type { HeaderField } from '../core/request-head.ts'
import { ENVIRON_PAGE_CSP, renderEnvironHtml, renderEnvironJson } from './environ-page.ts'

/** For either form of the page. */
const HEADERS: readonly HeaderField[] = [
  ['Cache-Control', 'no-store'],
  ['Vary', 'Accept'],
  ['X-Content-Type-Options', 'nosniff'],
  // The page repeats the client's cookies, which another site must not get to read.
  ['Cross-Origin-Resource-Policy', 'same-origin'],
]

/**
 * Makes the application.
 *
 * @param route Names of the hops that a request makes to it, first to last.
 * @returns Answers with the page, or with JSON where `Accept` prefers that.
 */
export function environPage(route: readonly string[]): Application {
  return function answerEnviron(environ, startResponse) {
    const page = { environ, route }
    if (prefersJson(environ['HTTP_ACCEPT'])) {
      startResponse('200 OK', [['Content-Type', 'application/json'], ...HEADERS])
      return [encoder.encode(renderEnvironJson(page))]
    }
    startResponse('200 OK', [
      ['Content-Type', 'text/html; charset=UTF-8'],
      ['Content-Security-Policy', ENVIRON_PAGE_CSP],
      ...HEADERS,
    ])
    return [encoder.encode(renderEnvironHtml(page))]
  }
}

const encoder = new TextEncoder()

function prefersJson(accept: unknown): boolean {
  if (typeof accept !== 'string') return false
  const known = parseAccept(accept)
    .filter(({ type, q }) => q > 0 && (type === 'application/json' || type === 'text/html'))
    .toSorted((a, b) => b.q - a.q)
  return known[0]?.type === 'application/json'
}
