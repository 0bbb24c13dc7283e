/**
 * Clients that know what they must get, and tell exactly what became of each request.
 *
 * @module
 */
import { createHash } from 'node:crypto'
import { Agent, type IncomingMessage, request as startRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * - `right`: complete, every byte as it must be.
 * - `wrong`: complete for all the client can see, and not what it must be.
 * - `cut off`: seen to break off behind its head, which nothing can be sent again after.
 * - `failed`: 502, 503 or 504, or no answer at all.
 * - `hung`: not over within {@link HUNG_MS}.
 */
export type Outcome = 'right' | 'wrong' | 'cut off' | 'failed' | 'hung'

/** A request that is over. */
export interface Finished {
  readonly method: 'GET' | 'POST'
  readonly outcome: Outcome
  /** What the client saw, for the report. */
  readonly detail: string
  /** When it was sent, by `performance.now()`. */
  readonly began: number
}

/** More than any timeout that a request meets on its way, of those that `serve` is started with. */
export const HUNG_MS = 30_000

const PAUSE_AFTER_FAILURE_MS = 100
const SIZES = [1, 100, 5000, 65_536, 100_000, 1_048_576]
/** How long a slow reader lets each chunk lie, so that a blow may fall into its body. */
const SLOW_READ_MS = 10
/** More than the buffers of two sockets hold, so that a slow reader keeps its worker. */
const SLOW_BYTES = 8_388_608
const FAILED_STATUS = /^50[234]$/

/** What the applications' `/download` sends; see `behaviour.py`. */
const PATTERN = Uint8Array.from(
  { length: SLOW_BYTES },
  (_, index) => ((index % 65_536) * 7 + ((index % 65_536) >> 8)) & 255
)

/** One question, and how its answer is told to be right. */
interface Question {
  readonly method: 'GET' | 'POST'
  readonly target: string
  readonly body: Uint8Array | undefined
  /** Its answer is read slowly. */
  readonly isSlow?: true
  isRight(answer: Buffer): boolean
}

/** Some clients on connections that are kept alive. */
export class Clients {
  readonly #origin: string
  readonly #agent: Agent
  readonly #onFinished: (finished: Finished) => void
  #running = true

  /** @param onFinished Called at the end of each request. */
  constructor(origin: string, onFinished: (finished: Finished) => void) {
    this.#origin = origin
    this.#agent = new Agent({ keepAlive: true })
    this.#onFinished = onFinished
  }

  /** Asks one question after the other, `count` at a time, until {@link end}. */
  async run(count: number): Promise<void> {
    this.#running = true
    await Promise.all(Array.from({ length: count }, () => this.#runOne()))
  }

  /** Lets the questions under way be answered. */
  end(): void {
    this.#running = false
  }

  /** Closes the connections. */
  close(): void {
    this.#agent.destroy()
  }

  async #runOne(): Promise<void> {
    while (this.#running) {
      const began = performance.now()
      const question = anyOf(ASKING)()
      const { outcome, detail } = await this.#ask(question)
      this.#onFinished({ method: question.method, outcome, detail, began })
      // Nobody asks at full speed what is down: the refusals would be most of the load.
      if (outcome === 'failed') await sleep(PAUSE_AFTER_FAILURE_MS)
    }
  }

  #ask(question: Question): Promise<{ outcome: Outcome; detail: string }> {
    const { method, target, body } = question
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined
      function settle(outcome: Outcome, detail: string): void {
        clearTimeout(timer)
        resolve({ outcome, detail: `${method} ${target}: ${detail}` })
      }
      const headers = body === undefined ? {} : { 'Content-Length': body.length }
      const url = new URL(target, this.#origin)
      const outgoing = startRequest(url, { method, agent: this.#agent, headers })
      timer = setTimeout(() => {
        settle('hung', `no end within ${HUNG_MS} ms`)
        outgoing.destroy()
      }, HUNG_MS)
      let answered = false
      outgoing.on('response', (incoming) => {
        answered = true
        judge(incoming, question, settle)
      })
      outgoing.on('error', (error) => {
        // The answer counts, even to a request that could not be written to its end.
        if (!answered) settle('failed', `no answer: ${error.message}`)
      })
      outgoing.end(body)
    })
  }
}

function judge(
  incoming: IncomingMessage,
  question: Question,
  settle: (outcome: Outcome, detail: string) => void
): void {
  const { statusCode = 0 } = incoming
  const chunks: Buffer[] = []
  incoming.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    if (question.isSlow !== true) return
    incoming.pause()
    setTimeout(() => incoming.resume(), SLOW_READ_MS)
  })
  incoming.on('error', () => {}) // 'close' follows, and says the same.
  incoming.on('close', () => {
    const answer = Buffer.concat(chunks)
    const what = `${statusCode} with ${answer.length} bytes`
    if (!incoming.complete) settle('cut off', what)
    else if (FAILED_STATUS.test(String(statusCode))) settle('failed', what)
    else if (statusCode === 200 && question.isRight(answer)) settle('right', what)
    else settle('wrong', what)
  })
}

function askDownload(): Question {
  return download(anyOf(SIZES))
}

function askDownloadSlowly(): Question {
  return { ...download(SLOW_BYTES), isSlow: true }
}

function download(size: number): Question {
  return {
    method: 'GET',
    // With its length: a response without one ends where the connection does, and nothing tells the
    // crash of a worker from that.
    target: `/download?bytes=${size}`,
    body: undefined,
    isRight: (answer) => answer.equals(PATTERN.subarray(0, size)),
  }
}

/** What a worker takes its time for, so that a blow may fall before its head. */
function askSleep(): Question {
  return {
    method: 'GET',
    target: '/sleep?seconds=0.3',
    body: undefined,
    isRight: (answer) => answer.equals(Buffer.from('slept\n')),
  }
}

function askEcho(): Question {
  const start = Math.floor(Math.random() * 65_536)
  const body = PATTERN.subarray(start, start + Math.min(anyOf(SIZES), 262_144))
  const sha256 = createHash('sha256').update(body).digest('hex')
  return {
    method: 'POST',
    target: '/echo',
    body,
    isRight: (answer) => answer.includes(`"body_sha256": "${sha256}"`),
  }
}

/** Each comes as often as its weight says. */
const ASKING = [
  ...times(10, askDownload),
  ...times(1, askDownloadSlowly),
  ...times(3, askSleep),
  ...times(6, askEcho),
]

function times<T>(weight: number, what: T): T[] {
  return Array.from({ length: weight }, () => what)
}

function anyOf<T>(choices: readonly T[]): T {
  return choices[Math.floor(Math.random() * choices.length)] as T
}
