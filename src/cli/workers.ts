/**
 * `serve --workers`: several processes on one port, through node:cluster.
 *
 * @module
 */
import cluster, { type Worker } from 'node:cluster'
import { termination } from './termination.ts'

/** How long a worker that died is waited for: one that dies at once must not take a whole core. */
const RESTART_DELAY_MS = 1000

/** The part a process plays: alone, above workers, or one of them. */
export type Role = 'single' | 'primary' | 'worker'

/** What a worker tells once it listens. */
interface Listening {
  readonly listening: string
}

/** The part this process plays where `count` workers are wanted. */
export function roleOf(count: number): Role {
  if (cluster.isWorker) return 'worker'
  return count > 1 ? 'primary' : 'single'
}

/** Tells the primary where this worker listens. */
export function announce(url: string): void {
  process.send?.({ listening: url } satisfies Listening)
}

/** Lets go of the primary, which would keep a worker alive that has nothing left to do. */
export function leave(): void {
  cluster.worker?.disconnect()
}

/**
 * Runs workers until this process is asked to end, then lets them end. One that dies is replaced; where
 * the first cannot start, none is kept, and its exit status is this process's.
 *
 * @param onListening Called once, when all of them listen.
 */
export async function runWorkers(count: number, onListening: (url: string) => void): Promise<void> {
  await new Crew(count, onListening).run()
}

class Crew {
  readonly #count: number
  readonly #onListening: (url: string) => void
  readonly #workers = new Set<Worker>()
  readonly #allGone = Promise.withResolvers<void>()
  #listening = 0
  #ending = false

  constructor(count: number, onListening: (url: string) => void) {
    this.#count = count
    this.#onListening = onListening
  }

  async run(): Promise<void> {
    for (let i = 0; i < this.#count; i++) this.#fork()
    await Promise.race([termination(), this.#allGone.promise])
    this.#end()
    await this.#allGone.promise
  }

  #fork(): void {
    const worker = cluster.fork()
    this.#workers.add(worker)
    worker.on('message', (message: Partial<Listening>) => {
      if (typeof message.listening !== 'string') return
      this.#listening++
      if (this.#listening === this.#count) this.#onListening(message.listening)
    })
    worker.on('exit', (code, signal) => this.#onExit(worker, code, signal))
  }

  #onExit(worker: Worker, code: number | null, signal: string | null): void {
    this.#workers.delete(worker)
    if (!this.#ending && this.#listening < this.#count) {
      // It has said why itself.
      process.exitCode = code ?? 1
      this.#end()
    } else if (!this.#ending) {
      const how = signal ?? `exit status ${code}`
      console.error(`edge-wsgi: worker ${worker.process.pid} ended with ${how}: starting another`)
      setTimeout(() => {
        if (!this.#ending) this.#fork()
      }, RESTART_DELAY_MS)
      return
    }
    if (this.#workers.size === 0) this.#allGone.resolve()
  }

  #end(): void {
    this.#ending = true
    for (const worker of this.#workers) worker.process.kill('SIGTERM')
    if (this.#workers.size === 0) this.#allGone.resolve()
  }
}
