import { expect, test, vi } from 'vitest'
import { toEnviron } from '../../src/core/environ.ts'
import { validator } from '../../src/core/validator.ts'
import vectors from '../vectors/environ.json' with { type: 'json' }
import {
  acceptAll,
  type AnyEnviron,
  appOf,
  breachOf,
  call,
  environOf,
  errorsOf,
  inputOf,
  serve,
} from './validator-support.ts'

type Row = readonly [item: number | string, title: string, changes: AnyEnviron, message: string]

const REQUIRED = [
  'REQUEST_METHOD',
  'SERVER_NAME',
  'SERVER_PORT',
  'wsgi.version',
  'wsgi.input',
  'wsgi.errors',
  'wsgi.multithread',
  'wsgi.multiprocess',
  'wsgi.run_once',
]

const ROWS: readonly Row[] = [
  ...REQUIRED.map((key): Row => [
    31,
    `wants ${key}`,
    { [key]: undefined },
    `environ has no ${key}`,
  ]),
  [
    32,
    'refuses HTTP_CONTENT_TYPE',
    { HTTP_CONTENT_TYPE: 'text/plain' },
    'environ has HTTP_CONTENT_TYPE, wanted CONTENT_TYPE',
  ],
  [
    33,
    'refuses HTTP_CONTENT_LENGTH',
    { HTTP_CONTENT_LENGTH: '0' },
    'environ has HTTP_CONTENT_LENGTH, wanted CONTENT_LENGTH',
  ],
  [
    35,
    'refuses a number in a variable (STR-6)',
    { REMOTE_PORT: 5555 },
    'environ "REMOTE_PORT" is a number, wanted a string',
  ],
  [
    35,
    'refuses a boolean in a variable (STR-6)',
    { HTTPS: true },
    'environ "HTTPS" is a boolean, wanted a string',
  ],
  [
    35,
    'refuses null in a variable (STR-5)',
    { REMOTE_USER: null },
    'environ "REMOTE_USER" is null, wanted a string',
  ],
  [
    35,
    'refuses bytes in a variable',
    { PATH_INFO: new Uint8Array(1) },
    'environ "PATH_INFO" is a Uint8Array, wanted a string',
  ],
  [
    'STR-1',
    'refuses a code unit above U+00FF',
    { PATH_INFO: '/caf\u0117' },
    'environ "PATH_INFO" holds a code unit above U+00FF, wanted one octet each',
  ],
  [
    36,
    'refuses a version that is no array',
    { 'wsgi.version': '1.0' },
    'wsgi.version is a string, wanted an array',
  ],
  ...[[1, 1], [0, 0], [1], [1, 0, 0], ['1', '0']].map((version): Row => [
    'werkzeug-version',
    `refuses version ${JSON.stringify(version)}`,
    { 'wsgi.version': version },
    'wsgi.version is not [1, 0]',
  ]),
  [
    37,
    'refuses another scheme',
    { 'wsgi.url_scheme': 'ws' },
    'wsgi.url_scheme is neither http nor https',
  ],
  [
    37,
    'refuses a scheme in upper case',
    { 'wsgi.url_scheme': 'HTTP' },
    'wsgi.url_scheme is neither http nor https',
  ],
  [
    37,
    'wants wsgi.url_scheme',
    { 'wsgi.url_scheme': undefined },
    'wsgi.url_scheme is neither http nor https',
  ],
  ...[undefined, 'INCLUDED', 'HTTP/2', 'http/1.1', 'HTTP/1.10', ' HTTP/1.1'].map(
    (protocol): Row => [
      'SERVER_PROTOCOL',
      `refuses ${protocol} as SERVER_PROTOCOL`,
      { SERVER_PROTOCOL: protocol },
      'environ has no SERVER_PROTOCOL of the form HTTP/1.1',
    ]
  ),
  ...['read', 'readline', 'readlines'].map((name): Row => [
    38,
    `wants ${name}() of wsgi.input`,
    { 'wsgi.input': inputOf({ [name]: undefined }) },
    `wsgi.input has no ${name}()`,
  ]),
  [
    38,
    'wants wsgi.input to be iterable',
    { 'wsgi.input': inputOf({ [Symbol.iterator]: undefined }) },
    'wsgi.input is not iterable',
  ],
  [38, 'refuses null as wsgi.input', { 'wsgi.input': null }, 'wsgi.input has no read()'],
  ...['flush', 'write', 'writelines'].map((name): Row => [
    39,
    `wants ${name}() of wsgi.errors`,
    { 'wsgi.errors': { ...errorsOf([]), [name]: undefined } },
    `wsgi.errors has no ${name}()`,
  ]),
  [
    39,
    'refuses a string as wsgi.errors',
    { 'wsgi.errors': 'stderr' },
    'wsgi.errors has no flush()',
  ],
  [
    41,
    'refuses SCRIPT_NAME without a slash',
    { SCRIPT_NAME: 'app' },
    'SCRIPT_NAME does not start with a slash',
  ],
  [
    42,
    'refuses PATH_INFO without a slash',
    { PATH_INFO: 'a' },
    'PATH_INFO does not start with a slash',
  ],
  ...['-1', 'a', '1a', '1 ', '+1', '0x1', '1.5'].map((length): Row => [
    43,
    `refuses CONTENT_LENGTH ${JSON.stringify(length)}`,
    { CONTENT_LENGTH: length },
    'CONTENT_LENGTH is no number in decimal digits',
  ]),
  [
    44,
    'wants PATH_INFO where SCRIPT_NAME is empty',
    { PATH_INFO: undefined },
    'environ has neither SCRIPT_NAME nor PATH_INFO',
  ],
  [
    44,
    'wants PATH_INFO where SCRIPT_NAME is absent',
    { PATH_INFO: undefined, SCRIPT_NAME: undefined },
    'environ has neither SCRIPT_NAME nor PATH_INFO',
  ],
  [
    45,
    'refuses a slash as SCRIPT_NAME',
    { SCRIPT_NAME: '/' },
    'SCRIPT_NAME is a slash, wanted an empty one and PATH_INFO "/"',
  ],
]

