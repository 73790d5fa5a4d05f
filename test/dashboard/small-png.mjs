/**
 * A PNG with a palette of 256 colours out of one with 24 or 32 bits (PNG, third edition, W3C), for pictures of
 * flat colours: a third of the size. Takes what Chromium writes: 8 bits a sample, not interlaced.
 */
import { crc32, deflateSync, inflateSync } from 'node:zlib'

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
/** Colours nearer than this to one that is taken already add nothing to see; squared distance. */
const APART = 16

function paeth(a, b, c) {
  const p = a + b - c
  const [pa, pb, pc] = [Math.abs(p - a), Math.abs(p - b), Math.abs(p - c)]
  if (pa <= pb && pa <= pc) return a
  return pb <= pc ? b : c
}

/** Width, height, and three bytes a pixel. */
function decode(png) {
  const data = []
  let header
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at)
    const type = png.toString('latin1', at + 4, at + 8)
    if (type === 'IHDR') header = png.subarray(at + 8, at + 8 + length)
    if (type === 'IDAT') data.push(png.subarray(at + 8, at + 8 + length))
    at += length + 12
  }
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)]
  const size = header[9] === 6 ? 4 : 3
  if (header[8] !== 8 || (header[9] !== 6 && header[9] !== 2) || header[12] !== 0) {
    throw new Error('not a PNG of this kind')
  }
  const raw = inflateSync(Buffer.concat(data))
  const stride = width * size
  const lines = Buffer.alloc(height * stride)
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)]
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x
      const left = x < size ? 0 : lines[at - size]
      const up = y === 0 ? 0 : lines[at - stride]
      const corner = x < size || y === 0 ? 0 : lines[at - stride - size]
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter]
      lines[at] = raw[y * (stride + 1) + 1 + x] + guess
    }
  }
  const rgb = Buffer.alloc(width * height * 3)
  for (let i = 0; i < width * height; i++) lines.copy(rgb, i * 3, i * size, i * size + 3)
  return { width, height, rgb }
}

function distance(a, b) {
  return (
    ((a >> 16) - (b >> 16)) ** 2 +
    (((a >> 8) & 255) - ((b >> 8) & 255)) ** 2 +
    ((a & 255) - (b & 255)) ** 2
  )
}

/** The most frequent colours that can be told apart. */
function paletteOf(counts) {
  const palette = []
  for (const [colour] of [...counts].sort((a, b) => b[1] - a[1])) {
    if (palette.length === 256) break
    if (palette.every((one) => distance(one, colour) >= APART)) palette.push(colour)
  }
  return palette
}

function chunk(type, body) {
  const out = Buffer.alloc(body.length + 12)
  out.writeUInt32BE(body.length, 0)
  out.write(type, 4, 'latin1')
  body.copy(out, 8)
  out.writeUInt32BE(crc32(out.subarray(4, body.length + 8)), body.length + 8)
  return out
}

/** @param {Buffer} png */
export function smallPng(png) {
  const { width, height, rgb } = decode(png)
  const counts = new Map()
  for (let i = 0; i < rgb.length; i += 3) {
    const colour = rgb.readUIntBE(i, 3)
    counts.set(colour, (counts.get(colour) ?? 0) + 1)
  }
  const palette = paletteOf(counts)
  const nearest = new Map()
  for (const colour of counts.keys()) {
    let best = 0
    for (let i = 1; i < palette.length; i++) {
      if (distance(palette[i], colour) < distance(palette[best], colour)) best = i
    }
    nearest.set(colour, best)
  }
  const lines = Buffer.alloc(height * (width + 1))
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      lines[y * (width + 1) + 1 + x] = nearest.get(rgb.readUIntBE((y * width + x) * 3, 3))
    }
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 3, 0, 0, 0], 8)
  const colours = Buffer.alloc(palette.length * 3)
  palette.forEach((colour, i) => {
    colours.writeUIntBE(colour, i * 3, 3)
  })
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('PLTE', colours),
    chunk('IDAT', deflateSync(lines, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}
