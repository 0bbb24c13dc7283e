import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ENVIRON_PAGE_CSP,
  type EnvironPage,
  renderEnvironHtml,
  renderEnvironJson,
} from '../../src/environ-page/environ-page.ts'

/** Text as a native string: its UTF-8 octets, one per character. */
function native(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text))
}

const ENVIRON = {
  'wsgi.errors': { write() {} },
  'wsgi.input': { read() {} },
  'wsgi.multithread': false,
  'wsgi.multiprocess': true,
  'wsgi.url_scheme': 'https',
  'wsgi.version': [1, 0],
  HTTP_USER_AGENT: 'curl/8.5.0',
  HTTP_HOST: 'shop.example:8443',
  HTTPS: 'on',
  SERVER_PORT: '8443',
  SERVER_NAME: 'shop.example',
  REMOTE_ADDR: '192.0.2.7',
  REMOTE_PORT: '51234',
  X_CUSTOM: 'param',
  CONTENT_LENGTH: '12',
  QUERY_STRING: 'x=1',
  PATH_INFO: native('/café'),
  SCRIPT_NAME: '/app',
  REQUEST_METHOD: 'POST',
}

function render(environ: Record<string, unknown>, rest: Omit<EnvironPage, 'environ'> = {}): string {
  return renderEnvironHtml({ environ, ...rest })
}

/** The rows of the tables, as `[caption's group, key, value's markup]`. */
function rows(html: string): [group: string, key: string, value: string][] {
  return html.split('<table').flatMap((table) => {
    const group = /<h2 id="(\w+)">/.exec(table)?.[1] ?? ''
    const cells = table.matchAll(
      /<th role="rowheader" scope="row"><code>(.*?)<\/code><\/th><td role="cell">(.*?)<\/td>/gs
    )
    return Array.from(cells, ([, key = '', value = '']): [string, string, string] => [
      group,
      textContent(key),
      value,
    ])
  })
}

function valueOf(environ: Record<string, unknown>, key: string): string {
  const row = rows(render(environ)).find(([, name]) => name === key)
  expect(row).toBeDefined()
  return row?.[2] ?? ''
}

/** What a browser shows of markup: tags gone, character references decoded. */
function textContent(html: string): string {
  const references: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" }
  return html.replace(/<[^>]*>/g, '').replace(/&([^;]+);/g, (_, name) => {
    expect(references).toHaveProperty([name])
    return references[name] ?? ''
  })
}

function section(html: string, start: string, end: string): string {
  const from = html.indexOf(start)
  expect(from).toBeGreaterThan(-1)
  return html.slice(from, html.indexOf(end, from) + end.length)
}

