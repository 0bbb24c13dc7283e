/**
 * What the security tests share: the servers, and the promises that hold for every request.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { startUwsgi } from '../backend/uwsgi.ts'
import { openRaw, type RawConnection, type RawResponse } from './raw-http.ts'
import { type Packet, type Relay, type ServeProcess, startRelay, startServe } from './serve.ts'

const DEADLINE_MS = 10_000
const POLL_MS = 20

/** The Host line of most requests. */
export const HOST = 'Host: h.example'
/** A request that must not be dispatched behind one that ends the connection. */
export const SMUGGLED: string = head('GET /smuggled HTTP/1.1', HOST)

/** `edge-wsgi serve`, a relay that sees its packets, and uWSGI. */
export interface Stack {
  readonly origin: string
  /** The mount, empty for the root. */
  readonly mount: string
  readonly serve: ServeProcess
  readonly relay: Relay
  /** Another `edge-wsgi serve` in front of the same relay. */
  also(...args: string[]): Promise<Stack>
  stop(): Promise<void>
}

/** One request that reached the application. */
export interface Answer {
  readonly response: RawResponse
  /** What the application saw. */
  readonly environ: Readonly<Record<string, string>>
  /** What the backend was sent. */
  readonly packet: Packet
}

/** Names that the gateway writes; every other one is a client's and begins with `HTTP_`. */
const OURS = new Set([
  'QUERY_STRING',
  'REQUEST_METHOD',
  'REQUEST_URI',
  'SCRIPT_NAME',
  'PATH_INFO',
  'SERVER_PROTOCOL',
  'REQUEST_SCHEME',
  'CONTENT_TYPE',
  'CONTENT_LENGTH',
  'SERVER_NAME',
  'SERVER_PORT',
  'HTTPS',
  'REMOTE_ADDR',
  'REMOTE_PORT',
  'UWSGI_SCHEME',
])
/** Those of a client that no backend may see, in any dialect. */
const FORBIDDEN = new Set([
  'HTTP_PROXY',
  'HTTP_CONTENT_TYPE',
  'HTTP_CONTENT_LENGTH',
  'HTTP_TRANSFER_ENCODING',
  'HTTP_CONNECTION',
  'HTTP_KEEP_ALIVE',
  'HTTP_TE',
  'HTTP_TRAILER',
  'HTTP_UPGRADE',
])

/** Starts uWSGI, the relay and `edge-wsgi serve --log`. */
export async function startStack(): Promise<Stack> {
  const uwsgi = await startUwsgi({ app: 'environ', bufferSize: 65_535 })
  const relay = await startRelay(uwsgi.address)
  const started: ServeProcess[] = []
  async function also(...args: string[]): Promise<Stack> {
    const serve = await startServe({ upstream: relay.address, args: ['--log', ...args] })
    started.push(serve)
    const mount = args.includes('--mount') ? (args.at(args.indexOf('--mount') + 1) ?? '') : ''
    return { origin: serve.origin, mount, serve, relay, also, stop }
  }
  async function stop(): Promise<void> {
    await Promise.all(started.map((serve) => serve.stop()))
    await relay.stop()
    await uwsgi.stop()
  }
  return await also()
}

