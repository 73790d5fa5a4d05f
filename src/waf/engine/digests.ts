/** SHA-1 (FIPS 180-4) and MD5 (RFC 1321) over byte strings, synchronous: rules use them as labels only. */

function padded(text: string, bigEndian: boolean): Uint32Array {
  const blocks = ((text.length + 8) >> 6) + 1
  const words = new Uint32Array(blocks * 16)
  for (let i = 0; i <= text.length; i++) {
    const byte = i === text.length ? 0x80 : text.charCodeAt(i) & 255
    const shift = bigEndian ? 24 - (i & 3) * 8 : (i & 3) * 8
    words[i >> 2] = (words[i >> 2] as number) | (byte << shift)
  }
  const bits = text.length * 8
  const low = bits >>> 0
  const high = Math.floor(bits / 2 ** 32)
  words[blocks * 16 - 2] = bigEndian ? high : low
  words[blocks * 16 - 1] = bigEndian ? low : high
  return words
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by))
}

function output(words: readonly number[], bigEndian: boolean): string {
  let text = ''
  for (const word of words) {
    for (let i = 0; i < 4; i++) {
      text += String.fromCharCode((word >>> (bigEndian ? 24 - i * 8 : i * 8)) & 255)
    }
  }
  return text
}

/** @returns 20 bytes. */
export function sha1(text: string): string {
  const input = padded(text, true)
  let [h0, h1, h2, h3, h4] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]
  const w = new Int32Array(80)
  for (let block = 0; block < input.length; block += 16) {
    let [a, b, c, d, e] = [h0, h1, h2, h3, h4]
    for (let i = 0; i < 80; i++) {
      w[i] =
        i < 16
          ? (input[block + i] as number)
          : rotate(
              (w[i - 3] as number) ^
                (w[i - 8] as number) ^
                (w[i - 14] as number) ^
                (w[i - 16] as number),
              1,
            )
      const [mix, constant] =
        i < 20
          ? [(b & c) | (~b & d), 0x5a827999]
          : i < 40
            ? [b ^ c ^ d, 0x6ed9eba1]
            : i < 60
              ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc]
              : [b ^ c ^ d, 0xca62c1d6]
      const next = (rotate(a, 5) + mix + e + constant + (w[i] as number)) | 0
      e = d
      d = c
      c = rotate(b, 30)
      b = a
      a = next
    }
    h0 = (h0 + a) | 0
    h1 = (h1 + b) | 0
    h2 = (h2 + c) | 0
    h3 = (h3 + d) | 0
    h4 = (h4 + e) | 0
  }
  return output([h0, h1, h2, h3, h4], true)
}

const MD5_SHIFTS = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21]
const MD5_SINES = Array.from({ length: 64 }, (_, i) =>
  Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32),
)

/** @returns 16 bytes. */
export function md5(text: string): string {
  const input = padded(text, false)
  let [h0, h1, h2, h3] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]
  for (let block = 0; block < input.length; block += 16) {
    let [a, b, c, d] = [h0, h1, h2, h3]
    for (let i = 0; i < 64; i++) {
      const round = i >> 4
      const [mix, word] =
        round === 0
          ? [(b & c) | (~b & d), i]
          : round === 1
            ? [(d & b) | (~d & c), (5 * i + 1) & 15]
            : round === 2
              ? [b ^ c ^ d, (3 * i + 5) & 15]
              : [c ^ (b | ~d), (7 * i) & 15]
      const sum = (a + mix + (MD5_SINES[i] as number) + (input[block + word] as number)) | 0
      a = d
      d = c
      c = b
      b = (b + rotate(sum, MD5_SHIFTS[round * 4 + (i & 3)] as number)) | 0
    }
    h0 = (h0 + a) | 0
    h1 = (h1 + b) | 0
    h2 = (h2 + c) | 0
    h3 = (h3 + d) | 0
  }
  return output([h0, h1, h2, h3], false)
}