test.each(ROWS)('`validator()` item %s: %s', async (item, _title, changes, message) => {
  const error = await breachOf(() => call(validator(appOf()), changes))
  const check = typeof item === 'number' ? `wsgiref.validate item ${item}` : `check ${item}`
  expect([error.item, error.message]).toEqual([item, `Cannot pass ${check}: ${message}`])
})

class EnvironClass {
  QUERY_STRING = ''
}

test.each([
  ['a Map', new Map(Object.entries(environOf()))],
  ['an EnvironClass', Object.assign(new EnvironClass(), environOf())],
  ['a plain object', Object.create(environOf())],
  ['an array', Object.assign([], environOf())],
  ['null', null],
  ['undefined', undefined],
  ['a string', 'environ'],
  ['a function', acceptAll],
])('`validator()` item 30: refuses %s as environ (STR-4)', async (kind, environ) => {
  const error = await breachOf(() =>
    Reflect.apply(validator(appOf()), undefined, [environ, acceptAll])
  )
  expect(error.message).toMatch(
    // What inherits from a plain object has its constructor.
    `Cannot pass wsgiref.validate item 30: environ is ${kind === 'a plain object' ? 'an Object' : kind}, wanted a plain object`
  )
})

test('`validator()` takes an environ without prototype (STR-4)', async () => {
  const environ = Object.assign(Object.create(null), environOf())
  expect(await Reflect.apply(validator(appOf()), undefined, [environ, acceptAll])).toBeDefined()
})

test.each([
  [34, { QUERY_STRING: undefined }, 'environ has no QUERY_STRING, wanted an empty one at least'],
  [
    40,
    { REQUEST_METHOD: 'PROPFIND' },
    'REQUEST_METHOD is none of GET HEAD POST OPTIONS PATCH PUT DELETE TRACE',
  ],
  [
    40,
    { REQUEST_METHOD: 'get' },
    'REQUEST_METHOD is none of GET HEAD POST OPTIONS PATCH PUT DELETE TRACE',
  ],
])('`validator()` item %i: warns of %j', async (item, changes, message) => {
  const { warnings } = await serve(appOf(), changes)
  expect(warnings).toMatchObject([
    { item, message: `Cannot pass wsgiref.validate item ${item}: ${message}` },
  ])
})

