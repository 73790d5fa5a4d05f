/**
 * A Durable Object on which the isolates of the world leave word for each other: what is purged, what is
 * revoked, who is shut out. Notices are numbered in the order in which they came; an isolate reads what is new to it.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Millis } from '../../exchange.ts'
import type { Revocation, RevocationKind } from '../../iam/revocation.ts'
import { PenaltyLedger, type PenaltyPage, type ShutOut } from './penalty-ledger.ts'

export type Notice =
  | { readonly kind: 'purge'; readonly name: string; readonly soft: boolean; readonly at: Millis }
  | { readonly kind: 'revoke'; readonly revocation: Revocation }
  | { readonly kind: 'restore'; readonly of: RevocationKind; readonly value: string }

export interface NoticePage {
  readonly notices: readonly Notice[]
  /** Of the last notice of the page; where the next page begins. */
  readonly sequence: number
  readonly hasMore: boolean
  /** For a reader that asked; an object of the version before this one has none. */
  readonly penalties?: PenaltyPage
}

/** Notices of one page. */
const PAGE = 500
/** Purged names that are remembered; beyond it, the oldest quarter becomes one purge of everything older. */
const MOST_PURGES = 8192
/** Nothing is stored for longer than this; a purge older than it concerns nothing. */
const PURGE_KEPT_MS = 400 * 86_400_000

/** What is used of an object's SQL storage. */
export interface Sql {
  exec<Row>(query: string, ...values: (string | number)[]): Iterable<Row>
}

/** The notices of one board; apart from the object, so that it can be tested with any SQLite. */
export class Notices {
  readonly #sql: Sql
  readonly #now: () => Millis

  constructor(sql: Sql, now: () => Millis) {
    this.#sql = sql
    this.#now = now
    // A name that is posted again takes a new number, so that everybody reads it again.
    sql.exec(`CREATE TABLE IF NOT EXISTS notices (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL,
      name TEXT NOT NULL UNIQUE,
      until REAL NOT NULL,
      body TEXT NOT NULL)`)
    sql.exec('CREATE INDEX IF NOT EXISTS notices_until ON notices (until)')
  }

  purge(names: readonly string[], soft: boolean): Millis {
    const at = this.#now()
    for (const name of names) {
      this.#post('purge', `${soft ? 'soft' : 'hard'} ${name}`, at + PURGE_KEPT_MS, {
        kind: 'purge',
        name,
        soft,
        at,
      })
    }
    this.#forget(at)
    return at
  }

  revoke(revocation: Revocation): void {
    const { kind, value, issuer = '', before = '', expiresAt } = revocation
    const name = `${kind} ${value} ${issuer} ${before}`
    this.#post('revoke', name, expiresAt * 1000, { kind: 'revoke', revocation })
    this.#forget(this.#now())
  }

  restore(of: RevocationKind, value: string): void {
    let until = 0
    for (const row of this.#revocationsOf(of, value)) {
      until = Math.max(until, row.until)
      this.#sql.exec('DELETE FROM notices WHERE sequence = ?', row.sequence)
    }
    // For the isolates that know of the revocation; others have nothing to forget.
    if (until > 0) this.#post('restore', `${of} ${value}`, until, { kind: 'restore', of, value })
  }

  /** @param sequence of the last notice that the reader knows, 0 for none */
  since(sequence: number): NoticePage {
    const rows = [
      ...this.#sql.exec<{ sequence: number; body: string }>(
        'SELECT sequence, body FROM notices WHERE sequence > ? AND until > ? ORDER BY sequence LIMIT ?',
        sequence,
        this.#now(),
        PAGE + 1,
      ),
    ]
    const page = rows.slice(0, PAGE)
    return {
      notices: page.map(({ body }) => JSON.parse(body) as Notice),
      sequence: page.at(-1)?.sequence ?? sequence,
      hasMore: rows.length > PAGE,
    }
  }

  revocations(): Revocation[] {
    const rows = this.#sql.exec<{ body: string }>(
      "SELECT body FROM notices WHERE kind = 'revoke' AND until > ? ORDER BY sequence",
      this.#now(),
    )
    return [...rows].flatMap(({ body }) => {
      const notice = JSON.parse(body) as Notice
      return notice.kind === 'revoke' ? [notice.revocation] : []
    })
  }

  #post(kind: Notice['kind'], name: string, until: Millis, notice: Notice): void {
    this.#sql.exec(
      'INSERT OR REPLACE INTO notices (kind, name, until, body) VALUES (?, ?, ?, ?)',
      kind,
      `${kind} ${name}`,
      until,
      JSON.stringify(notice),
    )
  }

  *#revocationsOf(
    of: RevocationKind,
    value: string,
  ): Generator<{ sequence: number; until: number }> {
    const rows = this.#sql.exec<{ sequence: number; until: number; body: string }>(
      "SELECT sequence, until, body FROM notices WHERE kind = 'revoke'",
    )
    for (const row of [...rows]) {
      const notice = JSON.parse(row.body) as Notice
      if (notice.kind !== 'revoke') continue
      const { revocation } = notice
      if (revocation.kind === of && revocation.value === value) yield row
    }
  }

  #forget(now: Millis): void {
    this.#sql.exec('DELETE FROM notices WHERE until <= ?', now)
    const [{ count } = { count: 0 }] = this.#sql.exec<{ count: number }>(
      "SELECT COUNT(*) AS count FROM notices WHERE kind = 'purge'",
    )
    if (count <= MOST_PURGES) return
    let at = 0
    const oldest = this.#sql.exec<{ sequence: number; body: string }>(
      "SELECT sequence, body FROM notices WHERE kind = 'purge' ORDER BY sequence LIMIT ?",
      MOST_PURGES / 4,
    )
    for (const { sequence, body } of [...oldest]) {
      const notice = JSON.parse(body) as Notice
      if (notice.kind === 'purge') at = Math.max(at, notice.at)
      this.#sql.exec('DELETE FROM notices WHERE sequence = ?', sequence)
    }
    this.#post('purge', 'hard all', at + PURGE_KEPT_MS, {
      kind: 'purge',
      name: 'all',
      soft: false,
      at,
    })
  }
}

export class NoticeBoard extends DurableObject {
  readonly #notices = new Notices(this.ctx.storage.sql, () => Date.now())
  readonly #ledger = new PenaltyLedger(this.ctx.storage.sql, () => Date.now())

  purge(names: readonly string[], soft: boolean): Millis {
    return this.#notices.purge(names, soft)
  }

  revoke(revocation: Revocation): void {
    this.#notices.revoke(revocation)
  }

  restore(of: RevocationKind, value: string): void {
    this.#notices.restore(of, value)
  }

  /** @param penalties of the last penalty that the reader knows; left out by a reader without a box */
  since(sequence: number, penalties?: number): NoticePage {
    const page = this.#notices.since(sequence)
    return penalties === undefined ? page : { ...page, penalties: this.#ledger.since(penalties) }
  }

  revocations(): Revocation[] {
    return this.#notices.revocations()
  }

  shutOut(clients: readonly ShutOut[]): void {
    this.#ledger.shutOut(clients)
  }

  letOut(key: string): void {
    this.#ledger.letOut(key)
  }

  penalties(): ShutOut[] {
    return this.#ledger.list()
  }
}
