-- Views over the analytics of a gateway, for DuckDB: `duckdb -init views.sql`. Finished hours only: what is
-- still in lines is asked for with `meridian analytics sql`. A bucket is read as 's3://BUCKET/PREFIX/*/*/*.parquet'.

CREATE OR REPLACE VIEW requests AS SELECT * FROM read_parquet(['/var/lib/meridian/analytics/*/*/*.parquet'], union_by_name = true, hive_partitioning = false);

-- Load and failures by hour.
CREATE OR REPLACE VIEW by_hour AS
SELECT date_trunc('hour', time) AS hour, count(*) AS requests,
  count(*) FILTER (status >= 500) AS errors, count(*) FILTER (blocked) AS blocked,
  round(quantile_cont(duration_ms, 0.5), 1) AS p50_ms, round(quantile_cont(duration_ms, 0.99), 1) AS p99_ms,
  sum(bytes_out) AS bytes_out
FROM requests GROUP BY ALL ORDER BY hour;

-- What fails where.
CREATE OR REPLACE VIEW errors AS
SELECT route, region, outcome, status, count(*) AS requests, max(time) AS last, arg_max(id, time) AS last_id
FROM requests WHERE status >= 500 GROUP BY ALL ORDER BY requests DESC;

-- Rules and the requests they matched.
CREATE OR REPLACE VIEW rule_matches AS
SELECT rule, count(*) AS requests, count(*) FILTER (blocked) AS blocked, count(DISTINCT client) AS networks, max(time) AS last
FROM (SELECT unnest(rules) AS rule, blocked, client, time FROM requests) GROUP BY ALL ORDER BY requests DESC;

-- What the cache does for each route.
CREATE OR REPLACE VIEW cache_by_route AS
SELECT route, count(*) AS requests,
  round(avg((cache IN ('hit', 'stale', 'revalidated'))::INT), 3) AS hit_ratio,
  sum(bytes_out) FILTER (cache IN ('hit', 'stale', 'revalidated')) AS bytes_spared
FROM requests WHERE cache <> '' GROUP BY ALL ORDER BY requests DESC;

-- Where clients are, and which region answers them.
CREATE OR REPLACE VIEW countries AS
SELECT country, region, count(*) AS requests, round(quantile_cont(duration_ms, 0.95), 1) AS p95_ms, sum(bytes_out) AS bytes_out
FROM requests GROUP BY ALL ORDER BY requests DESC;
