/**
 * The page that a browser gets for a challenge: nothing to fetch, nothing to build. Its script and style are
 * the same for everybody, so the policy names them by hash, and only the ticket differs. The hash is computed
 * in the script because Web Crypto is not there on pages without TLS, and is slow for many short messages.
 */
import { fromUint8Array } from '../../expression/bytes.ts'
import { encodeBase64 } from '../../expression/encodings.ts'
import { INITIAL_STATE, ROUND_CONSTANTS, sha256 } from '../../expression/sha256.ts'
import { CHALLENGE_PATH } from './path.ts'

const STYLE = `
:root { color-scheme: light dark }
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto 0; padding: 0 1.5rem; background: Canvas; color: CanvasText }
h1 { font-size: 1.5rem }
progress { width: 100%; height: .5rem }
button { font: inherit; padding: .3rem 1rem }
`

/** Pieces of about 20 ms, so that the page stays responsive; a reload that leads back here soon is not a loop. */
const SCRIPT = `
(() => {
  'use strict'
  const K = [${[...ROUND_CONSTANTS].join()}], H = [${[...INITIAL_STATE].join()}]
  const W = new Int32Array(64)
  // SHA-256 of an ASCII text; enough of it to count zero bits: the first 32.
  const hash = (text) => {
    const blocks = ((text.length + 8) >> 6) + 1
    let s = H.map((h) => h | 0)
    for (let at = 0; at < blocks * 64; at += 64) {
      for (let t = 0; t < 16; t++) {
        let word = 0
        for (let i = at + 4 * t; i < at + 4 * t + 4; i++) {
          word = (word << 8) | (i < text.length ? text.charCodeAt(i) : i === text.length ? 128 : 0)
        }
        W[t] = word
      }
      if (at === (blocks - 1) * 64) W[15] = text.length * 8
      for (let t = 16; t < 64; t++) {
        const x = W[t - 15], y = W[t - 2]
        W[t] = W[t - 16] + W[t - 7] +
          (((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)) +
          (((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10))
      }
      let [a, b, c, d, e, f, g, h] = s
      for (let t = 0; t < 64; t++) {
        const one = (h + (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))) +
          ((e & f) ^ (~e & g)) + K[t] + W[t]) | 0
        const two = ((((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))) +
          ((a & b) ^ (a & c) ^ (b & c))) | 0
        h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0
      }
      s = [a, b, c, d, e, f, g, h].map((v, i) => (v + s[i]) | 0)
    }
    return s[0]
  }
  const main = document.querySelector('main')
  const status = document.getElementById('status')
  const progress = document.querySelector('progress')
  const { ticket, difficulty } = main.dataset
  const end = (text) => {
    status.textContent = text
    progress.hidden = true
    const again = document.getElementById('again')
    again.hidden = false
    again.onclick = () => location.reload()
  }
  // Without storage nobody counts: the button is all there is.
  const isLoop = () => {
    try {
      const [since, count] = (sessionStorage.getItem('meridian-challenge') || '0 0').split(' ').map(Number)
      const isOld = Date.now() - since > 60000
      sessionStorage.setItem('meridian-challenge', isOld ? Date.now() + ' 1' : since + ' ' + (count + 1))
      return !isOld && count >= 3
    } catch { return false }
  }
  const send = async (answer) => {
    try {
      const response = await fetch('${CHALLENGE_PATH}', {
        method: 'POST', body: answer, credentials: 'same-origin', cache: 'no-store', redirect: 'error',
        headers: { 'content-type': 'text/plain' }
      })
      if (response.ok) {
        status.textContent = 'Done. The page is being loaded.'
        location.reload()
      } else end('The answer was not accepted. It may have taken too long, or your network has changed.')
    } catch { end('The answer could not be sent. Check your connection.') }
  }
  let number = 0
  const work = () => {
    const until = performance.now() + 20
    do {
      for (let i = 0; i < 64; i++, number++) {
        const answer = ticket + '.' + number
        if (Math.clz32(hash(answer)) >= difficulty) return void send(answer)
      }
    } while (performance.now() < until)
    setTimeout(work)
  }
  if (!navigator.cookieEnabled) end('This check needs cookies. Allow them for this site, then try again.')
  else if (isLoop()) end('The check was passed, but does not hold. Cookies of this site may be blocked.')
  else {
    status.textContent = 'This takes a moment and needs nothing from you. The page then loads by itself.'
    progress.hidden = false
    work()
  }
})()
`

function sourceOf(text: string): string {
  const digest = sha256(new TextEncoder().encode(text))
  return `'sha256-${encodeBase64(fromUint8Array(digest), false, true)}'`
}

const POLICY = `default-src 'none'; script-src ${sourceOf(SCRIPT)}; style-src ${sourceOf(STYLE)}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'`

/** Flat name, value list. */
export const PAGE_FIELDS: readonly string[] = [
  'content-type',
  'text/html; charset=utf-8',
  'cache-control',
  'no-store',
  'content-security-policy',
  POLICY,
  'x-content-type-options',
  'nosniff',
  'referrer-policy',
  'same-origin',
]

/** @param ticket of the alphabet that needs no quoting */
export function challengePage(ticket: string, difficulty: number): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Checking your browser</title>
<style>${STYLE}</style>
</head>
<body>
<main data-ticket="${ticket}" data-difficulty="${difficulty}">
<h1>Checking your browser</h1>
<p id="status" role="status"></p>
<progress aria-labelledby="status" hidden></progress>
<noscript><p>This check needs JavaScript. Turn it on for this site, then load the page again.</p></noscript>
<p><button id="again" type="button" hidden>Try again</button></p>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`
}
