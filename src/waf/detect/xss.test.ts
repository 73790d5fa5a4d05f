import { describe, expect, it } from 'vitest'
import { detectXss } from './xss.ts'

describe('detectXss', () => {
  it.each([
    ['<ScRiPt >alert(1)</sCrIpT>', 'data'],
    ['<img src=x onerror=alert(1)>', 'data'],
    ['<svg/onload=alert(1)//', 'data'],
    ['<x:script xmlns:x="http://www.w3.org/1999/xhtml" src="data:,alert(1)" />', 'data'],
    ['<a href="java&#x09;script:alert(1)">x</a>', 'data'],
    ['<a href="&#0000106avascript&colon;alert(1)">x</a>', 'data'],
    ['<div style="wid/**/th:exp/* */ression(alert(1))">', 'data'],
    ['<meta http-equiv="refresh" content="0;url=javascript:alert(1)">', 'data'],
    ['<xss onbeforehellfreezes=alert(1)>', 'data'],
    ['" onmouseover="alert(1)', 'attribute-double'],
    ["' onfocus='alert(1)' autofocus='", 'attribute-single'],
    ['x onerror=alert(1)', 'attribute-unquoted'],
    ['jav\tascript:alert(1)', 'url'],
    ['data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==', 'url'],
  ])('%s is an attack in the %s context', (value, context) => {
    const found = detectXss(value)
    expect(found).toMatchObject({ attack: true, context })
    expect(found.confidence).toBeGreaterThanOrEqual(80)
  })

  it.each([
    '<b>bold</b> and <i>italic</i>',
    '<a href="https://example.com/?a=1&b=2">link</a>',
    '<img src="data:image/png;base64,iVBORw0KGgo=" alt="x">',
    '<div class="x" id=\'y\' style="color:red">text</div>',
    '<!-- to be written -->',
    'I <3 you, a < b and c > d',
    'JavaScript: The Good Parts',
    'a=1; onboarding=true; online=yes',
    '{"onclick":"x"}',
  ])('%s is no attack', (value) => {
    expect(detectXss(value).confidence).toBeLessThan(50)
  })
})
