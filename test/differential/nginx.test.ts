/**
 * nginx's `uwsgi_pass` is the yardstick: the same bytes go through nginx and through
 * `edge-wsgi serve` to one uWSGI, and the application must see the same environ but for a table of
 * differences. A difference that the table does not explain fails, and so does a row that nothing
 * needs.
 */
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type NginxServer, startNginx } from '../backend/nginx.ts'
import { requireProgram } from '../backend/programs.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { openRaw } from '../security/raw-http.ts'
import { type ServeProcess, startServe } from '../security/serve.ts'
import { type Difference, DIFFERENCES, REFUSALS, type Seen } from './differences.ts'
import { REQUESTS, type WireRequest } from './requests.ts'

/** What became of a request. */
interface Outcome {
  readonly status: number
  /** What the application saw; `undefined` where it did not, or its answer has no body. */
  readonly environ: Seen | undefined
}

let uwsgi: UwsgiServer
let nginx: NginxServer
let serve: ServeProcess

const version = nginxVersion()
/** The rows that hold for the nginx that is installed. */
const rows = DIFFERENCES.filter(({ until }) => until === undefined || isBefore(version, until))
const met = new Set<Difference>()
const refused = new Set<string>()

beforeAll(async () => {
  uwsgi = await startUwsgi({ app: 'environ', bufferSize: 65_535 })
  nginx = await startNginx({ upstream: uwsgi.address })
  serve = await startServe({ upstream: uwsgi.address })
})
afterAll(async () => {
  await Promise.all([nginx?.stop(), serve?.stop()])
  await uwsgi?.stop()
})

describe('edge-wsgi serve and nginx', () => {
  test.each(REQUESTS.map((request) => [request.name, request] as const))(
    'agree on %s, but for what the table says',
    async (_name, request) => {
      const theirs = await send(nginx.origin, request)
      const ours = await send(serve.origin, request)
      compareStatuses(request, theirs, ours)
      if (theirs.environ !== undefined && ours.environ !== undefined) {
        expect(unexplained(theirs.environ, ours.environ)).toEqual([])
      }
    }
  )

  test('differ in every way that the table says', () => {
    expect(rows.filter((row) => !met.has(row)).map(({ key, rule }) => `${key} ${rule}`)).toEqual([])
    expect(REFUSALS.filter(({ request }) => !refused.has(request))).toEqual([])
  })

  test('were asked under names of their own', () => {
    expect(new Set(REQUESTS.map(({ name }) => name)).size).toBe(REQUESTS.length)
  })
})

async function send(origin: string, request: WireRequest): Promise<Outcome> {
  const connection = await openRaw(origin)
  connection.send(request.bytes)
  const method = request.bytes.trimStart().split(' ', 1)[0]
  if (request.afterContinue !== undefined) {
    expect((await connection.response(method)).status).toBe(100)
    connection.send(request.afterContinue)
  }
  const { status, headers, body } = await connection.response(method)
  connection.reset()
  const isEnviron = headers.some(([, value]) => value === 'application/json') && body.length > 0
  if (!isEnviron) return { status, environ: undefined }
  const environ = JSON.parse(body.toString()) as Record<string, unknown>
  // Every connection has a port of its own; each must be told its own.
  expect(environ['REMOTE_PORT']).toBe(String(connection.port))
  return { status, environ: { ...environ, REMOTE_PORT: undefined } }
}

function compareStatuses(request: WireRequest, theirs: Outcome, ours: Outcome): void {
  const row = REFUSALS.find(({ request: name }) => name === request.name)
  const wanted = row ?? { nginx: request.status, ours: request.status }
  const { nginx: nginxStatus, ours: ourStatus } = wanted
  expect({ nginx: theirs.status, ours: ours.status }).toEqual({
    nginx: nginxStatus,
    ours: ourStatus,
  })
  if (row === undefined) return
  expect(row.nginx, `${request.name} needs no row`).not.toBe(row.ours)
  refused.add(request.name)
}

/** The differences that no row of the table explains. */
function unexplained(theirs: Seen, ours: Seen): object[] {
  const keys = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])]
  const differing = keys.filter((key) => theirs[key] !== ours[key])
  return differing.flatMap((key) => {
    const row = rows.find(
      (candidate) => candidate.key === key && candidate.is(theirs[key], ours[key], ours)
    )
    if (row !== undefined) met.add(row)
    return row === undefined ? [{ key, nginx: theirs[key], ours: ours[key] }] : []
  })
}

function nginxVersion(): string {
  const { stderr } = spawnSync(requireProgram('nginx'), ['-v'], { encoding: 'utf8' })
  return /nginx\/([0-9.]+)/.exec(stderr)?.[1] ?? ''
}

function isBefore(one: string, other: string): boolean {
  return one.localeCompare(other, 'en', { numeric: true }) < 0
}
