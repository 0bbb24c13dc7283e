/**
 * The style sheet of the page, light and dark, which stands inline in its head.
 *
 * @module
 */

/** CSS that names nothing to load; without `<`, so that nothing in it can end its element. */
export const STYLE: string = `
:root {
  --paper: #faf9f7; --card: #fff; --ink: #1d2330; --muted: #5b6373; --line: #e5e2dc;
  --blue: #0a5cb8; --brown: #8a4b00; --violet: #6a3aa2; --red: #a3232a; --red-tint: #fcebea;
  --green: #15613a; --green-tint: #e4f3e9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12151a; --card: #1a1e26; --ink: #e3e6ed; --muted: #9aa3b4; --line: #2b313c;
    --blue: #7ab4ff; --brown: #f0b465; --violet: #c8a8f4; --red: #ff9f97; --red-tint: #3a2326;
    --green: #88d8a6; --green-tint: #1b3225;
  }
}
* { box-sizing: border-box; margin: 0; padding: 0; }
body {
  max-width: 70rem; margin: auto; padding: 2rem 1.5rem 3rem; overflow-wrap: anywhere;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
code { font: .875em ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
small { font-size: .75rem; color: var(--muted); }
em, s { color: var(--muted); }
em { font-size: 1rem; }
s { text-decoration: none; }
i { font-style: normal; color: var(--red); background: var(--red-tint); border-radius: 3px; }
h1 { margin: .5rem 0; font-size: clamp(1.375rem, 4.5vw, 2rem); font-weight: 400; line-height: 1.3; }
h1 { text-wrap: balance; }
p { text-wrap: pretty; }
h1 code { font-size: .92em; font-weight: 600; }
h2 { font-size: 1.125rem; line-height: 1.5; }
section { margin-top: 1.5rem; }
.brand { font-weight: 700; color: var(--muted); }
header > p, .about, footer { max-width: 48rem; color: var(--muted); }
.method { color: var(--blue); }
.script { color: var(--brown); }
.path { color: var(--green); }
.query { color: var(--violet); }
.route { display: flex; flex-wrap: wrap; margin-top: .75rem; font-size: .875rem; list-style: none; }
.route li + li::before { content: "→"; content: "→" / ""; margin: 0 .5rem; color: var(--muted); }
.overview, .next, table { border: 1px solid var(--line); border-radius: .625rem; background: var(--card); }
dl { display: flex; flex-wrap: wrap; gap: .75rem 2rem; padding: 1rem 1.25rem; }
dt { font-size: .75rem; color: var(--muted); }
.split { gap: .75rem 2px; border-bottom: 1px solid var(--line); }
.split div { padding: .25rem .75rem 0 0; border-top: 3px solid; }
.split .method { margin-right: 1rem; }
.split dd { font-size: 1.125rem; }
.next { padding: 1rem 1.25rem; border-left: 4px solid var(--blue); }
.next code { display: inline-block; }
.next p { margin-top: .25rem; }
table { width: 100%; table-layout: fixed; border-spacing: 0; }
caption { padding: 1rem 0 .625rem; text-align: left; }
thead { position: absolute; clip-path: inset(50%); }
th, td { padding: .5rem 1.25rem; text-align: left; vertical-align: baseline; font-weight: 400; }
col:first-child { width: 19rem; }
tr + tr > * { border-top: 1px solid var(--line); }
td code { white-space: pre-wrap; }
col:nth-child(3) { width: 15rem; }
.note { font-size: .875rem; text-align: right; color: var(--muted); }
.utf8 { display: inline-block; padding: 0 .375rem; border-radius: 3px; background: var(--green-tint); }
.long { max-height: 12rem; padding: .375rem; overflow: auto; border: 1px solid var(--line); border-radius: 3px; }
footer { margin-top: 2rem; font-size: .875rem; }
@media (max-width: 44rem) {
  body { padding: 1.25rem 1rem 2rem; }
  dl, .next { padding: .875rem 1rem; }
  table, caption, tbody, th, td { display: block; }
  colgroup { display: none; }
  table { border: 0; background: none; }
  tbody { border: 1px solid var(--line); border-radius: .625rem; background: var(--card); }
  tr { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; }
  tr { gap: 0 1rem; padding: .5rem 1rem; }
  tr + tr { border-top: 1px solid var(--line); }
  tr > *, tr + tr > * { padding: 0; border: 0; }
  tbody th { color: var(--muted); }
  tr > td:not(.note) { order: 1; width: 100%; }
}
`
