import { describe, expect, it } from 'vitest'
import { HeaderList } from '../exchange.ts'
import { compileExpression, compileValue, createEnvironment, List, textOf } from './expression.ts'
import { environmentA, fixtureA, type RequestParts, subjectOf } from './subject.fixture.ts'

const subjectA = fixtureA()
const holds = (source: string, subject = subjectA) =>
  compileExpression(source, environmentA).test(subject)
const read = (source: string, subject = subjectA) =>
  compileValue(source, environmentA).read(subject)

type Row = readonly [source: string, expected: boolean, request?: RequestParts]

const TABLE: Readonly<Record<string, readonly Row[]>> = {
  precedence: [
    ['true or false and false', true],
    ['(true or false) and false', false],
    // or is weaker than xor: true or (true xor true)
    ['true or true xor true', true],
    ['(true or true) xor true', false],
    // xor is weaker than and: true xor (true and false)
    ['true xor true and false', true],
    ['(true xor true) and false', false],
    ['not true or true', true],
    ['not (true or true)', false],
    ['not not ssl', true],
    ['!ssl || ssl && !ssl ^^ ssl', true],
    ['ssl xor ssl xor ssl', true],
    ['not http.host eq "a" and ssl', true],
  ],
  'spaces and signs': [
    ['\n\tssl\r\n and\tssl ', true],
    ['http.host=="shop.example.com"&&ssl', true],
    ['http.request.uri.args[ "role" ][ 1 ] == "editor"', true],
    ['starts_with ( http.host , "shop" )', true],
    ['http.host\tstrict  wildcard\n"shop*"', true],
  ],
  'missing values': [
    ['http.request.headers["x-none"][0] == ""', false],
    ['http.request.headers["x-none"][0] != "a"', false],
    ['http.request.headers["x-none"][0] contains ""', false],
    ['not http.request.headers["x-none"][0] == "a"', true],
    ['http.request.headers["accept"][9] ne "a"', false],
    ['http.request.uri.args["none"][0] in {"a" "b"}', false],
    ['len(http.request.headers["x-none"]) >= 0', false],
    ['not len(http.request.headers["x-none"]) >= 0', true],
    ['len(http.request.headers["accept"]) >= 0', true],
    ['lower(http.request.headers["x-none"][0]) == ""', false],
    ['starts_with(http.request.headers["x-none"][0], "")', false],
    ['not starts_with(http.request.headers["x-none"][0], "a")', true],
    ['concat("a", http.request.headers["x-none"][0], "b") == "ab"', true],
    ['any(http.request.headers["x-none"][*] == "a")', false],
    ['all(http.request.headers["x-none"][*] == "a")', true],
    ['all(not http.request.headers["x-none"][*] == "a")', true],
    ['any(not http.request.headers["x-none"][*] == "a")', false],
    ['all(lower(http.request.headers["x-none"][*])[*] == "a")', true],
    ['all(starts_with(http.request.headers["x-none"][*], "a"))', false],
    ['ip.src == 203.0.113.7', false, { ip: undefined }],
    ['ip.src != 203.0.113.7', false, { ip: undefined }],
    ['ip.src in {0.0.0.0/0 ::/0}', false, { ip: undefined }],
    ['not ip.src in {0.0.0.0/0}', true, { ip: undefined }],
    ['auth.subject == ""', false],
    ['auth.is_authenticated', false],
    ['http.referer == ""', true],
    ['http.request.uri.args["empty"][0] == ""', true],
    ['auth.claims["role"][0] == "admin"', false],
    ['route.id ne "x"', false],
  ],
  arrays: [
    ['any(http.request.headers["accept"][*] contains "json")', true],
    ['all(http.request.headers["accept"][*] contains "/")', true],
    ['any(http.request.headers.names[*] == "accept")', true],
    ['http.request.headers.values[4] == "text/html"', true],
    ['any(lower(http.request.headers.values[*])[*] == "text/html")', true],
    ['any(len(http.request.headers.values[*])[*] gt 30)', true],
    ['any(starts_with(http.request.headers.names[*], "acc"))', true],
    ['all(starts_with(http.request.headers.names[*], "acc"))', false],
    ['any(http.request.uri.args[*][0] == "admin")', true],
    ['any(http.request.uri.args[*][1] == "editor")', true],
    ['any(http.request.uri.args[*][*] == "editor")', true],
    ['all(http.request.uri.args[*][*] == "editor")', false],
    ['any(lower(http.request.uri.args[*][1])[*] == "editor")', true],
    ['len(http.request.uri.args) == 4', true],
    ['len(lower(http.request.uri.args["role"][*])) == 2', true],
    ['lower(http.request.uri.args["role"][*])[1] == "editor"', true],
    // Answer by answer: no role is both.
    [
      'any(http.request.uri.args["role"][*] == "admin" and http.request.uri.args["role"][*] == "editor")',
      false,
    ],
    [
      'any(http.request.uri.args["role"][*] == "admin" or http.request.uri.args["role"][*] == "x")',
      true,
    ],
    [
      'all(http.request.uri.args["role"][*] == "admin" xor http.request.uri.args["role"][*] == "editor")',
      true,
    ],
    ['any((http.request.uri.args["role"][*] in {"editor"}))', true],
    ['all(not len(http.request.uri.args["role"][*])[*] in {3 4})', true],
    ['len(concat(http.request.headers["accept"], http.request.headers["accept"])) == 4', true],
    ['join(http.request.uri.args["role"], "+") == "admin+editor"', true],
    ['split("a,b,c", ",", 2)[1] == "b,c"', true],
    ['any(split(http.cookie, "; ", 9)[*] == "theme=dark")', true],
    ['any(lookup_json_integer(split("{\\"a\\":1}|{}|{\\"a\\":2}", "|", 9)[*], "a")[*] == 2)', true],
    // The middle one has no such key and drops out.
    ['len(lookup_json_integer(split("{\\"a\\":1}|{}|{\\"a\\":2}", "|", 9)[*], "a")) == 2', true],
  ],
  strings: [
    ['http.request.uri.args["user"][0] == "\\x61\\154ice"', true],
    ['http.request.uri.args["user"][0] == 61:6c-69.63:65', true],
    ['http.request.uri.args["user"][0] == r"alice"', true],
    ['concat("a", "\\"", "\\\\") == r#"a"\\"#', true],
    ['concat("a#", "\\"#") == r##"a#"#"##', true],
    ['http.request.uri.path == "/ü"', true, { target: '/\xc3\xbc' }],
    ['http.request.uri.path == "/\\xC3\\xBC"', true, { target: '/\xc3\xbc' }],
    ['len("ü") == 2', true],
    ['http.host in $words', true, { authority: 'gr\xc3\xbcn' }],
    ['http.host in $words', false, { authority: 'grün' }],
    // Bytes compare by value: 0xC3 is above every ASCII letter.
    ['http.request.uri.path gt "/z"', true, { target: '/\xc3\xbc' }],
    ['http.host lt "shop.f" and http.host ge "shop.example.com"', true],
    ['http.host contains ""', true],
    ['http.host in {"a" "shop.example.com" "a"}', true],
  ],
  integers: [
    ['ip.src.asnum == 0xfbf0', true],
    ['ip.src.asnum eq 0175760', true],
    ['ip.src.asnum in {-5..-1 0 64495..64497}', true],
    ['ip.src.asnum in {1..3 2..9 10 64497}', false],
    ['len(http.host) gt -1', true],
    ['ip.src.asnum & 0x10', true],
    ['ip.src.asnum bitwise_and 1', false],
    ['http.response.code == 0', true],
    ['cf.waf.score le 12 and cf.waf.score ge 12', true],
  ],
  addresses: [
    ['ip.src eq 203.0.113.7', true],
    ['ip.src ne 203.0.113.8', true],
    ['ip.src in {203.0.113.7}', true],
    ['ip.src in {10.0.0.0/8 203.0.113.5..203.0.113.9}', true],
    ['ip.src in {::/0}', false],
    ['ip.src == 2001:DB8::1', true, { ip: '2001:db8:0:0::1' }],
    ['ip.src in {2001:db8::..2001:db8::ff}', true, { ip: '2001:db8::1' }],
    ['ip.src in $office', true, { ip: '2001:db8::1' }],
    // A mapped address is the IPv4 address inside.
    ['ip.src in {10.0.0.0/8}', true, { ip: '::ffff:10.1.2.3' }],
    ['ip.src == ::ffff:10.1.2.3', true, { ip: '10.1.2.3' }],
    ['cidr(ip.src, 24, 48) == 203.0.113.0', true],
    ['cidr(ip.src, 24, 48) == 2001:db8:1::', true, { ip: '2001:db8:1:2::3' }],
    ['cidr6(ip.src, 33) == 203.0.113.7', true],
    ['cidr6(ip.src, 33) == 2001:db8:8000::', true, { ip: '2001:db8:ffff::3' }],
    ['cidr(ip.src, 1, 1) == 128.0.0.0', true],
  ],
  wildcards: [
    ['http.host wildcard "*.EXAMPLE.com"', true],
    ['http.host strict wildcard "*.EXAMPLE.com"', false],
    ['http.host wildcard "*"', true],
    ['http.host wildcard "SHOP.example.com"', true],
    ['http.host wildcard "shop"', false],
    ['http.host wildcard "s*e*m"', true],
    ['http.host wildcard "s*e*e*e*m"', false],
    ['http.request.uri.path wildcard r"/a\\*b"', true, { target: '/a*b' }],
    ['http.request.uri.path wildcard r"/a\\*b"', false, { target: '/axb' }],
    ['http.request.uri.path wildcard "/a\\\\*b"', true, { target: '/A*b' }],
    ['http.request.uri.path wildcard "/?b"', false, { target: '/ab' }],
    // Head and tail may not overlap.
    ['http.request.uri.path wildcard "/aba*aba"', false, { target: '/ababa' }],
    ['http.request.uri.path wildcard "/aba*ba"', false, { target: '/aba' }],
    ['http.request.uri.path wildcard "/É*"', true, { target: '/\xc3\x89x' }],
    ['http.request.uri.path wildcard "/é*"', false, { target: '/\xc3\x89x' }],
  ],
  'regular expressions': [
    ['http.request.uri.path ~ "login"', true],
    ['http.request.uri.path matches "^login"', false],
    ['http.request.uri.path matches "(?i)^/ADMIN/"', true],
    ['http.request.uri.path matches "\\"|login"', true],
    ['http.request.uri.path matches "[\\"/]login"', true],
    ['http.request.uri.path matches "[^"]login"', true],
    ['http.request.uri.path matches r"^/\\xC3\\xBC$"', true, { target: '/\xc3\xbc' }],
    ['http.request.uri.path matches "^/ü$"', true, { target: '/\xc3\xbc' }],
    // A dot is one byte, and not a line feed.
    ['http.request.uri.path matches "^/.$"', false, { target: '/\xc3\xbc' }],
    ['http.request.uri.path matches "^/..$"', true, { target: '/\xc3\xbc' }],
    ['http.request.uri.path matches "^/.$"', false, { target: '/\n' }],
    ['http.request.uri.path matches "(?i)^/\\xe9$"', false, { target: '/\xc9' }],
    ['http.request.uri.path matches "^/a$"', false, { target: '/a\n' }],
  ],
  responses: [
    ['http.response.headers["server"][0] == "x"', false],
    ['any(http.response.headers["server"][*] == "x")', false],
    ['len(http.response.headers.names) == 0', true],
    ['http.response.content_type.media_type == ""', true],
  ],
  choices: [
    ['if(ssl, "a", "b") == "a"', true],
    ['if(not ssl, 1, 5) == 5', true],
    ['if(http.request.headers["x-none"][0] == "", "a", "b") == "b"', true],
    ['coalesce(auth.subject, to_string(ip.src)) == "203.0.113.7"', true],
    ['coalesce(auth.subject, http.request.headers["x-none"][0]) == ""', false],
  ],
}

