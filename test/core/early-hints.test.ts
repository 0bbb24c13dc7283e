import { expect, test, vi } from 'vitest'
import { type Application, gateway, toEnviron } from '../../src/index.ts'
import { decodeResponse } from '../codec/decode.ts'
import { octets } from '../codec/wire.ts'

const INJECTED = ['</a.css>\r\nSet-Cookie: a=b', '</a.css>\nX: y', 'a\0b', '\u560d\u560aX: y']

test('toEnviron() offers no wsgi.early_hints, whose headers would need checks of their own (SEC-82)', async () => {
  const environ = await toEnviron(new Request('http://h.example/'))
  expect(environ).not.toHaveProperty(['wsgi.early_hints'])
  const functions = Object.entries(environ).filter(([, value]) => typeof value === 'function')
  expect(functions).toEqual([])
})

test.each(INJECTED)('gateway() sends no interim response with Link %j (SEC-82)', async (link) => {
  const print = vi.spyOn(console, 'error').mockImplementation(() => {})
  const application: Application = (_environ, startResponse) => {
    startResponse('103 Early Hints', [['Link', link]])
    return []
  }
  const response = await gateway(application)(new Request('http://h.example/'))
  expect(response.status).toBe(500)
  expect([...response.headers.keys()]).not.toEqual(
    expect.arrayContaining([expect.stringMatching(/link|set-cookie|^x/)])
  )
  expect(await response.text()).toBe('500 Internal Server Error\n')
  expect(print).toHaveBeenCalledOnce()
  print.mockRestore()
})

test.each(['Link: a\0b', 'Link: a\rb', 'Link : a', ' Link: a', 'Li\xe9k: a', 'Link'])(
  'ResponseDecoder checks the fields of an interim response as those of a final one: %j (SEC-82)',
  (line) => {
    const final = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
    const decode = (hints: string) =>
      decodeResponse([octets(`HTTP/1.1 103 Early Hints\r\n${hints}\r\n\r\n${final}`)])
    expect(decode('Link: a')).toMatchObject({ status: 200, headers: [['Content-Length', '0']] })
    expect(decode(line)).toEqual({ error: 'ERR_UPSTREAM_PROTOCOL' })
  }
)
