/**
 * Ports on which nobody listens.
 *
 * @module
 */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

/**
 * A port to be refused on: tcpmux, which nobody serves. One that was free a moment ago may be the next
 * that a server of another test gets; one below 1024 is given to nobody who does not ask for it.
 */
export const REFUSING_PORT = 1

/** A port of 127.0.0.1 that was free a moment ago: to be taken. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
