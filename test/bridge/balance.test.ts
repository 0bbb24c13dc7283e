import { describe, expect, test } from 'vitest'
import { choose } from '../../src/bridge/balance.ts'
import { UpstreamServer, type UpstreamServerOptions } from '../../src/bridge/upstream-server.ts'

const DEFAULTS = { maxConns: Infinity, maxFails: 1, failTimeout: 10_000 }

/** Backends a, b, c, …, each with its options. */
function servers(...options: Omit<UpstreamServerOptions, 'address'>[]): UpstreamServer[] {
  return options.map(
    (own, index) =>
      new UpstreamServer({ address: `uwsgi://${letter(index)}:3031`, ...own }, DEFAULTS)
  )
}

function letter(index: number): string {
  return String.fromCharCode(97 + index)
}

/** `uwsgi://a:3031` → a. */
function nameOf(server: UpstreamServer | undefined): string {
  return server?.name.charAt('uwsgi://'.length) ?? '-'
}

/** Who gets the next `count` requests, in turn. */
function turns(group: readonly UpstreamServer[], count: number): string {
  return Array.from({ length: count }, () => nameOf(choose(group, 'round_robin', undefined))).join(
    ''
  )
}

/** Addresses of clients, always the same. */
const KEYS = Array.from({ length: 6000 }, (_, i) => `198.51.${i >> 8}.${i & 255}`)

/** Which backend each key gets. */
function spread(group: readonly UpstreamServer[], balance: 'hash' | 'ip_hash' = 'ip_hash') {
  return new Map(KEYS.map((key) => [key, nameOf(choose(group, balance, key))]))
}

function share(spreading: ReadonlyMap<string, string>, name: string): number {
  return [...spreading.values()].filter((got) => got === name).length / spreading.size
}

describe('choose() in turn', () => {
  test('gives weights 5, 1, 1 the order a a b a c a a, again and again', () => {
    const group = servers({ weight: 5 }, {}, {})
    expect(turns(group, 14)).toBe('aabacaaaabacaa')
  })

  test('gives equal weights one after the other', () => {
    expect(turns(servers({}, {}, {}), 7)).toBe('abcabca')
  })

  test('gives a backend that was out its share again, and not what it missed', () => {
    const [a, b, c] = servers({}, {}, {})
    if (!a || !b || !c) throw new Error('three')
    turns([b, c], 10)
    expect([...turns([a, b, c], 6)].toSorted().join('')).toBe('aabbcc')
  })

  test('shares by the effective weight, which grows back with each round', () => {
    const [a, b] = servers({ weight: 4 }, { weight: 4 })
    if (!a || !b) throw new Error('two')
    a.effectiveWeight = 0
    const first = turns([a, b], 8)
    expect(first.split('b').length).toBeGreaterThan(first.split('a').length)
    expect(a.effectiveWeight).toBe(4)
    turns([a, b], 8)
    const later = turns([a, b], 8)
    expect([later.split('a').length, later.split('b').length]).toEqual([5, 5])
  })

  test('answers undefined for no backend and the one for one', () => {
    expect(choose([], 'round_robin', undefined)).toBeUndefined()
    expect(turns(servers({}), 2)).toBe('aa')
  })
})

describe('choose() by least_conn', () => {
  test('takes the backend with the fewest requests for its weight', () => {
    const [a, b] = servers({ weight: 3 }, {})
    if (!a || !b) throw new Error('two')
    const order = Array.from({ length: 8 }, () => {
      const server = choose([a, b], 'least_conn', undefined)
      server?.take(0)
      return nameOf(server)
    })
    expect(order.filter((name) => name === 'a').length).toBe(6)
    expect([a.active, b.active]).toEqual([6, 2])
    b.release()
    expect(nameOf(choose([a, b], 'least_conn', undefined))).toBe('b')
  })

  test('takes those that are level in turn', () => {
    const group = servers({}, {}, {})
    const order = Array.from({ length: 6 }, () => nameOf(choose(group, 'least_conn', undefined)))
    expect(order.join('')).toBe('abcabc')
  })
})

describe.each(['hash', 'ip_hash'] as const)('choose() by %s', (balance) => {
  test('gives the same key the same backend, whatever came between', () => {
    const first = spread(servers({}, {}, {}), balance)
    const again = spread(servers({}, {}, {}), balance)
    expect(again).toEqual(first)
    // Of which backends a list consists counts, not their order.
    const [a, b, c] = servers({}, {}, {})
    if (!a || !b || !c) throw new Error('three')
    expect(spread([c, a, b], balance)).toEqual(first)
  })

  test('moves only the keys of the backend that is gone', () => {
    const group = servers({}, {}, {}, {})
    const before = spread(group, balance)
    const after = spread(
      group.filter((server) => nameOf(server) !== 'b'),
      balance
    )
    for (const [key, name] of before) {
      if (name === 'b') expect(after.get(key)).not.toBe('b')
      else expect(after.get(key)).toBe(name)
    }
    // Its keys go to all the others, not to its neighbour.
    const moved = new Set(
      [...before].filter(([, name]) => name === 'b').map(([key]) => after.get(key))
    )
    expect([...moved].toSorted()).toEqual(['a', 'c', 'd'])
  })

  test('gives each backend a share by its weight', () => {
    const even = spread(servers({}, {}, {}), balance)
    for (const name of ['a', 'b', 'c']) {
      expect(share(even, name)).toBeGreaterThan(0.28)
      expect(share(even, name)).toBeLessThan(0.39)
    }
    const weighted = spread(servers({ weight: 4 }, {}, {}), balance)
    expect(share(weighted, 'a')).toBeGreaterThan(0.6)
    expect(share(weighted, 'a')).toBeLessThan(0.73)
    expect(share(weighted, 'b')).toBeGreaterThan(0.12)
    expect(share(weighted, 'b')).toBeLessThan(0.22)
  })

  test('gives a request without a key its turn', () => {
    const group = servers({}, {})
    const order = [1, 2, 3, 4].map(() => nameOf(choose(group, balance, undefined)))
    expect(order).toEqual(['a', 'b', 'a', 'b'])
  })
})
