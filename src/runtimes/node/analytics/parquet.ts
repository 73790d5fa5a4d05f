/** Rows as Parquet: column by column, a row group at a time, so that memory is bounded both ways. */
import type { FileHandle } from 'node:fs/promises'
import { gunzipSync, gzipSync } from 'node:zlib'
import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  type SchemaElement,
} from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { COLUMN_NAMES, COLUMNS, type Column, type Row, rowOf } from './row.ts'

/** The key under which a file's footer names what it was made of. */
const INPUTS = 'meridian.inputs'
const ROW_GROUP = 20_000

function elementsOf(name: Column): SchemaElement[] {
  const repetition_type = 'REQUIRED'
  switch (COLUMNS[name]) {
    case 'time':
      return [{ name, type: 'INT64', converted_type: 'TIMESTAMP_MILLIS', repetition_type }]
    case 'text':
      return [{ name, type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type }]
    case 'integer':
      return [{ name, type: 'INT64', repetition_type }]
    case 'number':
      return [{ name, type: 'DOUBLE', repetition_type }]
    case 'flag':
      return [{ name, type: 'BOOLEAN', repetition_type }]
    case 'texts':
      return [
        { name, converted_type: 'LIST', num_children: 1, repetition_type },
        { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
        { name: 'element', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type },
      ]
  }
}

const SCHEMA: SchemaElement[] = [
  { name: 'requests', num_children: COLUMN_NAMES.length },
  ...COLUMN_NAMES.flatMap(elementsOf),
]

function stored(name: Column, value: unknown): unknown {
  if (COLUMNS[name] === 'time') return new Date(Number(value))
  return COLUMNS[name] === 'integer' ? BigInt(Math.trunc(Number(value))) : value
}

/** Writes one file through a handle that the caller opens, syncs and closes. */
export class RowWriter {
  readonly #handle: FileHandle
  readonly #bytes = new ByteWriter()
  readonly #writer: ParquetWriter
  #rows: Row[] = []
  count = 0

  /** @param inputs names of the files whose records these are */
  constructor(handle: FileHandle, inputs: readonly string[]) {
    this.#handle = handle
    this.#writer = new ParquetWriter({
      writer: this.#bytes,
      schema: SCHEMA,
      codec: 'GZIP',
      compressors: { GZIP: (input) => gzipSync(input) },
      kvMetadata: [{ key: INPUTS, value: JSON.stringify(inputs) }],
      createdBy: 'meridian',
    })
  }

  async add(row: Row): Promise<void> {
    this.#rows.push(row)
    this.count++
    if (this.#rows.length >= ROW_GROUP) await this.#flush()
  }

  async #flush(): Promise<void> {
    const rows = this.#rows
    this.#rows = []
    if (rows.length > 0) {
      await this.#writer.write({
        columnData: COLUMN_NAMES.map((name) => ({
          name,
          data: rows.map((row) => stored(name, row[name])),
        })),
        rowGroupSize: ROW_GROUP,
      })
    }
    await this.#drain()
  }

  /** What is encoded goes to the file; the writer goes on counting offsets. */
  async #drain(): Promise<void> {
    const { buffer, index } = this.#bytes as unknown as { buffer: ArrayBuffer; index: number }
    await this.#handle.writeFile(new Uint8Array(buffer, 0, index))
    Object.assign(this.#bytes, { index: 0 })
  }

  async finish(): Promise<void> {
    await this.#flush()
    await this.#writer.finish()
    await this.#drain()
  }
}

/** An open file; readable to its end although its name may be gone. */
export class RowReader {
  readonly #file: AsyncBuffer
  readonly #metadata: FileMetaData

  private constructor(file: AsyncBuffer, metadata: FileMetaData) {
    this.#file = file
    this.#metadata = metadata
  }

  static async open(handle: FileHandle): Promise<RowReader> {
    const { size } = await handle.stat()
    const file: AsyncBuffer = {
      byteLength: size,
      slice: async (start, end = size) => {
        const bytes = new Uint8Array(end - start)
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, start)
        if (bytesRead < bytes.length) throw new RangeError('the Parquet file ends early')
        return bytes.buffer
      },
    }
    return new RowReader(file, await parquetMetadataAsync(file))
  }

  /** Names of the files that it was made of. */
  get inputs(): readonly string[] {
    const text = this.#metadata.key_value_metadata?.find(({ key }) => key === INPUTS)?.value
    const names: unknown = JSON.parse(text ?? '[]')
    return Array.isArray(names) ? names.map(String) : []
  }

  get rowCount(): number {
    return Number(this.#metadata.num_rows)
  }

  async *rows(columns: readonly Column[]): AsyncGenerator<Row> {
    const known = new Set(this.#metadata.schema.map(({ name }) => name))
    const present = columns.filter((name) => known.has(name))
    let rowStart = 0
    for (const group of this.#metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows)
      const objects = await parquetReadObjects({
        file: this.#file,
        metadata: this.#metadata,
        columns: present,
        rowStart,
        rowEnd,
        compressors: { GZIP: (input) => new Uint8Array(gunzipSync(input)) },
      })
      for (const object of objects) yield rowOf(object)
      rowStart = rowEnd
    }
  }
}
