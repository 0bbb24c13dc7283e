/**
 * Serves a bridge to its first argument on Deno, and reads no variable of the environment itself.
 *
 * @module
 */
import process from 'node:process'
import { createBridge, serve } from '../../src/target/deno.ts'

const bridge = createBridge(process.argv[2] ?? '', { bufferBytes: 65_536 })
const { url } = await serve(bridge, { listen: 'http://127.0.0.1:0' })
console.log(`Listening on ${url}`)
