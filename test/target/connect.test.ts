import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { afterEach, describe, expect, test } from 'vitest'
import type { Connection } from '../../src/bridge/connection.ts'
import { connect, connectWith } from '../../src/target/node/connect.ts'
import { makeDirectory } from '../backend/process.ts'
import { requireProgram } from '../backend/programs.ts'
import { makeCertificates } from '../backend/tls.ts'
import { within } from '../support/deadline.ts'

/** More than any system takes for a peer that does not read. */
const MUCH = 32 * 1024 * 1024

/**
 * A backend on a unix socket that shuts its ear, which fails our writes, and talks on: Node cannot do that.
 * It reports on standard output, and answers when it is told to.
 */
const DEAF_BACKEND = `
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print('listening', flush=True)
peer, _ = server.accept()
peer.recv(100)
peer.shutdown(socket.SHUT_RD)
print('deaf', flush=True)
sys.stdin.readline()
peer.sendall(b'answer')
peer.close()
`

let cleanUp: (() => unknown)[] = []
afterEach(async () => {
  for (const end of cleanUp.toReversed()) await end()
  cleanUp = []
})

async function readText(connection: Connection): Promise<string | undefined> {
  const bytes = await within('a read', connection.read())
  return bytes && Buffer.from(bytes).toString()
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUp.push(() => server.close())
  return (server.address() as AddressInfo).port
}

/** Ends its side at once, and never reads: what is written to it waits. */
function endEarly(socket: Socket): void {
  socket.on('error', () => {})
  socket.pause()
  socket.end('bye')
  cleanUp.push(() => socket.destroy())
}

/** Writes more than {@link endEarly} takes. @returns its two answers: what it says, and its end. */
async function answersBehindWrite(connection: Connection): Promise<(string | undefined)[]> {
  cleanUp.push(() => connection.close())
  connection.write(new Uint8Array(MUCH))?.catch(() => {})
  return [await readText(connection), await readText(connection)]
}

describe('a connection on Node', () => {
  test('reads the end of a peer that takes nothing more', async () => {
    const port = await listening(createServer({ allowHalfOpen: true }, endEarly))
    const address = { type: 'tcp', hostname: '127.0.0.1', port, tls: false } as const
    const connection = await connect(address).opened
    expect(await answersBehindWrite(connection)).toEqual(['bye', undefined])
  })

  test('reads the end of a peer that takes nothing more, over TLS', async () => {
    const { ca, server, remove } = await makeCertificates()
    cleanUp.push(remove)
    const identity = { cert: server.certPem, key: server.keyPem }
    const port = await listening(createTlsServer({ ...identity, allowHalfOpen: true }, endEarly))
    const connectTls = connectWith({ sslTrustedCertificate: ca.certPem })
    const address = { type: 'tcp', hostname: 'localhost', port, tls: true } as const
    const connection = await connectTls(address).opened
    expect(await answersBehindWrite(connection)).toEqual(['bye', undefined])
  })

  test('reads on to the end behind a write that failed, and writes no more', async () => {
    const directory = await makeDirectory()
    const path = join(directory, 'socket')
    const backend = spawn(requireProgram('python3'), ['-c', DEAF_BACKEND, path])
    cleanUp.push(
      () => rm(directory, { recursive: true }),
      () => backend.kill()
    )
    await within('its socket', once(backend.stdout, 'data'))
    const connection = await connect({ type: 'unix', path }).opened
    cleanUp.push(() => connection.close())
    connection.write(Buffer.from('first'))
    await within('its deafness', once(backend.stdout, 'data'))
    // What waits when a write fails has failed too.
    const waiting = connection.write(new Uint8Array(MUCH))
    await expect(within('a write', waiting ?? Promise.resolve())).rejects.toThrow(/takes no more/)
    await expect(connection.write(Buffer.from('more'))).rejects.toThrow(/takes no more/)
    backend.stdin.write('\n')
    expect(await readText(connection)).toBe('answer')
    expect(await readText(connection)).toBeUndefined()
  })
})
