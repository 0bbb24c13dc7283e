/**
 * `MOUNT`: what becomes SCRIPT_NAME, and what is not ours to answer.
 *
 * @module
 */
import { describe, expect, test } from 'vitest'
import { send } from '../../support/http-client.ts'
import { environOf, type SuiteContext } from './context.ts'

/** Describes mounts. */
export function describeMounts(context: SuiteContext): void {
  describe('mounts', () => {
    test.each([
      ['/legacy', ''],
      ['/legacy/', '/'],
      ['/legacy/a/b?c', '/a/b'],
      ['/%6Cegacy/a', '/a'],
      ['/x/../legacy/a', '/a'],
      ['/legacy//a', '//a'],
    ])('%s lies inside /legacy', async (target, pathInfo) => {
      expect(await environOf(await mounted(context, '/legacy'), { target })).toMatchObject({
        SCRIPT_NAME: '/legacy',
        PATH_INFO: pathInfo,
        REQUEST_URI: target,
      })
    })

    test.each(['/', '/legacyx', '/Legacy/a', '/legac', '/legacy/../x', '//legacy/a'])(
      '%s lies outside /legacy',
      async (target) => {
        const { status, text } = await send(await mounted(context, '/legacy'), { target })
        expect({ status, text }).toEqual({ status: 404, text: '404 Not Found\n' })
      }
    )

    test('a mount may be any text', async () => {
      expect(
        await environOf(await mounted(context, '/café/v 1'), { target: '/caf%C3%A9/v%201/x' })
      ).toMatchObject({ SCRIPT_NAME: '/caf\xc3\xa9/v 1', PATH_INFO: '/x' })
    })

    test('with the same mount in uWSGI, URLs of the application are right', async () => {
      const { origin } = await context.deployment({ MOUNT: '/flask' })
      const { header } = await send(origin, { target: '/flask/redirect' })
      expect(header('location')).toBe('/flask/echo?from=redirect')
      const echo = await send(origin, { target: '/flask/echo/x' })
      expect(echo.json()).toMatchObject({ script_name: '/flask', path_info: '/echo/x' })
      expect((await send(origin, { target: '/django/echo' })).status).toBe(404)
    })

    test('without a mount, uWSGI finds its own mounts in the path', async () => {
      const { origin } = await context.deployment()
      const echo = await send(origin, { target: '/django/echo/x' })
      expect(echo.json()).toMatchObject({ script_name: '/django', path_info: '/echo/x' })
      expect(await environOf(origin, { target: '/djangox' })).toMatchObject({
        SCRIPT_NAME: '',
        PATH_INFO: '/djangox',
      })
    })
  })
}

async function mounted(context: SuiteContext, mount: string): Promise<string> {
  const variables = { UPSTREAM: context.rootUwsgi().address, MOUNT: mount }
  return (await context.deployment(variables)).origin
}
