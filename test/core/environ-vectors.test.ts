import { expect, test } from 'vitest'
import { type Environ, toEnviron } from '../../src/core/environ.ts'
import type { EnvironOptions } from '../../src/core/environ-options.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { octetsToNative } from '../../src/core/octets.ts'
import type { RequestMeta } from '../../src/core/request-head.ts'
import vectors from '../vectors/environ.json' with { type: 'json' }

interface Vector {
  id: string
  req?: { method?: string; url?: string; headers?: [string, string][]; body?: string | null }
  meta?: RequestMeta
  opts?: EnvironOptions
  expect: Record<string, unknown>
}

/** Which rules a group of vectors stands for: the letter of the id. */
const RULES: Record<string, string> = {
  P: 'PATH-1 PATH-3 PATH-4 PATH-5 PATH-6 PATH-7 PATH-8 PATH-9 PATH-10',
  Q: 'PATH-2 PATH-12 PATH-13',
  T: 'TGT-1 TGT-2 TGT-4',
  M: 'MOUNT-1 MOUNT-2 MOUNT-3',
  H: 'HOST-1 HOST-2 HOST-3',
  X: 'HDR-1 to HDR-8',
  B: 'BODY-1 to BODY-5',
  R: 'TRUST-1 TRUST-2 TRUST-3',
  G: 'REQUEST_METHOD',
  W: 'wsgi keys',
  L: 'HDR-11',
}

const cases = vectors.cases as unknown as Vector[]

test('the vectors are all there', () => {
  expect(cases.length).toBe(77)
})

test.each(cases.map((vector) => [vector.id, RULES[vector.id[0] ?? ''], vector] as const))(
  'vector %s (%s)',
  async (_id, _rules, vector) => {
    const meta = { ...(vectors.defaults.meta as RequestMeta), ...vector.meta }
    const outcome = await toEnviron(toRequest(vector), meta, vector.opts).catch(
      (error: unknown) => error
    )
    const { reject, ...variables } = vector.expect
    if (reject !== undefined) {
      expect(outcome).toBeInstanceOf(GatewayError)
      expect((outcome as GatewayError).status).toBe(reject)
      return
    }
    expect(outcome).not.toBeInstanceOf(Error)
    const environ = outcome as Environ
    for (const [name, value] of Object.entries(variables)) {
      if (name === 'wsgi.input') {
        expect(octetsToNative(await environ['wsgi.input'].read())).toBe(value)
      } else if (value === null) expect(environ).not.toHaveProperty([name])
      else expect([name, environ[name]]).toEqual([name, value])
    }
  }
)

function toRequest({ req }: Vector): Request {
  const { method, url, headers, body } = { ...vectors.defaults.req, ...req }
  const init: RequestInit = { method }
  if (body != null) Object.assign(init, { body: bodyStream(body), duplex: 'half' })
  const request = new Request(url, init)
  for (const [name, value] of headers as [string, string][]) setHeader(request, name, value)
  return request
}

/** A stream, as a server hands it over: a string would bring a Content-Type of its own. */
function bodyStream(text: string): ReadableStream<Uint8Array> {
  return new Blob([Uint8Array.from(text, (unit) => unit.charCodeAt(0))]).stream()
}

/** Servers fill headers that a page's script may not, such as Host. */
function setHeader(request: Request, name: string, value: string): void {
  request.headers.append(name, value)
}
