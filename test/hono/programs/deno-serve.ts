/**
 * The app behind Deno's own server.
 *
 * @module
 */
import process from 'node:process'
import { createBridge } from '../../../src/target/deno.ts'
import { honoApp, type Variables } from './app.ts'

const app = honoApp(createBridge, process.env as unknown as Variables)
const { addr } = Deno.serve({ hostname: '127.0.0.1', port: 0, onListen: () => {} }, app.fetch)
console.log(`Listening on http://127.0.0.1:${'port' in addr ? addr.port : ''}`)
