// A proxy with @fastify/http-proxy, as its README writes it.
import proxy from '@fastify/http-proxy'
import fastify from 'fastify'

const server = fastify()
await server.register(proxy, { upstream: process.env.ORIGIN })
console.log(`Listening on ${await server.listen({ host: '127.0.0.1', port: 0 })}`)
