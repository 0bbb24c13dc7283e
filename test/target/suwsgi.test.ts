import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeDirectory } from '../backend/process.ts'
import { type Certificates, makeCertificates } from '../backend/tls.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { logged } from '../support/deadline.ts'
import { send, sendRaw } from '../support/http-client.ts'
import { denoTarget } from './deno-target.ts'
import { nodeTarget } from './node-target.ts'
import { type Environ, environOf, respondWith } from './parts/context.ts'
import type { RunningTarget, TargetVariables } from './target.ts'

const BODY_BYTES = 1_000_000
const REFUSAL = '502: 502 Bad Gateway\n'

let certificates: Certificates
let backend: UwsgiServer
let demanding: UwsgiServer
let unixBackend: UwsgiServer

beforeAll(async () => {
  certificates = await makeCertificates()
  const { ca, server, client } = certificates
  const tls = { cert: server.cert, key: server.key }
  const identity = { ca: ca.cert, cert: client.cert, key: client.key }
  ;[backend, demanding, unixBackend] = await Promise.all([
    startUwsgi({ app: 'environ', tls }),
    startUwsgi({ app: 'environ', tls: { ...tls, client: identity } }),
    startUwsgi({ app: 'environ', socket: 'unix' }),
  ])
})

afterAll(async () => {
  await Promise.all([backend, demanding, unixBackend].map((server) => server?.stop()))
  await certificates?.remove()
})

