import { describe, expect, test } from 'vitest'
import { runApplication } from '../../src/core/application.ts'
import { toEnviron } from '../../src/core/environ.ts'
import { validator } from '../../src/core/validator.ts'
import { environPage } from '../../src/environ-page/application.ts'

/** The page's application under the judge of both sides. */
const APPLICATION = validator(environPage(['here', 'there']), {
  onWarning: (warning) => {
    throw warning
  },
})

async function answer(init: RequestInit = {}): Promise<Response> {
  return await runApplication(APPLICATION, await toEnviron(new Request('http://h/a?b', init)))
}

describe('environPage()', () => {
  test('answers with the page, which nobody may keep, frame or take for something else', async () => {
    const response = await answer()
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/html; charset=UTF-8',
      'cache-control': 'no-store',
      vary: 'Accept',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
      'content-security-policy': expect.stringContaining("default-src 'none'"),
    })
    const page = await response.text()
    expect(page).toContain('<li>here</li><li>there</li>')
    expect(page).toContain('PATH_INFO')
  })

  test('answers with JSON where that is preferred', async () => {
    const response = await answer({ headers: { accept: 'text/html;q=0.8, application/json' } })
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(response.headers.has('content-security-policy')).toBe(false)
    expect(await response.json()).toMatchObject({
      route: ['here', 'there'],
      cgi: { PATH_INFO: '/a', QUERY_STRING: 'b' },
    })
  })

  test.each([
    ['text/html, application/json', 'text/html; charset=UTF-8'],
    ['application/json, text/html', 'application/json'],
    ['application/json;q=0', 'text/html; charset=UTF-8'],
    ['image/png', 'text/html; charset=UTF-8'],
    ['', 'text/html; charset=UTF-8'],
  ])('Accept %j is answered with %s', async (accept, type) => {
    const response = await answer({ headers: { accept } })
    expect(response.headers.get('content-type')).toBe(type)
  })

  test('HEAD has the head of GET and no body', async () => {
    const response = await answer({ method: 'HEAD' })
    expect(response.headers.get('content-type')).toBe('text/html; charset=UTF-8')
    expect(await response.text()).toBe('')
  })
})
