/** SQL over the files, for DuckDB: `requests`, and views of what is asked most. */
import { COLUMNS, type ColumnKind } from '../../runtimes/node/analytics/row.ts'

const TYPES: Readonly<Record<ColumnKind, string>> = {
  time: 'TIMESTAMP',
  text: 'VARCHAR',
  integer: 'BIGINT',
  number: 'DOUBLE',
  flag: 'BOOLEAN',
  texts: 'VARCHAR[]',
}
/** What a line leaves out has this value in Parquet. */
const ABSENT: Readonly<Record<ColumnKind, string>> = {
  time: 'NULL',
  text: "''",
  integer: '0',
  number: '0',
  flag: 'false',
  texts: '[]',
}

export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** Rows of Parquet files, named or by a pattern. */
export function fromParquet(files: readonly string[]): string {
  // Files of an older version may lack a column.
  return `SELECT * FROM read_parquet([${files.map(literal).join(', ')}], union_by_name = true, hive_partitioning = false)`
}

/** Rows of files of lines; a line that a killed process has cut is left out. */
export function fromLines(files: readonly string[]): string {
  const types = Object.entries(COLUMNS)
    .map(([name, kind]) => `${name}: ${literal(TYPES[kind])}`)
    .join(', ')
  const columns = Object.entries(COLUMNS)
    .map(([name, kind]) => `coalesce(${name}, ${ABSENT[kind]}) AS ${name}`)
    .join(', ')
  return `SELECT ${columns} FROM read_ndjson([${files.map(literal).join(', ')}], columns = {${types}}, ignore_errors = true) WHERE id IS NOT NULL`
}

/** @param sources queries that give rows; none gives an empty table */
export function requestsView(sources: readonly string[]): string {
  const empty = Object.entries(COLUMNS)
    .map(([name, kind]) => `NULL::${TYPES[kind]} AS ${name}`)
    .join(', ')
  const rows =
    sources.length === 0 ? `SELECT ${empty} WHERE false` : sources.join(' UNION ALL BY NAME ')
  return `CREATE OR REPLACE VIEW requests AS ${rows};`
}

/** Views over `requests`. */
export const VIEWS = [
  `-- Load and failures by hour.
CREATE OR REPLACE VIEW by_hour AS
SELECT date_trunc('hour', time) AS hour, count(*) AS requests,
  count(*) FILTER (status >= 500) AS errors, count(*) FILTER (blocked) AS blocked,
  round(quantile_cont(duration_ms, 0.5), 1) AS p50_ms, round(quantile_cont(duration_ms, 0.99), 1) AS p99_ms,
  sum(bytes_out) AS bytes_out
FROM requests GROUP BY ALL ORDER BY hour;`,
  `-- What fails where.
CREATE OR REPLACE VIEW errors AS
SELECT route, region, outcome, status, count(*) AS requests, max(time) AS last, arg_max(id, time) AS last_id
FROM requests WHERE status >= 500 GROUP BY ALL ORDER BY requests DESC;`,
  `-- Rules and the requests they matched.
CREATE OR REPLACE VIEW rule_matches AS
SELECT rule, count(*) AS requests, count(*) FILTER (blocked) AS blocked, count(DISTINCT client) AS networks, max(time) AS last
FROM (SELECT unnest(rules) AS rule, blocked, client, time FROM requests) GROUP BY ALL ORDER BY requests DESC;`,
  `-- What the cache does for each route.
CREATE OR REPLACE VIEW cache_by_route AS
SELECT route, count(*) AS requests,
  round(avg((cache IN ('hit', 'stale', 'revalidated'))::INT), 3) AS hit_ratio,
  sum(bytes_out) FILTER (cache IN ('hit', 'stale', 'revalidated')) AS bytes_spared
FROM requests WHERE cache <> '' GROUP BY ALL ORDER BY requests DESC;`,
  `-- Where clients are, and which region answers them.
CREATE OR REPLACE VIEW countries AS
SELECT country, region, count(*) AS requests, round(quantile_cont(duration_ms, 0.95), 1) AS p95_ms, sum(bytes_out) AS bytes_out
FROM requests GROUP BY ALL ORDER BY requests DESC;`,
] as const

/** A script for DuckDB's own command line: Parquet of a folder or a bucket. */
export function viewsScript(place: string): string {
  const pattern = `${place.replace(/\/$/, '')}/*/*/*.parquet`
  return `-- Views over the analytics of a gateway, for DuckDB: \`duckdb -init views.sql\`. Finished hours only: what is
-- still in lines is asked for with \`meridian analytics sql\`. A bucket is read as 's3://BUCKET/PREFIX/*/*/*.parquet'.

${requestsView([fromParquet([pattern])])}

${VIEWS.join('\n\n')}
`
}
