import { describe, expect, it } from 'vitest'
import { compileExpression, ExpressionError } from './expression.ts'
import { environmentA, fixtureA } from './subject.fixture.ts'

const subject = fixtureA()

/** What people write, and what it says of one request. */
const EXAMPLES: readonly (readonly [string, boolean])[] = [
  ['http.request.method eq "POST" and ssl', true],
  ['http.request.uri.path contains "/admin"', false],
  ['lower(http.request.uri.path) contains "/admin"', true],
  ['http.request.uri.path wildcard "/admin/*"', true],
  ['http.request.uri.path strict wildcard "/admin/*"', false],
  ['http.request.uri.path wildcard "login.php"', false],
  ['http.request.uri.path matches "^/Admin/[a-z]+\\.php$"', true],
  ['http.user_agent ~ r#"curl/\\d+\\.\\d+"#', true],
  ['any(http.request.headers["accept"][*] == "application/json")', true],
  ['all(http.request.headers["accept"][*] == "application/json")', false],
  ['len(http.request.headers["accept"]) == 2', true],
  ['http.request.headers["Accept"][0] == "text/html"', false],
  ['http.request.headers["x-none"][0] == ""', false],
  ['any(http.request.uri.args["role"][*] == "editor")', true],
  ['any(http.request.uri.args["q"][*] == "red shoes")', false],
  ['any(url_decode(http.request.uri.args["q"][*])[*] == "red shoes")', true],
  ['any(url_decode(http.request.body.form.values[*])[*] contains "<script>")', true],
  ['http.request.body.form["n"][1] == "7"', true],
  ['ip.src in {203.0.113.0/24 2001:db8::/32}', true],
  ['ip.src in {203.0.113.1..203.0.113.6}', false],
  ['ip.src in $office and ip.src.asnum in $bad_asn', true],
  ['cf.edge.server_port in {80 443 8000..8009}', true],
  ['cf.waf.score lt 20 and ip.src.country in {"DE" "FR"}', true],
  ['ssl xor http.request.method == "POST"', false],
  ['ssl or ssl xor ssl', true],
  ['not http.host eq "www.example.com"', true],
  [
    'starts_with(http.request.uri.path, "/Admin") and ends_with(http.request.uri.path, ".php")',
    true,
  ],
  ['concat(http.request.method, " ", http.host) == "POST shop.example.com"', true],
]

describe('examples', () => {
  it.each(EXAMPLES)('%s is %s', (source, expected) => {
    expect(compileExpression(source, environmentA).test(subject)).toBe(expected)
  })

  it.each(['ip.src == 203.0.113.0/24', 'http.request.uri.path starts_with "/Admin"'])(
    '%s is refused',
    (source) => {
      expect(() => compileExpression(source, environmentA)).toThrow(ExpressionError)
    },
  )
})
