/**
 * Throw-away certificates: an authority, a server on loopback, a client.
 *
 * @module
 */
import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { makeDirectory } from './process.ts'
import { requireProgram } from './programs.ts'

const run = promisify(execFile)

/** A certificate and its key, as paths and as PEM text. */
export interface Certificate {
  readonly cert: string
  readonly key: string
  readonly certPem: string
  readonly keyPem: string
}

/** An authority and the two certificates that it signed. */
export interface Certificates {
  readonly ca: Certificate
  /** For `localhost`, 127.0.0.1 and ::1. */
  readonly server: Certificate
  readonly client: Certificate
  /** Removes the files. */
  remove(): Promise<void>
}

// Written out, as what openssl.cnf adds by itself differs between systems.
const CONFIG = `[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
`

/** Makes the certificates with the `openssl` command; they are valid for two days. */
export async function makeCertificates(): Promise<Certificates> {
  const directory = await makeDirectory()
  await writeFile(join(directory, 'openssl.cnf'), CONFIG)
  const ca = await makeCertificate(directory, 'ca')
  const server = await makeCertificate(directory, 'server', ca)
  const client = await makeCertificate(directory, 'client', ca)
  return {
    ca,
    server,
    client,
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}

async function makeCertificate(
  directory: string,
  name: 'ca' | 'server' | 'client',
  issuer?: Certificate
): Promise<Certificate> {
  const openssl = requireProgram('openssl')
  const [cert, key, request] = ['pem', 'key', 'csr'].map((ending) =>
    join(directory, `${name}.${ending}`)
  ) as [string, string, string]
  const config = join(directory, 'openssl.cnf')

  await run(openssl, ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', key])
  const subject = ['-subj', `/CN=edge-wsgi test ${name}`, '-config', config]
  await run(openssl, ['req', '-new', '-key', key, '-out', request, ...subject])
  const signer =
    issuer === undefined
      ? ['-signkey', key]
      : ['-CA', issuer.cert, '-CAkey', issuer.key, '-CAcreateserial']
  const extensions = ['-extfile', config, '-extensions', name]
  const output = ['-days', '2', '-sha256', '-out', cert]
  await run(openssl, ['x509', '-req', '-in', request, ...signer, ...extensions, ...output])

  const [certPem, keyPem] = await Promise.all([readFile(cert, 'utf8'), readFile(key, 'utf8')])
  return { cert, key, certPem, keyPem }
}