describe.each([nodeTarget, denoTarget])('on $name', (target) => {
  /** Starts a deployment for as long as `use` takes. */
  async function deployed<T>(
    variables: TargetVariables,
    use: (running: RunningTarget) => Promise<T>
  ): Promise<T> {
    const running = await target.start(variables)
    try {
      return await use(running)
    } finally {
      await running.stop()
    }
  }
  /** What a client gets, once the log says why. */
  async function refusal(variables: TargetVariables): Promise<string> {
    return await deployed(variables, async (running) => {
      const { status, text } = await send(running.origin, { target: '/' })
      await logged(running, /ERR_UPSTREAM_(?:CONNECT|EMPTY)/)
      return `${status}: ${text}`
    })
  }

  describe('suwsgi://', () => {
    test('a backend with a certificate of the right authority answers', async () => {
      await deployed(trusting(), async ({ origin }) => {
        expect(await environOf(origin, { target: '/t' })).toMatchObject({ PATH_INFO: '/t' })
        const body = 'x'.repeat(BODY_BYTES)
        expect(await environOf(origin, { target: '/t', body })).toMatchObject({
          CONTENT_LENGTH: String(BODY_BYTES),
          body_length: BODY_BYTES,
        })
      })
    })

    test('a response without Content-Length is whole', async () => {
      const chunks = Array.from({ length: 10 }, (_, i) => `${i}`.repeat(50))
      await deployed(trusting(), async ({ origin }) => {
        const response = await send(origin, { target: respondWith({ chunks }) })
        expect(response.header('content-length')).toBeUndefined()
        expect(response.text).toBe(chunks.join(''))
      })
    })

    test('without the authority it is 502', async () => {
      expect(await refusal({ UPSTREAM: backend.address })).toBe(REFUSAL)
    })

    test('under another authority it is 502', async () => {
      const SSL_TRUSTED_CERTIFICATE = certificates.client.cert
      expect(await refusal(trusting({ SSL_TRUSTED_CERTIFICATE }))).toBe(REFUSAL)
    })

    test('SSL_NAME is the name that the certificate must carry', async () => {
      expect(await refusal(trusting({ SSL_NAME: 'other.example' }))).toBe(REFUSAL)
      await deployed(trusting({ SSL_NAME: 'localhost' }), async ({ origin }) => {
        expect((await send(origin, { target: '/' })).status).toBe(200)
      })
    })

    test('a backend that demands a client certificate answers who shows one', async () => {
      const UPSTREAM = demanding.address
      expect(await refusal(trusting({ UPSTREAM }))).toBe(REFUSAL)
      const SSL_CERTIFICATE = certificates.client.cert
      const SSL_CERTIFICATE_KEY = certificates.client.key
      const variables = trusting({ UPSTREAM, SSL_CERTIFICATE, SSL_CERTIFICATE_KEY })
      await deployed(variables, async ({ origin }) => {
        const seen = await environOf(origin, { target: '/', body: 'abc' })
        expect(seen).toMatchObject({ body_length: 3 })
      })
    })
  })

  describe('unix sockets', () => {
    test('lead to the backend', async () => {
      await deployed({ UPSTREAM: unixBackend.address }, async ({ origin }) => {
        const body = 'x'.repeat(BODY_BYTES)
        expect(await environOf(origin, { target: '/u', body })).toMatchObject({
          PATH_INFO: '/u',
          body_length: BODY_BYTES,
        })
      })
    })

    test('a backend that is down is 502', async () => {
      await listening(async (path) => {
        await deployed({ UPSTREAM: `unix:${path}` }, async (running) => {
          expect((await send(running.origin, { target: '/' })).status).toBe(502)
          await logged(running, /ERR_UPSTREAM_CONNECT/)
        })
      })
    })

    test('lead to us; such a client has no address', async () => {
      await listening((path) =>
        deployed(unixFront(path), async ({ origin }) => {
          expect(origin).toBe(`unix:${path}`)
          const seen = await environ(path, 'X-Forwarded-For: 198.51.100.9\r\n')
          expect(seen).toMatchObject({ PATH_INFO: '/u', HTTP_HOST: 'www.example.com' })
          expect(seen).not.toHaveProperty('REMOTE_ADDR')
          expect(JSON.stringify(seen)).not.toContain('198.51.100.9')
        })
      )
    })

    test('TRUSTED_PROXIES=unix: believes who connects to one', async () => {
      await listening((path) =>
        deployed(unixFront(path, { TRUSTED_PROXIES: 'unix:' }), async () => {
          const seen = await environ(path, 'X-Forwarded-For: 198.51.100.9\r\n')
          expect(seen).toMatchObject({ REMOTE_ADDR: '198.51.100.9' })
        })
      )
    })

    test('one that nobody answers on is replaced, a live one is not', async () => {
      await listening(async (path) => {
        // What is stopped here is killed, and leaves its socket behind.
        await deployed(unixFront(path), () => environ(path))
        await expect(sendRaw(path, '')).rejects.toThrow(/ECONNREFUSED/)
        await deployed(unixFront(path), async () => {
          await expect(target.start(unixFront(path))).rejects.toThrow(/in use|EADDRINUSE/i)
          expect(await environ(path)).toMatchObject({ PATH_INFO: '/u' })
        })
      })
    })
  })
})

function trusting(more: TargetVariables = {}): TargetVariables {
  const SSL_TRUSTED_CERTIFICATE = certificates.ca.cert
  return { UPSTREAM: backend.address, SSL_TRUSTED_CERTIFICATE, ...more }
}

async function listening(use: (path: string) => Promise<void>): Promise<void> {
  const directory = await makeDirectory()
  try {
    await use(join(directory, 'front.sock'))
  } finally {
    await rm(directory, { recursive: true })
  }
}

function unixFront(path: string, more: TargetVariables = {}): TargetVariables {
  return { UPSTREAM: unixBackend.address, LISTEN: `unix:${path}`, ...more }
}

async function environ(path: string, headers = ''): Promise<Environ> {
  const raw = await sendRaw(
    path,
    `GET /u HTTP/1.1\r\nHost: www.example.com\r\n${headers}Connection: close\r\n\r\n`
  )
  expect(raw).toMatch(/^HTTP\/1.1 200 /)
  return JSON.parse(/\{.*\}/.exec(raw)?.[0] ?? '') as Environ
}
