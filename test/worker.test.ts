import { mkdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import manifest from '../package.json' with { type: 'json' }
import { makeDirectory, type Server, startServer } from './backend/process.ts'
import { findChromium, PROJECT_ROOT } from './backend/programs.ts'
import { createBridge } from '../src/target/node/index.ts'
import { freePort } from './support/free-port.ts'
import type { RunningTarget } from './target/target.ts'
import { bundleWorker } from './target/workers-target.ts'
import { startUwsgi, type UwsgiServer } from './backend/uwsgi.ts'

/** Where the pictures of the page are left, to be looked at. */
const PICTURES = join(PROJECT_ROOT, 'test/pictures')

/** Flags that keep Chromium from looking for the Internet, and let it run as root. */
const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

interface EnvironJson {
  readonly route: readonly string[]
  readonly cgi: Readonly<Record<string, unknown>>
  readonly http: Readonly<Record<string, unknown>>
  readonly wsgi: Readonly<Record<string, unknown>>
}

/** Runs the script of `npm start` on a free port. */
async function npmStart(UPSTREAM: string): Promise<Server & { origin: string }> {
  const port = await freePort()
  const script = manifest.scripts.start.replace('8787', String(port))
  const { found, log, stop } = await startServer({
    command: 'sh',
    args: ['-c', `cd '${PROJECT_ROOT}' && exec ${script}`],
    env: {
      UPSTREAM,
      PATH: [join(PROJECT_ROOT, 'node_modules/.bin'), process.env['PATH']].join(delimiter),
    },
    directory: await makeDirectory(),
    stopSignal: 'SIGTERM',
    probe: async (text) => /Ready on (http:\/\/127\.0\.0\.1:\d+)/.exec(text)?.[1],
  })
  return { origin: found, log, stop }
}

describe('npm start without UPSTREAM', () => {
  let server: Server & { origin: string }
  let browser: Browser
  beforeAll(async () => {
    mkdirSync(PICTURES, { recursive: true })
    const executablePath = findChromium()
    if (executablePath === undefined)
      throw new Error('Cannot find Chromium: run node test/backend/install.ts')
    server = await npmStart('')
    browser = await chromium.launch({ executablePath, args: CHROMIUM_FLAGS })
  })
  afterAll(async () => {
    await browser?.close()
    await server?.stop()
  })

  test.each([
    ['light', 1200, 900],
    ['dark', 390, 844],
  ] as const)(
    'shows the environ page in Chromium (%s, %d wide)',
    async (colorScheme, width, height) => {
      const page = await browser.newPage({ colorScheme, viewport: { width, height } })
      const complaints: string[] = []
      page.on('console', (message) => complaints.push(message.text()))
      page.on('pageerror', (error) => complaints.push(String(error)))
      const requested: string[] = []
      page.on('request', (request) => requested.push(request.url()))

      const url = `${server.origin}/caf%C3%A9?q=%3Cscript%3E`
      const response = await page.goto(url)
      expect(response?.status()).toBe(200)
      expect(await page.locator('h1').innerText()).toContain('GET /café')
      const body = await page.locator('body').innerText()
      expect(body).toContain('PATH_INFO')
      expect(body).toContain('HTTP_USER_AGENT')
      expect(body).toContain('wsgi.url_scheme')
      expect(body).toContain('UPSTREAM=')
      expect(await page.locator('script').count()).toBe(0)
      const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
      expect(overflow).toBeLessThanOrEqual(0)
      expect(complaints).toEqual([])
      expect(requested).toEqual([url])
      await page.screenshot({ path: join(PICTURES, `environ-${colorScheme}.png`), fullPage: true })
      await page.close()
    }
  )

  test('answers Accept: application/json with the same as JSON', async () => {
    const response = await fetch(`${server.origin}/x?y=1`, {
      method: 'POST',
      headers: { accept: 'application/json', 'x-test': 'a' },
      body: 'abc',
    })
    expect(response.headers.get('content-type')).toMatch(/^application\/json/)
    expect(response.headers.get('vary')).toBe('Accept')
    const { route, cgi, http, wsgi } = (await response.json()) as EnvironJson
    expect(route).toEqual(['HTTP', 'workerd', 'uwsgi packet', 'TCP socket', 'application'])
    expect(cgi).toMatchObject({
      REQUEST_METHOD: 'POST',
      PATH_INFO: '/x',
      QUERY_STRING: 'y=1',
      CONTENT_LENGTH: '3',
    })
    expect(http).toMatchObject({ HTTP_X_TEST: 'a' })
    expect(wsgi).toMatchObject({ 'wsgi.url_scheme': 'http' })
  })

  test.each([
    ['application/json;q=0.4, text/html;q=0.5', 'text/html; charset=UTF-8'],
    ['text/html;q=0, application/json;q=0.1', 'application/json'],
    ['*/*', 'text/html; charset=UTF-8'],
  ])('answers Accept: %s with %s', async (accept, type) => {
    const response = await fetch(server.origin, { headers: { accept } })
    expect(response.headers.get('content-type')).toBe(type)
    await response.arrayBuffer()
  })

  test('has a demo backend that answers pings', async () => {
    const health = await fetch(`${server.origin}/_gateway/health`)
    expect([health.status, await health.json()]).toEqual([200, { status: 'ok' }])
  })

  test('takes its demo backend along when it ends', async () => {
    const [, address = ''] = /demo backend listens on (\S+)/.exec(server.log()) ?? []
    await createBridge(address).ping()
    await server.stop()
    await expect(createBridge(address).ping()).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_CONNECT',
    })
  })
})

describe('a Worker without UPSTREAM', () => {
  let worker: RunningTarget
  beforeAll(async () => {
    worker = await (await bundleWorker()).start({})
  })
  afterAll(() => worker?.stop())

  test('shows what a request becomes, itself', async () => {
    const response = await fetch(`${worker.origin}/x`, { headers: { accept: 'application/json' } })
    const { route, cgi } = (await response.json()) as EnvironJson
    expect(route).toEqual(['HTTP', 'workerd', 'environ'])
    expect(cgi).toMatchObject({ PATH_INFO: '/x', SCRIPT_NAME: '' })
  })

  test('is healthy, for want of a backend that could be ill', async () => {
    const health = await fetch(`${worker.origin}/_gateway/health`)
    expect([health.status, await health.json()]).toEqual([200, { status: 'ok' }])
  })
})

describe('npm start with UPSTREAM', () => {
  let uwsgi: UwsgiServer
  let server: Server & { origin: string }
  beforeAll(async () => {
    uwsgi = await startUwsgi()
    server = await npmStart(uwsgi.address)
  })
  afterAll(async () => {
    await server?.stop()
    await uwsgi?.stop()
  })

  test('bridges to Django behind uWSGI', async () => {
    const page = await (await fetch(`${server.origin}/django/csrf`)).text()
    expect(page).toContain('csrfmiddlewaretoken')
  })

  test('answers the health check from a ping', async () => {
    const health = await fetch(`${server.origin}/_gateway/health`)
    expect([health.status, await health.json()]).toEqual([200, { status: 'ok' }])
  })
})
