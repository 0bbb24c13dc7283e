import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readdirSync, readFileSync } from 'node:fs'
import { startUwsgi, type UwsgiServer } from '../backend/uwsgi.ts'
import { eventually, within } from '../support/deadline.ts'
import { freePort } from '../support/free-port.ts'
import { send } from '../support/http-client.ts'
import { endProcesses, run, type Started, start } from './command.ts'

let uwsgi: UwsgiServer

beforeAll(async () => {
  uwsgi = await startUwsgi({ app: 'environ' })
})
afterAll(async () => {
  endProcesses()
  await uwsgi.stop()
})

/** The processes that a process has started, by what Linux says of their parents. */
function childrenOf(pid: number | undefined): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .filter((name) => {
      try {
        return (
          readFileSync(`/proc/${name}/stat`, 'latin1').split(') ')[1]?.split(' ')[1] === `${pid}`
        )
      } catch {
        // It has ended meanwhile.
        return false
      }
    })
    .map(Number)
}

async function startWorkers(...flags: string[]): Promise<{ started: Started; origin: string }> {
  const { address } = uwsgi
  const args = ['serve', '--upstream', address, '--listen', 'http://127.0.0.1:0', '--workers', '2']
  const started = start(...args, ...flags)
  await eventually('the line that says where it listens', () =>
    started.output.stdout.includes('Listening on')
  )
  const origin = /Listening on (\S+),/.exec(started.output.stdout)?.[1] ?? ''
  return { started, origin }
}

describe('edge-wsgi serve --workers', () => {
  test('serves from two processes on one port, and ends them with its own', async () => {
    const { started, origin } = await startWorkers()
    const workers = childrenOf(started.child.pid)
    expect(workers.length).toBe(2)
    expect(started.output.stdout.match(/Listening on/g)?.length).toBe(1)
    for (let i = 0; i < 4; i++) expect((await send(origin, { target: '/a' })).status).toBe(200)
    started.child.kill('SIGTERM')
    expect((await within('the end', started.done)).status).toBe(0)
    expect(childrenOf(process.pid).filter((pid) => workers.includes(pid))).toEqual([])
    await expect(send(origin, { target: '/a' })).rejects.toThrow('ECONNREFUSED')
  })

  test('replaces a worker that dies, and says so', async () => {
    const { started, origin } = await startWorkers()
    const before = childrenOf(started.child.pid)
    process.kill(before[0] ?? 0, 'SIGKILL')
    await eventually('a worker in its place', () => {
      const now = childrenOf(started.child.pid)
      return now.length === 2 && now.some((pid) => !before.includes(pid))
    })
    expect(started.output.stderr).toMatch(/worker \d+ ended with SIGKILL: starting another/)
    expect((await send(origin, { target: '/a' })).status).toBe(200)
    started.child.kill('SIGTERM')
    expect((await within('the end', started.done)).status).toBe(0)
  })

  test('adds the metrics of all up', async () => {
    const metrics = `http://127.0.0.1:${await freePort()}`
    const { started, origin } = await startWorkers('--metrics', metrics)
    await Promise.all(Array.from({ length: 8 }, () => send(origin, { target: '/a' })))
    const { text } = await send(metrics, { target: '/metrics' })
    expect(text).toMatch(/^edge_wsgi_requests_total\{method="GET",status="200",[^}]*\} 8$/m)
    started.child.kill('SIGTERM')
    expect((await within('the end', started.done)).status).toBe(0)
  })

  test('fails as one process would where it cannot listen', async () => {
    const port = new URL((await startWorkers()).origin).port
    const listen = `http://127.0.0.1:${port}`
    const flags = ['--upstream', uwsgi.address, '--listen', listen, '--workers', '2']
    const { status, stderr } = await run('serve', ...flags)
    expect(status).not.toBe(0)
    expect(stderr).toContain('EADDRINUSE')
  })

  test.each(['0', '-1', 'two', '1.5'])('refuses --workers %s', async (count) => {
    const { status, stderr } = await run('serve', '--upstream', uwsgi.address, '--workers', count)
    expect(status).toBe(2)
    expect(stderr).toContain(`--workers is wrong: it is "${count}"`)
  })
})
