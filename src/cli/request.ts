/**
 * `edge-wsgi request`: one request straight to a uwsgi socket, as curl would.
 *
 * @module
 */
import { once } from 'node:events'
import { Command } from 'commander'
import { parseAddress } from '../bridge/address.ts'
import { resolveBridgeOptions } from '../bridge/resolve-bridge-options.ts'
import { exchange } from '../bridge/exchange.ts'
import { prepareRequest } from '../bridge/exchange-request.ts'
import { Guard } from '../bridge/guard.ts'
import { openConnection } from '../bridge/open-connection.ts'
import { bytesSource } from '../core/body-source.ts'
import type { GatewayResponse } from '../core/gateway-response.ts'
import { canonicalHost } from '../core/host.ts'
import type { RequestHead } from '../core/request-head.ts'
import { connectWith } from '../target/node/connect.ts'
import { checkSslOptions } from '../target/ssl-options.ts'
import { OPTION_TABLE } from '../target/option-table.ts'
import {
  addOptionFlags,
  addRequestFlags,
  addSslFlags,
  type DescribedRequest,
  describeRequest,
  type Flags,
  optionsOf,
  type RequestFlags,
  sslOptionsOf,
} from './flags.ts'

interface RequestCommandFlags extends Flags, RequestFlags {
  readonly include?: true
  readonly fail?: true
}

/** Exit status for `--fail`, as curl's. */
const EXIT_HTTP_ERROR = 22

/** The command. */
export function requestCommand(): Command {
  const command = new Command('request')
    .description('Send one request straight to a uwsgi socket and print the response body.')
    .argument('<ADDRESS>', 'uwsgi://host:port, suwsgi://host:port (TLS) or unix:/path')
    .argument('<URL>', 'URL that the application is to see')
    .option('-i, --include', 'print the status line and the header too')
    .option(
      '-f, --fail',
      `exit with ${EXIT_HTTP_ERROR} and print no body for a status of 400 or above`
    )
  return addOptionFlags(addSslFlags(addRequestFlags(command)), OPTION_TABLE).action(runRequest)
}

async function runRequest(to: string, url: string, flags: RequestCommandFlags): Promise<void> {
  const address = parseAddress(to)
  const ssl = sslOptionsOf(flags)
  checkSslOptions(ssl, to)
  const options = resolveBridgeOptions(optionsOf(flags))
  const described = describeRequest(url, flags)
  const body = described.body === undefined ? undefined : bytesSource(described.body)
  const request = await prepareRequest(toHead(described), body, options)
  const guard = new Guard()
  const connection = await openConnection(connectWith(ssl), address, options.connectTimeout, guard)
  const sent = { ...request, body: request.body?.start() }
  const response = await exchange(connection, sent, options, guard)
  if (flags.include === true) process.stdout.write(headText(response), 'latin1')
  if (flags.fail === true && response.status >= 400) {
    process.exitCode = EXIT_HTTP_ERROR
    process.stderr.write(`edge-wsgi: the application answered ${response.status}\n`)
    await response.body?.cancel(undefined)
    return
  }
  await printBody(response)
}

function toHead({ method, url, headers, body }: DescribedRequest): RequestHead {
  const host = headers.find(([name]) => name.toLowerCase() === 'host')?.[1] ?? url.host
  // A Host of the user's own says which authority is meant, as with curl.
  const seen = new URL(
    `${url.protocol}//${canonicalHost(host, url.protocol)}${url.pathname}${url.search}`
  )
  return {
    method,
    url: seen,
    headers,
    raw: true,
    httpVersion: '1.1',
    remote: { addr: '127.0.0.1' },
    hasBody: body !== undefined,
  }
}

function headText({ status, reason, headers }: GatewayResponse): string {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${reason}\r\n${lines.join('')}\r\n`
}

async function printBody({ body }: GatewayResponse): Promise<void> {
  if (body === undefined) return
  for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) {
    if (!process.stdout.write(chunk)) await once(process.stdout, 'drain')
  }
}
