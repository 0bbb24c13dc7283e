import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { ownerOf, type SocketOwner, tellOwner } from '../../src/target/node/socket-owner.ts'

let server: Server
afterEach(() => server.close())

/** The two ends of a connection, of which the second has not been listened to. */
async function connected(): Promise<[Socket, Socket]> {
  server = createServer()
  const accepted = once(server, 'connection')
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connect(port, '127.0.0.1')
  const [socket] = (await accepted) as [Socket]
  return [client, socket]
}

/** An owner that keeps what it is told. */
function recorder(): SocketOwner & { told: string[] } {
  const told: string[] = []
  return {
    told,
    onOpen: () => told.push('open'),
    onData: (bytes) => told.push(`data ${Buffer.from(bytes).toString()}`),
    onEnd: () => told.push('end'),
    onError: ({ message }) => told.push(`error ${message}`),
    onClose: () => told.push('close'),
  }
}

describe('tellOwner()', () => {
  test('tells of what happens, until the socket has closed', async () => {
    const [client, socket] = await connected()
    const owner = recorder()
    tellOwner(socket, owner, ['data', 'end', 'error', 'close'])
    client.end('hello')
    await once(socket, 'close')
    expect(owner.told).toEqual(['data hello', 'end', 'close'])
    expect(ownerOf(socket)).toBeUndefined()
  })

  test('tells of an error before the close behind it', async () => {
    const [, socket] = await connected()
    const owner = recorder()
    tellOwner(socket, owner, ['error', 'close'])
    const closed = new Promise((resolve) => socket.on('close', resolve))
    socket.destroy(new Error('struck'))
    await closed
    expect(owner.told).toEqual(['error struck', 'close'])
  })

  test('tells of a connection that is there', async () => {
    await connected()
    const { port } = server.address() as AddressInfo
    const owner = recorder()
    const socket = new Socket()
    tellOwner(socket, owner, ['connect', 'close'])
    socket.connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.destroy()
    await once(socket, 'close')
    expect(owner.told).toEqual(['open', 'close'])
  })

  test('hangs nothing of an owner on the object that holds the listeners', async () => {
    const [first, second] = await connected()
    const events = ['data', 'drain', 'error', 'close'] as const
    tellOwner(first, recorder(), events)
    tellOwner(second, recorder(), events)
    for (const event of events) {
      expect(second.listeners(event).at(-1)).toBe(first.listeners(event).at(-1))
    }
    first.destroy()
    second.destroy()
    await once(second, 'close')
  })
})