for (const [title, rows] of Object.entries(TABLE)) {
  describe(title, () => {
    for (const [source, expected, request] of rows) {
      it(`${source} is ${expected}`, () => {
        expect(holds(source, request === undefined ? subjectA : subjectOf(request))).toBe(expected)
      })
    }
  })
}

describe('fields with a body, a response, scores and a principal', () => {
  it('reads the response that is there now', () => {
    const subject = subjectOf()
    const isError = compileExpression(
      'http.response.code ge 500 and any(http.response.headers["server"][*] == "x")',
      environmentA,
    )
    expect(isError.test(subject)).toBe(false)
    subject.response = { status: 503, headers: new HeaderList(['Server', 'x']) }
    expect(isError.test(subject)).toBe(true)
    expect(isError.needsResponse).toBe(true)
    expect(isError.needsBody).toBe(false)
    expect([...isError.fields]).toEqual(['http.response.code', 'http.response.headers'])
    subject.response = { status: 503, headers: new HeaderList(['Server', 'y']) }
    expect(read('http.response.headers', subject)).toEqual(new Map([['server', ['y']]]))
    expect(isError.test(subject)).toBe(false)
  })

  it('reads claims as text, integers and JSON', () => {
    const subject = subjectOf()
    subject.exchange.principal = {
      kind: 'jwt',
      subject: 'münchen',
      issuer: 'https://id.example',
      scopes: ['orders:read', 'orders:write'],
      claims: {
        role: ['admin', 'ops'],
        level: 7,
        realm: { access: { roles: ['a'] } },
        iat: 1700000000.5,
        aud: 'x',
        none: null,
      },
    }
    const rows: readonly (readonly [string, boolean])[] = [
      ['auth.kind == "jwt" and auth.is_authenticated', true],
      ['auth.subject == "münchen"', true],
      ['any(auth.scopes[*] == "orders:write")', true],
      ['any(auth.claims["role"][*] == "ops")', true],
      ['auth.claims["level"][0] == "7"', true],
      ['auth.claims.integers["level"][0] gt 6', true],
      ['lookup_json_string(auth.claims["realm"][0], "access", "roles", 0) == "a"', true],
      ['len(auth.claims["none"]) == 0', true],
      ['http.request.jwt.claims.iat.sec["https://id.example"][0] == 1700000000', true],
      ['any(http.request.jwt.claims.aud.values[*] == "x")', true],
      ['len(http.request.jwt.claims.jti) == 0', true],
    ]
    for (const [source, expected] of rows)
      expect([source, holds(source, subject)]).toEqual([source, expected])
  })

  it('reads multipart parts by position and by name', () => {
    const subject = subjectOf({ body: 'x' })
    const part = { contentDisposition: undefined, contentTransferEncoding: undefined }
    subject.body = {
      raw: 'x',
      size: 9,
      truncated: true,
      mime: 'image/png',
      form: [],
      multipart: [
        { ...part, name: 'role', filename: undefined, value: 'admin', contentType: undefined },
        { ...part, name: 'file', filename: 'a.php', value: 'x', contentType: 'image/png' },
      ],
    }
    expect(holds('any(http.request.body.multipart["role"][*] == "admin")', subject)).toBe(true)
    expect(holds('any(http.request.body.multipart.filenames[*][0] == "a.php")', subject)).toBe(true)
    expect(
      holds('any(http.request.body.multipart.content_types[*][0] == "image/png")', subject),
    ).toBe(true)
    expect(read('http.request.body.multipart.names', subject)).toEqual([['role'], ['file']])
    expect(holds('http.request.body.truncated and http.request.body.size == 9', subject)).toBe(true)
  })
})

