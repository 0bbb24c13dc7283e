// A proxy with Hono's proxy() on @hono/node-server, as its documentation writes it.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { proxy } from 'hono/proxy'

const app = new Hono()
app.all('*', (c) => {
  const { pathname, search } = new URL(c.req.url)
  return proxy(`${process.env.ORIGIN}${pathname}${search}`, c.req)
})
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => {
  console.log(`Listening on http://127.0.0.1:${port}`)
})
