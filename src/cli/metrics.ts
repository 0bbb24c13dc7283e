/**
 * The metrics of `serve --metrics`, for Prometheus, through prom-client.
 *
 * They have a listener of their own, so that they never show on the public one. prom-client is loaded
 * when it starts: a bridge without metrics must not wait for it at its start.
 *
 * @see https://prometheus.io/docs/practices/naming/
 * @module
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Registry } from 'prom-client'
import type { ExchangeEvent } from '../bridge/exchange-event.ts'
import { listenOn } from '../target/node/listen.ts'
import { formatListen, parseListen } from '../target/serve-options.ts'

/** Metrics as a scrape gets them. */
export interface MetricsText {
  readonly contentType: string
  metrics(): Promise<string>
}

/** What counts exchanges. */
export interface Metrics<Source extends MetricsText = MetricsText> {
  /** Counts an exchange that has ended. */
  onExchange(this: void, event: ExchangeEvent): void
  /** All metrics of this bridge and of its process. */
  readonly registry: Source
}

/** A listener for scrapes. */
export interface MetricsServer {
  /** `http://host:port` or `unix:/path`, with the port that was taken. */
  readonly url: string
  /** Ends the listener and every connection to it. */
  close(): Promise<void>
}

/** Where the metrics are. */
const PATH = '/metrics'

/** Methods with a label of their own; a client may send any other, which must not make a series. */
const METHODS = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'CONNECT',
  'TRACE',
])
const OTHER_METHOD = 'OTHER'
/** Stands for the backend where none was tried. */
const NO_UPSTREAM = 'none'

/** Bounds of the histograms, in seconds: from a unix socket's connection to the default timeout. */
const BUCKETS_S = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
]

/** Makes metrics in a registry of their own. */
export async function createMetrics(): Promise<Metrics<Registry>> {
  const { collectDefaultMetrics, Counter, Histogram, Registry } = await import('prom-client')
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  function counter<Label extends string>(name: string, help: string, ...labelNames: Label[]) {
    return new Counter<Label>({ name: `edge_wsgi_${name}`, help, labelNames, registers })
  }
  function histogram(name: string, help: string) {
    return new Histogram({ name: `edge_wsgi_${name}`, help, buckets: BUCKETS_S, registers })
  }
  const requests = counter('requests_total', 'Requests', 'method', 'status', 'upstream')
  const errors = counter('errors_total', 'Requests that went wrong, by error code', 'code')
  const retries = counter('retries_total', 'Times a request was sent to a backend again')
  const requestBytes = counter('request_bytes_total', 'Body bytes sent to backends')
  const responseBytes = counter('response_bytes_total', 'Body bytes handed to clients')
  const connect = histogram('connect_seconds', 'Time from the request to the connection in use')
  const head = histogram('head_seconds', 'Time from the request to the response head')
  const duration = histogram('request_duration_seconds', 'Time from the request to its end')

  function onExchange(event: ExchangeEvent): void {
    const method = METHODS.has(event.method) ? event.method : OTHER_METHOD
    requests.inc({ method, status: event.status, upstream: event.upstream ?? NO_UPSTREAM })
    if (event.error !== undefined) errors.inc({ code: event.error })
    retries.inc(event.retries)
    requestBytes.inc(event.requestBytes)
    responseBytes.inc(event.responseBytes)
    if (event.connectMs !== undefined) connect.observe(event.connectMs / 1000)
    if (event.headMs !== undefined) head.observe(event.headMs / 1000)
    duration.observe(event.totalMs / 1000)
  }
  return { onExchange, registry }
}

/**
 * Serves metrics at `/metrics`.
 *
 * @param listen `http://host:port` (port 0 takes a free one) or `unix:/path`.
 * @returns Once it listens.
 * @throws {TypeError} when `listen` is no address, and what node:net throws when it is taken.
 */
export async function serveMetrics(registry: MetricsText, listen: string): Promise<MetricsServer> {
  const address = parseListen(listen)
  const server = createServer((incoming, outgoing) => void answer(registry, incoming, outgoing))
  const taken = await listenOn(server, address)
  return {
    url: formatListen(taken),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        // A scraper keeps its connection, and a scrape is repeated anyway.
        server.closeAllConnections()
      }),
  }
}

/** Lets the primary gather the metrics of this worker. */
export async function shareMetrics(registry: Registry): Promise<void> {
  const { AggregatorRegistry } = await import('prom-client')
  AggregatorRegistry.setRegistries([registry])
  // It is what listens for the primary's question.
  void new AggregatorRegistry()
}

/** The metrics of all workers, added up; the primary itself has no exchanges to count. */
export async function gatherMetrics(): Promise<Metrics> {
  const { AggregatorRegistry } = await import('prom-client')
  const workers = new AggregatorRegistry()
  const { contentType } = workers
  return {
    onExchange: () => {},
    registry: { contentType, metrics: () => workers.clusterMetrics() },
  }
}

async function answer(
  registry: MetricsText,
  incoming: IncomingMessage,
  outgoing: ServerResponse
): Promise<void> {
  const { method, url = '' } = incoming
  // The path alone is compared: a scraper may be told to send parameters.
  const [path] = url.split('?', 1)
  if (path !== PATH) return refuse(outgoing, 404, `Not found; metrics are at ${PATH}`)
  if (method !== 'GET' && method !== 'HEAD') {
    outgoing.setHeader('Allow', 'GET, HEAD')
    return refuse(outgoing, 405, 'Method not allowed; wanted GET or HEAD')
  }
  try {
    const text = await registry.metrics()
    outgoing.writeHead(200, { 'Content-Type': registry.contentType }).end(text)
  } catch (error) {
    console.error(error)
    refuse(outgoing, 500, 'Internal error')
  }
}

function refuse(outgoing: ServerResponse, status: number, text: string): void {
  outgoing.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`)
}