describe('lists', () => {
  it('change under compiled expressions', () => {
    const list = new List('ip', ['10.0.0.0/8'])
    const environment = createEnvironment({ lists: new Map([['cf.open_proxies', list]]) })
    const compiled = compileExpression('ip.src in $cf.open_proxies', environment)
    expect(compiled.test(subjectA)).toBe(false)
    list.replace(['203.0.113.0..203.0.113.9'])
    expect(compiled.test(subjectA)).toBe(true)
    expect(() => list.replace(['203.0.113.1/24'])).toThrow('not an address, CIDR block or range')
    expect(compiled.test(subjectA)).toBe(true)
  })

  it('refuse items of another kind', () => {
    expect(() => new List('number', [1.5])).toThrow('1.5 is not an integer')
    expect(() => new List('number', ['9..1'])).toThrow('"9..1" is not an integer or range')
    expect(new List('number', ['1..3', 9]).has(2 as never)).toBe(true)
  })
})

describe('values', () => {
  it.each([
    ['ip.src', 'IP address', '203.0.113.7'],
    ['http.request.headers["accept"]', 'Array<String>', 'text/html,application/json'],
    ['http.host', 'String', 'shop.example.com'],
    ['if(http.request.method eq "POST", 5, 1)', 'Integer', '5'],
    ['"constant"', 'String', 'constant'],
    ['42', 'Integer', '42'],
    ['10.0.0.1', 'IP address', '10.0.0.1'],
    ['ssl and http.host eq "a"', 'Boolean', 'false'],
    [
      'concat(to_string(cidr6(ip.src, 64)), "|", http.host)',
      'String',
      '203.0.113.7|shop.example.com',
    ],
  ] as const)('%s is %s', (source, type, text) => {
    const value = compileValue(source, environmentA)
    expect(value.type.name).toBe(type)
    expect(textOf(value.read(subjectA)!)).toBe(text)
  })

  it('may be missing', () => {
    expect(read('auth.subject')).toBeUndefined()
    expect(read('http.request.cookies["none"][0]')).toBeUndefined()
  })
})

