/**
 * Counts work instead of time: what the methods of arrays and strings that decoders use go through.
 *
 * @module
 */

/** Elements that calls of these methods have gone through, copied or moved. */
type Cost = (self: { length: number }, args: readonly unknown[], result: unknown) => number

interface Counted {
  readonly owner: object
  readonly name: string
  readonly cost: Cost
}

const BYTES = Object.getPrototypeOf(Uint8Array.prototype) as object

const COUNTED: readonly Counted[] = [
  { owner: BYTES, name: 'set', cost: (_self, [source]) => lengthOf(source) },
  { owner: BYTES, name: 'slice', cost: (_self, _args, result) => lengthOf(result) },
  // A view costs the same whatever its size.
  { owner: BYTES, name: 'subarray', cost: () => 1 },
  {
    owner: BYTES,
    name: 'indexOf',
    cost: (self, [, from = 0], found) =>
      ((found as number) < 0 ? self.length : (found as number) + 1) - (from as number),
  },
  { owner: String, name: 'fromCharCode', cost: (_self, args) => args.length },
  // The elements behind the first may have to move.
  { owner: Array.prototype, name: 'shift', cost: (self) => self.length },
  { owner: Array.prototype, name: 'splice', cost: (self) => self.length },
  { owner: String.prototype, name: 'split', cost: (self) => self.length },
  { owner: String.prototype, name: 'endsWith', cost: () => 1 },
  { owner: String.prototype, name: 'includes', cost: (self) => self.length },
  { owner: RegExp.prototype, name: 'test', cost: (_self, [text]) => lengthOf(text) },
]

/** Runs a function and says how much work its calls of the counted methods were. */
export function countWork(run: () => void): number {
  let work = 0
  const originals = COUNTED.map(({ owner, name, cost }) => {
    const descriptor = Object.getOwnPropertyDescriptor(owner, name)
    if (descriptor === undefined) throw new Error(`Cannot count ${name}: there is none`)
    const original = descriptor.value as (...args: unknown[]) => unknown
    function counted(this: { length: number }, ...args: unknown[]): unknown {
      const result = Reflect.apply(original, this, args)
      work += cost(this, args, result)
      return result
    }
    Object.defineProperty(owner, name, { ...descriptor, value: counted })
    return () => Object.defineProperty(owner, name, descriptor)
  })
  try {
    run()
  } finally {
    for (const restore of originals) restore()
  }
  return work
}

function lengthOf(value: unknown): number {
  return (value as { length: number }).length
}
