import { expect, test } from 'vitest'
import { badRequest, ERROR_STATUS, GatewayError } from '../../src/core/errors.ts'

test('GatewayError carries its code, the status of the table, message and cause', () => {
  const cause = new Error('underneath')
  const error = new GatewayError('ERR_UPSTREAM_CONNECT', 'Cannot connect', { cause })
  expect(error).toBeInstanceOf(Error)
  expect(error).toMatchObject({
    name: 'GatewayError',
    code: 'ERR_UPSTREAM_CONNECT',
    status: 502,
    message: 'Cannot connect',
    cause,
  })
})

test('badRequest() is the 400 of the table', () => {
  expect(badRequest('Cannot read it')).toMatchObject({
    code: 'ERR_BAD_REQUEST',
    status: 400,
    message: 'Cannot read it',
  })
})

test.each(Object.entries(ERROR_STATUS))(
  'ERROR_STATUS: %s is a code with a final status',
  (...row) => {
    const [code, status] = row
    expect(code).toMatch(/^ERR_[A-Z]+(?:_[A-Z]+)*$/)
    if (code === 'ERR_ASTERISK_FORM') expect(status).toBe(204)
    else expect(Math.floor(status / 100)).toBeOneOf([4, 5])
  }
)