describe('warnings', () => {
  it.each([
    [
      'cf.bot_management.score lt 30',
      ['cf.bot_management.score has no source here: it always has its default'],
    ],
    [
      'cf.threat_score gt 5 or cf.threat_score lt 2',
      ['cf.threat_score has no source here: it always has its default'],
    ],
    [
      'any(http.request.headers["Accept"][*] == "a")',
      ['names in http.request.headers are lower case: "Accept" is never there'],
    ],
    ['http.host in {"a" "B"}', ['http.host is always lower case and never equals "B"']],
    [
      'ip.geoip.subdivision_1_iso_code == ""',
      ['ip.geoip.subdivision_1_iso_code has no source here: it always has its default'],
    ],
    ['http.request.uri.path eq "/A"', []],
  ])('%s', (source, warnings) => {
    expect(compileExpression(source, environmentA).warnings).toEqual(warnings)
  })

  it('are not given for what the platform fills', () => {
    const environment = createEnvironment({ filled: ['ip.src.city'] })
    const compiled = compileExpression('ip.src.city == "Berlin"', environment)
    expect(compiled.warnings).toEqual([])
    const subject = subjectOf()
    expect(compiled.test(subject)).toBe(false)
    subject.platform = new Map([['ip.src.city', 'Berlin']])
    expect(compiled.test(subject)).toBe(true)
  })
})