/** Lines as the head of a request. */
export function head(...lines: string[]): string {
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** The method that a request begins with. */
function methodOf(bytes: string): string | undefined {
  return bytes.split(' ', 1)[0]
}

/** Sends one request that must reach the application and be answered 200. */
export async function ask(stack: Stack, bytes: string): Promise<Answer> {
  const connection = await openRaw(stack.origin)
  connection.send(bytes)
  const answer = await readAnswer(stack, connection, methodOf(bytes))
  connection.reset()
  return answer
}

/** Reads the answer to the request that was sent last, which must be 200 and an environ. */
export async function readAnswer(
  { relay }: Stack,
  connection: RawConnection,
  method?: string
): Promise<Answer> {
  const response = await connection.response(method)
  expect(response.status).toBe(200)
  const packet = relay.packets().at(-1)
  if (packet === undefined) throw new Error('The backend was sent nothing')
  const environ = method === 'HEAD' ? {} : (JSON.parse(response.body.toString()) as object)
  return { response, environ: environ as Record<string, string>, packet }
}

/** What became of a request that must not reach the application. */
export interface Refusal {
  /** Three digits, `none` without an answer. */
  readonly status: string
  /** Connections to the backend meanwhile. */
  readonly dispatched: number
  readonly response: RawResponse
  /** What followed until the server closed the connection. */
  readonly rest?: string
}

/** Sends a request and reads its answer. */
export async function refuse(stack: Stack, bytes: string): Promise<Refusal> {
  const before = stack.relay.connections()
  const connection = await openRaw(stack.origin)
  connection.send(bytes)
  const response = await connection.response(methodOf(bytes))
  connection.reset()
  const status = String(response.status)
  return { status, response, dispatched: await dispatchedSince(stack, before) }
}

/** {@link refuse} with a request pipelined behind, to the end of the connection. */
export async function refuseForGood(stack: Stack, bytes: string): Promise<Refusal> {
  const before = stack.relay.connections()
  const connection = await openRaw(stack.origin)
  connection.send(bytes + SMUGGLED)
  const response = await connection.response(methodOf(bytes))
  const status = String(response.status)
  const rest = await connection.closed()
  return { status, response, rest, dispatched: await dispatchedSince(stack, before) }
}

/**
 * Like {@link refuseForGood}, for more bytes than the server reads: closing on the rest resets the
 * connection, which may take the answer with it.
 */
export async function refuseOrReset(
  stack: Stack,
  bytes: string
): Promise<Omit<Refusal, 'response'>> {
  const before = stack.relay.connections()
  const connection = await openRaw(stack.origin)
  connection.send(bytes + SMUGGLED)
  const rest = await connection.closed()
  const status = /^HTTP\/1\.1 ([0-9]{3}) /.exec(rest)?.[1] ?? 'none'
  return { status, rest, dispatched: await dispatchedSince(stack, before) }
}

/** What {@link refuse} must find. */
export function refusal(...statuses: (number | 'none')[]): object {
  return {
    status: expect.stringMatching(new RegExp(`^(?:${statuses.join('|')})$`)) as string,
    dispatched: 0,
  }
}

/** What {@link refuseForGood} must find. */
export function refusalForGood(...statuses: number[]): object {
  return { ...refusal(...statuses), rest: '' }
}

/** How many connections the backend saw since `before`, once a good request is answered. */
export async function dispatchedSince(stack: Stack, before: number): Promise<number> {
  const { packet } = await ask(stack, head(`GET ${stack.mount}/fence HTTP/1.1`, HOST))
  expect(valueOf(packet, 'PATH_INFO')).toBe('/fence')
  return stack.relay.connections() - before - 1
}

/** How many packets of a relay have been looked at. */
const checked = new WeakMap<Relay, number>()

/**
 * What holds for every packet: only `HTTP_*` is a client's, no name comes twice, modifiers are 0, and
 * the scheme is one of two.
 */
export function expectCleanPackets({ relay }: Stack): void {
  const packets = relay.packets()
  const unseen = packets.slice(checked.get(relay))
  checked.set(relay, packets.length)
  for (const { modifier1, modifier2, vars } of unseen) {
    const names = vars.map(([name]) => name)
    expect(names.filter((name) => !OURS.has(name) && !/^HTTP_[A-Z0-9_]+$/.test(name))).toEqual([])
    expect(names.filter((name) => FORBIDDEN.has(name))).toEqual([])
    expect(new Set(names).size).toBe(names.length)
    expect([modifier1, modifier2]).toEqual([0, 0])
    const scheme = names.includes('HTTPS') ? 'https' : 'http'
    expect(vars.at(-1)).toEqual(['UWSGI_SCHEME', scheme])
  }
}

/** The value of a variable in a packet. */
export function valueOf({ vars }: Packet, name: string): string | undefined {
  return vars.find(([present]) => present === name)?.[1]
}

/** Waits until `find` finds something. */
export async function until<T>(what: string, find: () => T | undefined): Promise<T> {
  const deadline = Date.now() + DEADLINE_MS
  for (;;) {
    const found = find()
    if (found !== undefined) return found
    if (Date.now() > deadline) throw new Error(`Not in ${DEADLINE_MS} ms: ${what}`)
    await sleep(POLL_MS)
  }
}
