import { expect, test } from 'vitest'
import { Hono } from 'hono'
import { serve } from '../../src/target/node/index.ts'
import { send } from '../support/http-client.ts'
import { describeHono } from './suite.ts'
import { nodeTarget } from './targets.ts'

describeHono(nodeTarget, {
  addressInHeader: false,
  leave: 'close',
  emptyBodyIsNone: true,
  repeatedHeader: ['1, 2'],
})

test('serve() of a Hono app keeps what is hop-by-hop to itself', async () => {
  const headers = { 'keep-alive': 'x', te: 'x', trailer: 'x', upgrade: 'h2c', 'x-a': '1' }
  const app = new Hono().get('/', () => new Response('abc', { headers }))
  const server = await serve(app, { listen: 'http://127.0.0.1:0' })
  const response = await send(server.url, { target: '/' })
  await server.close()
  expect(response.text).toBe('abc')
  const names = response.headers.map(([name]) => name.toLowerCase())
  expect(names.filter((name) => name in headers)).toEqual(['x-a'])
})
