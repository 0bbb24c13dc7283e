/**
 * The app behind `serve` on Node.
 *
 * @module
 */
import { createBridge, serve } from '../../../src/target/node/index.ts'
import { honoApp, type Variables } from './app.ts'

const app = honoApp(createBridge, process.env as unknown as Variables)
const server = await serve(app, { listen: 'http://127.0.0.1:0' })
console.log(`Listening on ${server.url}`)
