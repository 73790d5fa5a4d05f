/**
 * Who is shut out, as isolates leave word of it on the notice board: one row for each client, numbered anew
 * with each change. Rows end by themselves; of too many, those with the least time left give way.
 */
import type { Millis } from '../../exchange.ts'
import type { Sql } from './notice-board.ts'

/** A client that an isolate, or an operator, has shut out. */
export interface ShutOut {
  /** As `penaltyKey` writes it. */
  readonly key: string
  /** From now on. */
  readonly time: Millis
  /** Times in the box; 0 for an operator's. */
  readonly terms: number
}

/** Who was let out has no time. */
export interface PenaltyPage {
  readonly penalties: readonly ShutOut[]
  readonly sequence: number
  readonly hasMore: boolean
}

/** Clients that are remembered; as many as a process knows by name. */
export const MOST_PENALTIES = 10_000
const PAGE = 1000
/** The longest term; whoever asks for more gets this. */
const LONGEST_MS = 366 * 86_400_000
const MOST_KEY = 64
/** That somebody was let out is news for so long, at least: isolates may have shut it out by themselves. */
const LIFT_KEPT_MS = 86_400_000

interface Row {
  readonly sequence: number
  readonly client: string
  readonly until: number
  readonly terms: number
  readonly lifted: number
}

export class PenaltyLedger {
  readonly #sql: Sql
  readonly #now: () => Millis

  constructor(sql: Sql, now: () => Millis) {
    this.#sql = sql
    this.#now = now
    sql.exec(`CREATE TABLE IF NOT EXISTS penalties (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      client TEXT NOT NULL UNIQUE,
      until REAL NOT NULL,
      terms INTEGER NOT NULL,
      lifted INTEGER NOT NULL)`)
    sql.exec('CREATE INDEX IF NOT EXISTS penalties_until ON penalties (until)')
  }

  shutOut(clients: readonly ShutOut[]): void {
    const now = this.#now()
    for (const { key, time, terms } of clients) {
      if (key.length > MOST_KEY || !(time > 0)) continue
      const until = now + Math.min(time, LONGEST_MS)
      const known = this.#of(key)
      // Several isolates shut out the same client at the same time.
      const isNew = known === undefined || known.lifted === 1 || known.until <= now
      if (isNew || until > known.until + 1000 || terms > known.terms) {
        this.#write(key, isNew ? until : Math.max(until, known.until), terms, 0)
      }
    }
    this.#forget(now)
  }

  letOut(key: string): void {
    const now = this.#now()
    this.#write(key, Math.max(this.#of(key)?.until ?? 0, now + LIFT_KEPT_MS), 0, 1)
    this.#forget(now)
  }

  since(sequence: number): PenaltyPage {
    const now = this.#now()
    const rows = [
      ...this.#sql.exec<Row>(
        'SELECT * FROM penalties WHERE sequence > ? AND until > ? ORDER BY sequence LIMIT ?',
        sequence,
        now,
        PAGE + 1,
      ),
    ]
    const page = rows.slice(0, PAGE)
    return {
      penalties: page.map((row) => shown(row, now)),
      sequence: page.at(-1)?.sequence ?? sequence,
      hasMore: rows.length > PAGE,
    }
  }

  /** Who is shut out now, the longest first. */
  list(): ShutOut[] {
    const now = this.#now()
    const rows = this.#sql.exec<Row>(
      'SELECT * FROM penalties WHERE lifted = 0 AND until > ? ORDER BY until DESC',
      now,
    )
    return [...rows].map((row) => shown(row, now))
  }

  #of(key: string): Row | undefined {
    return [...this.#sql.exec<Row>('SELECT * FROM penalties WHERE client = ?', key)][0]
  }

  #write(key: string, until: Millis, terms: number, lifted: 0 | 1): void {
    this.#sql.exec(
      'INSERT OR REPLACE INTO penalties (client, until, terms, lifted) VALUES (?, ?, ?, ?)',
      key,
      until,
      terms,
      lifted,
    )
  }

  #forget(now: Millis): void {
    this.#sql.exec('DELETE FROM penalties WHERE until <= ?', now)
    const [{ count } = { count: 0 }] = this.#sql.exec<{ count: number }>(
      'SELECT COUNT(*) AS count FROM penalties',
    )
    if (count <= MOST_PENALTIES) return
    this.#sql.exec(
      'DELETE FROM penalties WHERE sequence IN (SELECT sequence FROM penalties ORDER BY until LIMIT ?)',
      count - MOST_PENALTIES,
    )
  }
}

function shown({ client, until, terms, lifted }: Row, now: Millis): ShutOut {
  return { key: client, time: lifted === 1 ? 0 : until - now, terms }
}
