/**
 * workerd by itself, as `workerd serve` runs it: no proxy of a development server in front.
 *
 * @see https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp
 * @module
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startFront } from '../../backend/front.ts'
import { PROJECT_ROOT, requireProgram } from '../../backend/programs.ts'
import { readSettings } from '../../target/workers-target.ts'
import type { Gateway } from '../harness/load.ts'

/** Starts a Worker with text bindings. */
export async function startWorkerd(
  script: string,
  variables: Readonly<Record<string, string>>
): Promise<Gateway> {
  const command = requireProgram(join(PROJECT_ROOT, 'node_modules', '.bin', 'workerd'))
  const settings = await readSettings()
  const { origin, pid, stop } = await startFront(async (port, directory) => {
    const file = join(directory, 'config.capnp')
    await writeFile(join(directory, 'worker.js'), script)
    await writeFile(file, configuration(port, variables, settings))
    // It says nothing once it listens; that it accepts connections must do.
    return { command, args: ['serve', file], stopSignal: 'SIGTERM', ready: /^/ }
  })
  return { origin, pids: [pid], stop }
}

function configuration(
  port: number,
  variables: Readonly<Record<string, string>>,
  settings: { compatibilityDate: string; compatibilityFlags: string[] }
): string {
  const bindings = Object.entries(variables)
    .map(([name, value]) => `(name = ${JSON.stringify(name)}, text = ${JSON.stringify(value)})`)
    .join(', ')
  const flags = settings.compatibilityFlags.map((flag) => JSON.stringify(flag)).join(', ')
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    # The backends are on this machine.
    (name = "internet", network = (allow = ["public", "private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);

const main :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "${settings.compatibilityDate}",
  compatibilityFlags = [${flags}],
  bindings = [${bindings}],
);
`
}
