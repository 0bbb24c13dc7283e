/**
 * Listening on TCP and unix sockets.
 *
 * @module
 */
import { unlinkSync } from 'node:fs'
import { type AddressInfo, connect, type Server } from 'node:net'
import type { ListenAddress } from '../serve-options.ts'

/**
 * Makes a server listen. A unix socket that nobody answers on any more is replaced: the file outlives
 * a process that was killed.
 *
 * @returns The address with the port that was taken.
 */
export async function listenOn(server: Server, address: ListenAddress): Promise<ListenAddress> {
  try {
    await listen(server, address)
  } catch (error) {
    const inUse = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
    if (address.type !== 'unix' || !inUse || (await answers(address.path))) throw error
    unlinkSync(address.path)
    await listen(server, address)
  }
  if (address.type === 'unix') return address
  return { ...address, port: (server.address() as AddressInfo).port }
}

function listen(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(
      address.type === 'unix'
        ? { path: address.path }
        : { host: address.hostname, port: address.port },
      () => {
        server.off('error', reject)
        resolve()
      }
    )
  })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
