/**
 * A uWSGI that is struck again and again, and knows when it was well.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { answers, PING } from '../backend/probe.ts'
import { BACKEND } from '../backend/programs.ts'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { eventually } from '../support/deadline.ts'
import { freePort } from '../support/free-port.ts'

/** What can happen to a backend. */
export const BLOWS = ['worker killed', 'reloaded', 'reloaded by force', 'gone and back'] as const

/** One of {@link BLOWS}. */
export type Blow = (typeof BLOWS)[number]

const WORKERS = 4
/** How long a backend stays away that goes. */
const AWAY_MS = 2000

/** A backend at a port that it keeps. */
export class SoakBackend {
  readonly #port: number
  #uwsgi: UwsgiServer
  /** Since when it is well, by `performance.now()`; Infinity while it is not. */
  wellSince: number

  private constructor(port: number, uwsgi: UwsgiServer) {
    this.#port = port
    this.#uwsgi = uwsgi
    this.wellSince = performance.now()
  }

  static async start(): Promise<SoakBackend> {
    const port = await freePort()
    return new SoakBackend(port, await startBackend(port))
  }

  get address(): string {
    return this.#uwsgi.address
  }

  /** Strikes it, and resolves when it is as before: all workers there, and one of them answers. */
  async suffer(blow: Blow): Promise<void> {
    this.wellSince = Infinity
    const before = this.#workers()
    if (blow === 'gone and back') {
      await this.#uwsgi.stop()
      await sleep(AWAY_MS)
      this.#uwsgi = await startBackend(this.#port)
    } else {
      await this.#replaced(this.#signal(blow, before))
    }
    this.wellSince = performance.now()
  }

  async stop(): Promise<void> {
    await this.#uwsgi.stop()
  }

  /** Sends the signal of a blow; returns the workers that it must end. */
  #signal(blow: Blow, workers: readonly number[]): readonly number[] {
    if (blow === 'worker killed') {
      const victim = workers[Math.floor(Math.random() * workers.length)]
      // Never 0, which would be the process group of the soak itself.
      if (victim === undefined) throw new Error(`${this.address} has no worker to kill`)
      process.kill(victim, 'SIGKILL')
      return [victim]
    }
    process.kill(this.#uwsgi.pid, blow === 'reloaded' ? 'SIGHUP' : 'SIGTERM')
    return workers
  }

  async #replaced(gone: readonly number[]): Promise<void> {
    await eventually(`new workers of ${this.address}`, () => {
      const workers = this.#workers()
      return workers.length === WORKERS && !gone.some((pid) => workers.includes(pid))
    })
    await eventually(`an answer of ${this.address}`, () => answers(this.address, PING))
  }

  /** Process ids of the workers, the children of the master. */
  #workers(): number[] {
    const { pid } = this.#uwsgi
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    return children.split(' ').filter(Boolean).map(Number)
  }
}

function startBackend(port: number): Promise<UwsgiServer> {
  return startUwsgi({
    app: join(BACKEND, 'bottle_app.py'),
    port,
    processes: WORKERS,
    termReloads: true,
  })
}
