/**
 * Flags that several commands share.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { BridgeOptions } from '../bridge/bridge-options.ts'
import { badRequest } from '../core/errors.ts'
import type { HeaderField } from '../core/request-head.ts'
import type { ResponderOptions } from '../responder/responder-options.ts'
import type { ServeLimits } from '../target/serve-options.ts'
import type { SslOptions } from '../target/ssl-options.ts'
import {
  flagOf,
  type OptionRow,
  readOptions,
  readResponderOptions,
  readServeLimits,
} from '../target/option-table.ts'

/** The values of the flags of a command, by camel-case name. */
export type Flags = Readonly<Record<string, unknown>>

/** What `-X`, `-H` and `-d` ask for, as curl spells them. */
export interface RequestFlags {
  readonly request?: string
  readonly header: readonly HeaderField[]
  readonly data?: Uint8Array
}

/** Flags that name PEM files, and the option each fills. */
const PEM_FLAGS = ['sslTrustedCertificate', 'sslCertificate', 'sslCertificateKey'] as const

/** Adds one flag for each option. */
export function addOptionFlags(command: Command, rows: readonly OptionRow[]): Command {
  for (const row of rows) {
    const flag = row.kind === 'switch' ? flagOf(row) : `${flagOf(row)} <${row.value}>`
    const option = new Option(flag, row.help)
    if (row.kind === 'list' || row.kind === 'pairs') option.argParser(joinLines)
    command.addOption(option)
  }
  return command
}

/**
 * The options of a bridge that flags stand for.
 *
 * @throws {TypeError} whose message begins with the flag that is wrong.
 */
export function optionsOf(flags: Flags): BridgeOptions {
  return readOptions(textOf(flags), flagOf)
}

/** The options of a responder that flags stand for. */
export function responderOptionsOf(flags: Flags): ResponderOptions {
  return readResponderOptions(textOf(flags), flagOf)
}

/** The limits on the clients of a server that flags stand for. */
export function serveLimitsOf(flags: Flags): Partial<ServeLimits> {
  return readServeLimits(textOf(flags), flagOf)
}

function textOf(flags: Flags): (row: OptionRow) => string | undefined {
  return function flagText({ option }) {
    const value = flags[option]
    return value === undefined ? undefined : String(value)
  }
}

/** Adds the flags of TLS toward the backend. */
export function addSslFlags(command: Command): Command {
  return command
    .option(
      '--ssl-trusted-certificate <FILE>',
      "authorities that vouch for the backend's certificate"
    )
    .option('--ssl-name <NAME>', "name that the backend's certificate must carry")
    .option('--ssl-certificate <FILE>', 'client certificate')
    .option('--ssl-certificate-key <FILE>', 'key of the client certificate')
}

/** The options that the flags of {@link addSslFlags} stand for. */
export function sslOptionsOf(flags: Flags): SslOptions {
  const options: SslOptions = {}
  if (typeof flags['sslName'] === 'string') options.sslName = flags['sslName']
  for (const name of PEM_FLAGS) {
    const file = flags[name]
    if (typeof file === 'string') options[name] = readFileSync(file, 'utf8')
  }
  return options
}

/** Adds `-X`, `-H` and `-d`. */
export function addRequestFlags(command: Command): Command {
  return command
    .option('-X, --request <METHOD>', 'request method (GET, or POST with -d)')
    .option('-H, --header <LINE>', 'header line "Name: value"; may be repeated', collectHeader, [])
    .option('-d, --data <DATA>', 'request body; @FILE reads a file, @- standard input', readData)
}

/** A request as the command line describes it: method, URL, header lines with Host first, body. */
export interface DescribedRequest {
  readonly method: string
  readonly url: URL
  readonly headers: readonly HeaderField[]
  readonly body: Uint8Array | undefined
}

/**
 * Puts together what the flags of {@link addRequestFlags} describe, with the headers curl would add.
 *
 * @throws {GatewayError} `ERR_BAD_REQUEST` when the URL is none for HTTP.
 */
export function describeRequest(text: string, flags: RequestFlags): DescribedRequest {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw badRequest(
      `Cannot request ${JSON.stringify(text)}: wanted a URL such as "http://localhost/path"`
    )
  }
  const headers = [...flags.header]
  function add(name: string, value: string): void {
    if (!headers.some(([given]) => given.toLowerCase() === name.toLowerCase()))
      headers.push([name, value])
  }
  add('Host', url.host)
  add('Accept', '*/*')
  add('User-Agent', 'edge-wsgi')
  const { data } = flags
  if (data !== undefined) {
    add('Content-Type', 'application/x-www-form-urlencoded')
    add('Content-Length', String(data.length))
  }
  const method = flags.request ?? (data === undefined ? 'GET' : 'POST')
  return { method, url, headers, body: data }
}

/**
 * Reads a duration that is no option of a bridge.
 *
 * @throws {TypeError} whose message begins with the flag.
 */
export function milliseconds(flag: string, text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text)
  throw new TypeError(
    `${flag} is wrong: it is ${JSON.stringify(text)}, wanted milliseconds above 0`
  )
}

function collectHeader(line: string, before: HeaderField[]): HeaderField[] {
  const colon = line.indexOf(':')
  if (colon < 1) throw new InvalidArgumentError('Wanted "Name: value".')
  return [...before, [line.slice(0, colon), line.slice(colon + 1).trim()]]
}

function readData(text: string): Uint8Array {
  if (!text.startsWith('@')) return new TextEncoder().encode(text)
  const file = text.slice(1)
  try {
    return readFileSync(file === '-' ? 0 : file)
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error))
  }
}

function joinLines(text: string, before: string | undefined): string {
  return before === undefined ? text : `${before}\n${text}`
}
