// That application on @hono/node-server.
import { serve } from '@hono/node-server'
import app from './hono-app.mjs'

serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => {
  console.log(`Listening on http://127.0.0.1:${port}`)
})
