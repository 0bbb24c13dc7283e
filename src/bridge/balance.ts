/**
 * Which backend of a group gets a request.
 *
 * @module
 */
import type { UpstreamServer } from './upstream-server.ts'

/**
 * How a backend is chosen: in turn by weight; by the fewest requests under way for its weight; or by a
 * hash of the client's address or of a header field, so that the same client gets the same backend.
 */
export type Balance = 'round_robin' | 'least_conn' | 'ip_hash' | 'hash'

/** The words of {@link Balance}. */
export const BALANCES: readonly Balance[] = ['round_robin', 'least_conn', 'ip_hash', 'hash']

/**
 * Chooses among backends that are to be had.
 *
 * @param servers At least one.
 * @param key What is hashed; without one it is the turn that counts.
 */
export function choose(
  servers: readonly UpstreamServer[],
  balance: Balance,
  key: string | undefined
): UpstreamServer | undefined {
  if (servers.length < 2) return servers[0]
  if (balance === 'least_conn') return inTurn(leastBusy(servers))
  if (balance === 'round_robin' || key === undefined) return inTurn(servers)
  return byHash(servers, key)
}

/**
 * nginx's smooth weighted round robin: each round every backend gains its weight, and the one with
 * the most credit pays for all. Weights 5, 1, 1 give a a b a c a a, not five in a row.
 */
function inTurn(servers: readonly UpstreamServer[]): UpstreamServer | undefined {
  let total = 0
  let best: UpstreamServer | undefined
  for (const server of servers) {
    server.credit += server.effectiveWeight
    total += server.effectiveWeight
    if (server.effectiveWeight < server.weight) server.effectiveWeight++
    if (best === undefined || server.credit > best.credit) best = server
  }
  if (best !== undefined) best.credit -= total
  return best
}

function load({ active, weight }: UpstreamServer): number {
  return active / weight
}

function leastBusy(servers: readonly UpstreamServer[]): readonly UpstreamServer[] {
  const least = Math.min(...servers.map(load))
  return servers.filter((server) => load(server) === least)
}

/**
 * Weighted rendezvous hashing (Thaler and Ravishankar, 1998): each backend draws a number from key and
 * address, and the highest wins. When one goes, only its own keys move.
 */
function byHash(servers: readonly UpstreamServer[], key: string): UpstreamServer | undefined {
  let best: UpstreamServer | undefined
  let bestScore = -Infinity
  for (const server of servers) {
    const score = -server.weight / Math.log(draw(`${key} ${server.name}`))
    if (score > bestScore) {
      best = server
      bestScore = score
    }
  }
  return best
}

/** A number between 0 and 1, the same for the same text: FNV-1a, its bits mixed as MurmurHash3 does. */
function draw(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / 2 ** 32
}