test('`validator()` writes warnings to wsgi.errors, one line each', async () => {
  const written: unknown[] = []
  const changes = { 'wsgi.errors': errorsOf(written), QUERY_STRING: undefined, REQUEST_METHOD: 'A' }
  await call(validator(appOf()), changes)
  expect(written).toEqual([
    'Cannot pass wsgiref.validate item 34: environ has no QUERY_STRING, wanted an empty one at least\n',
    'Cannot pass wsgiref.validate item 40: REQUEST_METHOD is none of GET HEAD POST OPTIONS PATCH PUT DELETE TRACE\n',
  ])
})

test('`validator()` writes warnings to the console where wsgi.errors cannot be written to', async () => {
  const warn = vi.spyOn(console, 'warn').mockReturnValue()
  try {
    const changes = { 'wsgi.errors': {}, QUERY_STRING: undefined }
    await breachOf(() => call(validator(appOf()), changes))
    expect(warn.mock.calls).toEqual([
      [
        'Cannot pass wsgiref.validate item 34: environ has no QUERY_STRING, wanted an empty one at least',
      ],
    ])
  } finally {
    warn.mockRestore()
  }
})

test.each<[string, AnyEnviron]>([
  ['every method', {}],
  ...['GET', 'HEAD', 'POST', 'OPTIONS', 'PATCH', 'PUT', 'DELETE', 'TRACE'].map(
    (method): [string, AnyEnviron] => [method, { REQUEST_METHOD: method }]
  ),
  ['octets above U+007F', { PATH_INFO: '/\x80\xff' }],
  ['a dotted key of any type', { 'x.number': 1, 'x.null': null, 'x.text': '\u0117' }],
  ['https', { 'wsgi.url_scheme': 'https' }],
  ['HTTP/2.0', { SERVER_PROTOCOL: 'HTTP/2.0' }],
  ['a mount', { SCRIPT_NAME: '/app', PATH_INFO: '' }],
  ['a mount without PATH_INFO', { SCRIPT_NAME: '/app', PATH_INFO: undefined }],
  ['no SCRIPT_NAME', { SCRIPT_NAME: undefined }],
  ['an empty CONTENT_LENGTH', { CONTENT_LENGTH: '' }],
  ['a CONTENT_LENGTH of 0', { CONTENT_LENGTH: '0' }],
  ['a long CONTENT_LENGTH', { CONTENT_LENGTH: '18446744073709551616' }],
])('`validator()` lets an environ with %s pass', async (_what, changes) => {
  const chunks = changes.REQUEST_METHOD === 'HEAD' ? [] : ['hello']
  expect(await serve(appOf('200 OK', undefined, chunks), changes)).toMatchObject({ warnings: [] })
})

interface Vector {
  id: string
  req?: { method?: string; url?: string; headers?: [string, string][]; body?: string | null }
  meta?: object
  opts?: object
  expect: { reject?: number }
}

const accepted = (vectors.cases as unknown as Vector[]).filter(
  ({ expect: { reject } }) => reject === undefined
)

test('there are vectors to validate', () => {
  expect(accepted.length).toBeGreaterThan(50)
})

test.each(accepted.map((vector) => [vector.id, vector] as const))(
  '`validator()` lets our own environ pass: vector %s',
  async (id, { req, meta, opts }) => {
    const { method, url, headers, body } = { ...vectors.defaults.req, ...req }
    const init: RequestInit = { method }
    if (body != null) {
      const bytes = Uint8Array.from(body, (unit) => unit.charCodeAt(0))
      Object.assign(init, { body: new Blob([bytes]).stream(), duplex: 'half' })
    }
    const request = new Request(url, init)
    for (const [name, value] of headers as [string, string][]) request.headers.append(name, value)
    const environ = await toEnviron(request, { ...vectors.defaults.meta, ...meta }, opts)
    const warnings: unknown[] = []
    const validated = validator(appOf('204 No Content', [], []), {
      onWarning: ({ item }) => warnings.push(item),
    })
    await validated(environ, acceptAll)
    // One vector has a method of its own, which item 40 does not know.
    expect(warnings).toEqual(id.startsWith('G01 ') ? [40] : [])
    const input = environ['wsgi.input']
    const lines: Uint8Array[] = []
    for await (const line of input) lines.push(line)
    expect(lines.reduce((total, line) => total + line.length, 0)).toBe(body?.length ?? 0)
    expect(await input.read(1)).toEqual(new Uint8Array())
  }
)
