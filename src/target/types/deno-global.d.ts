/** The namespace, where the type checker is not Deno's own. */
declare const Deno: import('./deno.ts').DenoNamespace