/** Every tag that the page is made of; the only attributes with text of a client are the labels. */
const TAG =
  /^<(?:!DOCTYPE html|\/?(?:html|head|title|style|body|header|main|footer|section|p|h1|h2|ol|li|dl|dt|dd|div|span|code|bdi|em|small|i|s|table|caption|colgroup|col|thead|tbody|tr|th|td)|html lang="en"|meta (?:charset|name)="[\w-]+"(?: content="[\w ,=-]+")?|section (?:class="\w+" )?aria-label(?:ledby)?="\w+"|section class="next" aria-labelledby="next"|(?:h2 id|p class|span class|div class|dl class)="\w+"|ol class="route" aria-label="Route of the request"|(?:table|caption|thead|tbody|tr) role="\w+"|t[hd] role="\w+"(?: scope="(?:row|col)"| class="note")?|div class="long" role="group" tabindex="0" aria-label="[^"'<>]*")>$/

function expectOnlyOwnTags(html: string): void {
  const body = html.replace(/<style>.*?<\/style>/s, '')
  for (const tag of body.match(/<[^>]*>?/g) ?? []) expect(tag).toMatch(TAG)
}

describe('renderEnvironHtml()', () => {
  test('groups the keys, the well-known ones first and in their order', () => {
    const keys = rows(render(ENVIRON)).map(([group, key]) => `${group} ${key}`)
    expect(keys).toEqual([
      'cgi REQUEST_METHOD',
      'cgi SCRIPT_NAME',
      'cgi PATH_INFO',
      'cgi QUERY_STRING',
      'cgi CONTENT_LENGTH',
      'cgi SERVER_NAME',
      'cgi SERVER_PORT',
      'cgi HTTPS',
      'cgi REMOTE_ADDR',
      'cgi REMOTE_PORT',
      'cgi X_CUSTOM',
      'http HTTP_HOST',
      'http HTTP_USER_AGENT',
      'wsgi wsgi.version',
      'wsgi wsgi.url_scheme',
      'wsgi wsgi.input',
      'wsgi wsgi.errors',
      'wsgi wsgi.multithread',
      'wsgi wsgi.multiprocess',
    ])
  })

  test('keeps a header field with a dot in its name out of the wsgi group', () => {
    expect(rows(render({ 'HTTP_WSGI.INPUT': 'x' }))).toMatchObject([
      ['http', 'HTTP_WSGI.INPUT', expect.any(String)],
    ])
  })

  test('says in words what happened, in the headline and the title', () => {
    const html = render({ ...ENVIRON, REQUEST_METHOD: 'GET' })
    expect(textContent(section(html, '<h1>', '</h1>'))).toBe(
      'GET /app/café?x=1 became this environ'
    )
    expect(section(html, '<title>', '</title>')).toBe(
      '<title>GET /app/café?x=1 as an environ</title>'
    )
  })

  test('has no elements in the title, whatever the path', () => {
    const html = render({ REQUEST_METHOD: 'GET', PATH_INFO: '/</title>\r\n\xff' })
    expect(section(html, '<title>', '</title>')).toBe(
      '<title>GET /&lt;/title&gt;\\r\\n\\xff as an environ</title>'
    )
  })

  test('splits the request and names the parties in the overview', () => {
    const overview = section(render(ENVIRON), '<section class="overview"', '</section>')
    const terms = Array.from(overview.matchAll(/<dt>(.*?)<\/dt><dd>(.*?)<\/dd>/g), ([, dt, dd]) => [
      dt,
      textContent(dd ?? ''),
    ])
    expect(terms).toEqual([
      ['REQUEST_METHOD', 'POST'],
      ['SCRIPT_NAME', '/app'],
      ['PATH_INFO', '/café'],
      ['QUERY_STRING', '?x=1'],
      ['Scheme', 'https'],
      ['Server', 'shop.example port 8443'],
      ['Client', '192.0.2.7 port 51234'],
      ['Body', '12 bytes'],
    ])
  })

  test('tells the newcomer what to do next', () => {
    const next = textContent(section(render(ENVIRON), '<section class="next"', '</section>'))
    expect(next).toContain('UPSTREAM=uwsgi://127.0.0.1:3031')
    expect(next).toContain('Accept: application/json')
  })

  test('stands for an empty group and an empty environ in words', () => {
    const html = render({})
    expect(rows(html)).toEqual([])
    expect(html).not.toContain('<table')
    for (const words of ['No CGI variables.', 'No header fields.', 'No wsgi keys.', 'unknown']) {
      expect(html).toContain(words)
    }
    expect(html).not.toContain('undefined')
    expectOnlyOwnTags(html)
  })

  test('shows a route when there is one', () => {
    const html = render(ENVIRON, { route: ['HTTP', 'workerd', '<b>&\u202e'] })
    expect(html).toContain(
      '<li>HTTP</li><li>workerd</li><li>&lt;b&gt;&amp;<i>\\u202e</i></li></ol>'
    )
    expect(render(ENVIRON, { route: [] })).not.toContain('class="route"')
    expect(render(ENVIRON)).not.toContain('class="route"')
  })

  test('is one document without script, handlers, links or anything to load', () => {
    const html = render(ENVIRON, { route: ['HTTP'] })
    expect(html).toMatch(/^<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">/)
    expect(html).not.toMatch(/<script|<link|<img|<a |javascript:|@import|url\(|https?:|[^:]\/\/\w/i)
    expect(html).not.toMatch(/ (?:on\w+|src|href|style)=/i)
    expect(html.match(/<style>/g)).toHaveLength(1)
    expectOnlyOwnTags(html)
  })

  test('has landmarks, and tables with captions and scopes', () => {
    const html = render(ENVIRON)
    for (const tag of ['<header>', '<main>', '<footer>']) expect(html.split(tag)).toHaveLength(2)
    expect(html.match(/<table/g)).toHaveLength(3)
    expect(html.match(/<caption><h2 /g)).toHaveLength(3)
    expect(html.match(/scope="row"/g)).toHaveLength(Object.keys(ENVIRON).length)
    expect(html.match(/scope="col"/g)).toHaveLength(3 + 2 + 3)
  })
})

describe('renderEnvironHtml() values', () => {
  test.each([
    ['plain', 'GET', "'GET'"],
    ['empty', '', "''"],
    ['spaces', '  a  ', "'  a  '"],
    ['markup', '</td><script>alert(1)</script>', "'</td><script>alert(1)</script>'"],
    ['a character reference', '&lt;', "'&lt;'"],
    ['double quotes', '"><img onerror=x>', `'"><img onerror=x>'`],
    ['single quotes', "it's", `"it's"`],
    ['both quotes', `it's "x"`, `'it\\'s "x"'`],
    ['backslashes', '\\x41', "'\\\\x41'"],
    ['line ends', 'a\r\nb\tc', "'a\\r\\nb\\tc'"],
    ['control characters', '\0\x01\x1b[31m\x7f', "'\\x00\\x01\\x1b[31m\\x7f'"],
    ['Latin-1', 'caf\xe9', "'caf\\xe9'"],
    ['no-break space and C1', '\xa0\x85', "'\\xa0\\x85'"],
    ['what no environ may hold', '\u2028\u202e\ud800<\ufeff', "'\\u2028\\u202e\\ud800<\\ufeff'"],
    ['beyond the BMP', '\u{1f600}', "'\\U0001f600'"],
  ])('shows %s as the Python literal', (_, value, literal) => {
    const html = valueOf({ HTTP_X: value }, 'HTTP_X')
    expect(textContent(html)).toBe(literal)
    expect(html).toMatch(/^[\x20-\x7e]*$/)
    expectOnlyOwnTags(html)
  })

  test('sets escapes off from text that looks like one', () => {
    expect(valueOf({ HTTP_X: 'x0d\r\n' }, 'HTTP_X')).toContain('x0d<i>\\r\\n</i>')
    expect(valueOf({ HTTP_X: '\\r' }, 'HTTP_X')).toContain('<i>\\\\</i>r')
  })

  test('escapes the five characters of HTML wherever a client put them', () => {
    const value = `<b a="1" c='2'>&amp;</b>`
    const escaped = '&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;&lt;/b&gt;'
    const html = render({
      REQUEST_METHOD: value,
      SCRIPT_NAME: value,
      PATH_INFO: native(`é${value}`),
      QUERY_STRING: value,
      SERVER_NAME: value,
      REMOTE_ADDR: value,
      [`HTTP_${value}`]: value,
      [`x.${value}`]: { toString: () => value },
      'wsgi.list': [value],
    })
    expect(html).not.toContain(value)
    expect(html).not.toContain('<b ')
    expect(section(html, '<title>', '</title>')).toContain(escaped)
    expect(section(html, '<h1>', '</h1>').split(escaped)).toHaveLength(5)
    expect(html).toContain(`<code>HTTP_${escaped}</code>`)
    expect(html).toContain(`<code>&lt;x.${escaped}&gt;</code>`)
    expectOnlyOwnTags(html)
  })

  test('keeps the key of a long value inside its attribute', () => {
    const key = `HTTP_" onfocus="alert(1)' <\n\x00\u2028`
    const html = render({ [key]: 'x'.repeat(1001) })
    expect(html).toContain(
      'aria-label="HTTP_&quot; onfocus=&quot;alert(1)&#39; &lt;\\n\\x00\\u2028, 1001 octets">'
    )
    expectOnlyOwnTags(html)
  })

  test('never lets a value become markup or hide, whatever its octets', () => {
    const octets = fc.string({
      unit: fc.oneof(
        fc.constantFrom('<', '>', '&', '"', "'", '\\', '/', '\0', '\r', '\n', '-', '!', ']'),
        fc.integer({ min: 0, max: 0xff }).map((code) => String.fromCharCode(code)),
        fc.constantFrom('\u2028', '\u202e', '\ud83d', native('é'), native('\u2066'))
      ),
    })
    fc.assert(
      fc.property(octets, octets, (name, value) => {
        const html = render({
          REQUEST_METHOD: value,
          PATH_INFO: value,
          QUERY_STRING: name,
          [`HTTP_${name}`]: value,
          [`x.${name}`]: [value],
        })
        expectOnlyOwnTags(html)
        expect(html).not.toMatch(/[^\P{C}\n]|[\p{Zl}\p{Zp}]/u)
      })
    )
  })
})

describe('renderEnvironHtml() UTF-8', () => {
  test('puts the text beside octets that are UTF-8', () => {
    const html = valueOf({ PATH_INFO: native('/café') }, 'PATH_INFO')
    expect(textContent(html)).toBe("'/caf\\xc3\\xa9' UTF-8 /café")
    expect(html).toContain('<bdi>/café</bdi>')
  })

  test.each([
    ['ASCII', '/cafe'],
    ['Latin-1', '/caf\xe9'],
    ['a cut sequence', '/caf\xc3'],
    ['an overlong form', '\xc0\xaf'],
    ['a surrogate', '\xed\xa0\x80'],
    ['UTF-8 and then none', native('é') + '\xff'],
    ['more than octets', native('é') + '\u0100'],
  ])('has no text for %s', (_, value) => {
    const html = render({ PATH_INFO: value })
    expect(html).not.toContain('<span class="utf8">')
    expect(html).not.toContain('\ufffd')
    expect(html).not.toContain(value === '/cafe' ? '\0' : value)
  })

  test('escapes the text: markup, bidi overrides, byte order marks, separators', () => {
    const html = valueOf(
      { HTTP_X: native('\ufeffé<b>\u202e\u2028\u00a0\u3164\u{e0041}') },
      'HTTP_X'
    )
    expect(html).toContain(
      '<bdi><i>\\ufeff</i>é&lt;b&gt;<i>\\u202e\\u2028\\xa0\\u3164\\U000e0041</i></bdi>'
    )
  })

  test('leaves the joiners that words and emoji are spelled with', () => {
    const text = '👩\u200d💻 ❤\ufe0f می\u200cخواهم'
    expect(valueOf({ HTTP_X: native(text) }, 'HTTP_X')).toContain(`<bdi>${text}</bdi>`)
  })

  test('cuts a long path in headline and overview, never inside a character', () => {
    const path = `/${'a'.repeat(98)}😀${'b'.repeat(50)}`
    const html = render({ PATH_INFO: native(path) })
    expect(textContent(section(html, '<h1>', '</h1>'))).toBe(
      ` /${'a'.repeat(98)}… became this environ`
    )
    expect(valueOf({ PATH_INFO: native(path) }, 'PATH_INFO')).toContain(path)
  })
})

describe('renderEnvironHtml() wsgi values', () => {
  test.each([
    ['wsgi.version', [1, 0], '(1, 0)'],
    ['wsgi.multithread', false, 'False'],
    ['wsgi.multiprocess', true, 'True'],
    ['wsgi.url_scheme', 'https', "'https'"],
    ['wsgi.errors', { write() {} }, '<wsgi.errors>'],
    ['wsgi.file_wrapper', () => [], '<wsgi.file_wrapper>'],
    ['wsgi.input', {}, '<wsgi.input>'],
    ['x.number', 1.5, '1.5'],
    ['x.nothing', null, 'None'],
    ['x.undefined', undefined, 'None'],
    ['x.bigint', 1n, '<x.bigint>'],
    ['x.list', ['a', true, null, {}, [1]], "['a', True, None, <x.list>, [...]]"],
  ])('prints %s as Python would', (key, value, literal) => {
    expect(textContent(valueOf({ [key]: value }, key))).toBe(literal)
  })

  test('gives wsgi.input the size of the body, else of CONTENT_LENGTH', () => {
    const input = { 'wsgi.input': {} }
    const withLength = { ...input, CONTENT_LENGTH: '12' }
    const names = [
      render(input, { body: new Uint8Array(1) }),
      render(withLength),
      render(withLength, { body: { length: 0 } }),
      render({ ...input, CONTENT_LENGTH: '1e3' }),
    ].map((html) => textContent(rows(html).at(-1)?.[2] ?? ''))
    expect(names).toEqual([
      '<wsgi.input, 1 byte>',
      '<wsgi.input, 12 bytes>',
      '<wsgi.input, 0 bytes>',
      '<wsgi.input>',
    ])
  })

  test('survives a list that contains itself', () => {
    const list: unknown[] = []
    list.push(list)
    expect(textContent(valueOf({ 'x.list': list }, 'x.list'))).toBe('[[...]]')
  })
})

describe('renderEnvironHtml() size', () => {
  test('puts a long value in a box that scrolls and takes the focus', () => {
    const html = valueOf({ HTTP_COOKIE: 'x'.repeat(4096) }, 'HTTP_COOKIE')
    expect(html).toContain('tabindex="0" aria-label="HTTP_COOKIE, 4096 octets">')
    expect(valueOf({ HTTP_COOKIE: 'x'.repeat(1000) }, 'HTTP_COOKIE')).not.toContain('tabindex')
  })

  test.each([
    ['plain', 'x'],
    ['control characters', '\0'],
    ['escapes between text', 'x\0'],
    ['quotes', `'"`],
    ['backslashes', '\\'],
    ['UTF-8', native('é')],
    ['almost UTF-8', '\xc3'],
  ])('is quick with 64 KiB of %s', (_, unit) => {
    const value = unit.repeat(65_536 / unit.length)
    const start = performance.now()
    const html = render({ PATH_INFO: value, QUERY_STRING: value, HTTP_X: value, 'x.list': [value] })
    // Linear work takes 150 ms at most; quadratic work would take minutes.
    expect(performance.now() - start).toBeLessThan(1000)
    expect(html.length).toBeLessThan(4 * 20 * 65_536)
  })
})

describe('renderEnvironJson()', () => {
  test('has the groups, in the order of the page, and the kinds that JSON has', () => {
    const json = renderEnvironJson({ environ: ENVIRON, body: { length: 3 } })
    expect(JSON.parse(json)).toEqual({
      cgi: {
        REQUEST_METHOD: 'POST',
        SCRIPT_NAME: '/app',
        PATH_INFO: '/caf\xc3\xa9',
        QUERY_STRING: 'x=1',
        CONTENT_LENGTH: '12',
        SERVER_NAME: 'shop.example',
        SERVER_PORT: '8443',
        HTTPS: 'on',
        REMOTE_ADDR: '192.0.2.7',
        REMOTE_PORT: '51234',
        X_CUSTOM: 'param',
      },
      http: { HTTP_HOST: 'shop.example:8443', HTTP_USER_AGENT: 'curl/8.5.0' },
      wsgi: {
        'wsgi.version': [1, 0],
        'wsgi.url_scheme': 'https',
        'wsgi.input': '<wsgi.input, 3 bytes>',
        'wsgi.errors': '<wsgi.errors>',
        'wsgi.multithread': false,
        'wsgi.multiprocess': true,
      },
    })
    const order = Array.from(json.matchAll(/"([\w.]+)": /g), ([, key]) => key)
    const keys = rows(render(ENVIRON)).map(([, key]) => key)
    expect(order.filter((key) => !['cgi', 'http', 'wsgi'].includes(key ?? ''))).toEqual(keys)
    expect(json).toMatch(/^\{\n {2}"cgi": \{\n {4}"REQUEST_METHOD": "POST",\n/)
    expect(json.endsWith('}\n')).toBe(true)
  })

  test('has empty groups for an empty environ', () => {
    expect(JSON.parse(renderEnvironJson({ environ: {} }))).toEqual({ cgi: {}, http: {}, wsgi: {} })
  })

  test('has the route when given, first', () => {
    const json = renderEnvironJson({ environ: {}, route: ['HTTP', 'environ'] })
    expect(Object.entries(JSON.parse(json))[0]).toEqual(['route', ['HTTP', 'environ']])
    expect(renderEnvironJson({ environ: {} })).not.toContain('route')
  })

  test('writes octets so that no charset can change them', () => {
    const json = renderEnvironJson({
      environ: { PATH_INFO: native('/é') + '\0\r\x7f\xff', HTTP_X: '\u2028\ud800' },
    })
    expect(json).toContain(String.raw`"/\u00c3\u00a9\u0000\r\u007f\u00ff"`)
    expect(json).toContain(String.raw`"\u2028\ud800"`)
  })

  test('is ASCII and gives native strings back, whatever they hold', () => {
    const units = fc.string({
      unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
    })
    fc.assert(
      fc.property(units, units, (name, value) => {
        const json = renderEnvironJson({ environ: { [`HTTP_${name}`]: value } })
        expect(json).toMatch(/^[\n\x20-\x7e]*$/)
        expect(JSON.parse(json).http).toEqual({ [`HTTP_${name}`]: value })
      })
    )
  })

  test('takes any key and any value', () => {
    const list: unknown[] = []
    list.push(list, 1n, undefined)
    const environ = Object.fromEntries([
      ['__proto__', 'own'],
      ['x.list', list],
      ['x.function', () => {}],
      ['x.nothing', undefined],
    ])
    const { cgi, wsgi } = JSON.parse(renderEnvironJson({ environ }))
    expect(Object.entries(cgi)).toEqual([['__proto__', 'own']])
    expect(wsgi).toEqual({
      'x.function': '<x.function>',
      'x.list': ['[...]', '<x.list>', null],
      'x.nothing': null,
    })
  })
})

describe('ENVIRON_PAGE_CSP', () => {
  test('lets nothing in but the inline style sheet', () => {
    expect(ENVIRON_PAGE_CSP.split('; ')).toEqual([
      "default-src 'none'",
      "style-src 'unsafe-inline'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ])
  })
})
