/**
 * Words of SQL by their role in a statement, for the dialects of MySQL, MariaDB, PostgreSQL, SQL Server,
 * Oracle, SQLite and Access. Compiled from the vendors' reference manuals.
 */

/** Token kinds; a word's kind is its role in the grammar. */
export const NUM = 1
export const STR = 2
export const WORD = 3
export const VAR = 4
export const OPEN = 5
export const CLOSE = 6
export const COMMA = 7
export const SEMI = 8
/** and, or, xor, &&, || */
export const LOGIC = 9
/** Comparison: = < > <> like in is between regexp ... */
export const CMP = 10
/** Arithmetic, bit and string operators. */
export const ARITH = 11
/** union, intersect, except, minus */
export const UNION = 12
/** Words that start a statement. */
export const STMT = 13
/** from, where, having, order, group, limit, into ... */
export const CLAUSE = 14
/** not, exists, binary, distinct, all, case, when ...: may stand where an operand is expected. */
export const PREFIX = 15
/** null, true, false, current_user ... */
export const CONST = 16
/** A name that is followed by an opening parenthesis. */
export const FUNC = 17
/** as, asc, desc, end, then, else ...: may follow an operand. */
export const SUFFIX = 18
/** What SQL has no use for at that place. */
export const JUNK = 19
export const COMMENT = 20

const roles: readonly (readonly [number, string])[] = [
  [LOGIC, 'and or xor'],
  [CMP, 'like ilike rlike regexp glob in is between similar sounds soundslike match'],
  [ARITH, 'div mod collate'],
  [UNION, 'union intersect except minus'],
  [
    STMT,
    'select insert update delete drop create alter truncate exec execute declare merge grant revoke call replace handler load shutdown backup restore waitfor begin set rename copy pragma attach print kill use show describe desc explain lock do prepare reconfigure dbcc bulk vacuum',
  ],
  [
    CLAUSE,
    'from where having order group limit offset into procedure join on values set using fetch for window returning inner outer cross natural left right',
  ],
  [
    PREFIX,
    'not exists binary distinct distinctrow all any some case when interval top row cast then else',
  ],
  [
    CONST,
    'null true false current_user session_user system_user current_date current_time current_timestamp localtime unknown',
  ],
  [SUFFIX, 'as asc end escape nulls first last'],
]

const WORD_ROLES = new Map<string, number>()
for (const [role, words] of roles) {
  for (const word of words.split(' ')) if (!WORD_ROLES.has(word)) WORD_ROLES.set(word, role)
}

/** By the first letter of a word, as `folded` has it: the lengths of the words that have a role, as bits. */
const ROLE_LENGTHS = new Int32Array(128)
for (const word of WORD_ROLES.keys()) {
  const first = folded(word.charCodeAt(0))
  ROLE_LENGTHS[first] = (ROLE_LENGTHS[first] as number) | (1 << word.length)
}

/** Letters in lower case; other characters may become one another. */
function folded(code: number): number {
  return (code | 32) & 127
}

/** Whether a word may have a role; most words of prose may not. `first` is its first character. */
export function mayHaveRole(first: number, length: number): boolean {
  // What is beyond ASCII may have a small letter within it.
  if (first > 127) return true
  return length < 32 && ((ROLE_LENGTHS[folded(first)] as number) & (1 << length)) !== 0
}

/** The role of a lower-case word, or WORD. */
export function roleOf(word: string): number {
  return WORD_ROLES.get(word) ?? WORD
}

/** Functions that delay, read files, call out, run commands or leak by error: never typed by a visitor. */
const HOSTILE_FUNCTIONS = new Set(
  'sleep benchmark pg_sleep pg_sleep_for pg_sleep_until waitfor load_file extractvalue updatexml xmltype dbms_pipe.receive_message dbms_lock.sleep dbms_session.sleep utl_http.request utl_inaddr.get_host_address utl_inaddr.get_host_name ctxsys.drithsx.sn dbms_ldap.init dbms_xmlgen.getxml dbms_xmlquery.newcontext httpuritype dbms_java.runjava pg_read_file pg_ls_dir pg_read_binary_file lo_import lo_export lo_get query_to_xml database_to_xml dblink dblink_connect dblink_send_query openrowset opendatasource openquery xp_cmdshell xp_dirtree xp_fileexist xp_regread sp_oacreate sp_executesql sys_eval sys_exec randomblob load_extension procedure_analyse gtid_subset st_latfromgeohash st_longfromgeohash json_keys geometrycollection multipoint polygon multipolygon linestring multilinestring name_const generate_series_sleep sys.fn_xe_file_target_read_file fn_trace_gettable master.dbo.xp_cmdshell master..xp_cmdshell'.split(
    ' ',
  ),
)

/** Functions common in data extraction; suspicious in a comparison, harmless alone. */
const SQL_FUNCTIONS = new Set(
  'ascii char chr concat concat_ws group_concat string_agg wm_concat listagg substr substring substring_index mid left right instr locate position hex unhex conv ord bin length char_length len datalength lower upper ucase lcase version database schema user current_user session_user system_user db_name user_name suser_name suser_sname host_name object_id object_name col_name current_database current_schema current_setting count sum min max avg abs floor ceil ceiling round rand random exp pow power sqrt sign pi mod if iif ifnull nullif isnull nvl nvl2 coalesce decode case convert to_char to_number to_date elt field make_set export_set find_in_set greatest least md5 sha1 sha2 sha password old_password encode compress row_count last_insert_id found_rows connection_id bit_length xmlagg xmlelement xmlparse xmlquery array_agg array_to_string string_to_array quote_literal chr replace reverse repeat replicate space stuff lpad rpad trim ltrim rtrim strcmp format quotename unicode nchar sin cos tan atan atn ln log db_id has_dbaccess is_srvrolemember is_member serverproperty getdate now sysdate curdate curtime current_date date_add date_sub extract typeof hex quote zeroblob glob likelihood sqlite_version regexp_like regexp_substr regexp_instr json_extract json_value json_arrayagg jsonb_build_object inet_server_addr has_table_privilege bit_count uuid uuid_short polygon rownum dbms_random.value sys_context userenv unix_timestamp from_unixtime timestampdiff to_base64 from_base64'.split(
    ' ',
  ),
)

/** Names of the catalogues and of what attackers read first. */
const SCHEMA_NAMES: readonly string[] = [
  'information_schema',
  'performance_schema',
  'mysql.user',
  'mysql.db',
  'mysql.innodb',
  'pg_catalog',
  'pg_shadow',
  'pg_user',
  'pg_class',
  'pg_tables',
  'pg_database',
  'sysobjects',
  'syscolumns',
  'sysusers',
  'sysdatabases',
  'sys.',
  'master.',
  'master..',
  'msdb.',
  'tempdb.',
  'msysobjects',
  'msysaccessobjects',
  'sqlite_master',
  'sqlite_schema',
  'sqlite_temp_master',
  'all_tables',
  'all_tab_columns',
  'all_users',
  'all_objects',
  'user_tables',
  'user_tab_columns',
  'user_objects',
  'dba_users',
  'dba_tables',
  'dual',
  'v$version',
  'v$session',
  'v$instance',
  'sys_users',
  'rdb$',
  'sysibm',
  'syscat',
  'dbms_',
  'utl_',
  'xp_',
  'sp_oacreate',
  'sp_executesql',
  'sp_password',
  'sp_configure',
  'sp_makewebtask',
]

/** 2: hostile in itself; 1: usual in SQL; 0: any name. `name` is lower case. */
export function functionRank(name: string): 0 | 1 | 2 {
  if (HOSTILE_FUNCTIONS.has(name)) return 2
  return SQL_FUNCTIONS.has(name) ? 1 : 0
}

/** By first letter, since every name of a value is looked up. */
const SCHEMA_BY_LETTER = new Map<number, string[]>()
for (const name of SCHEMA_NAMES) {
  const letter = name.charCodeAt(0)
  const list = SCHEMA_BY_LETTER.get(letter)
  if (list === undefined) SCHEMA_BY_LETTER.set(letter, [name])
  else list.push(name)
}

const SCHEMA_STARTS = new Uint8Array(128 * 128)
for (const name of SCHEMA_NAMES) {
  SCHEMA_STARTS[folded(name.charCodeAt(0)) * 128 + folded(name.charCodeAt(1))] = 1
}

/** Whether a name in any case may be of a catalogue, by its first two characters. */
export function mayBeSchema(first: number, second: number): boolean {
  if (first > 127 || second > 127) return true
  return SCHEMA_STARTS[folded(first) * 128 + folded(second)] === 1
}

/** Whether a lower-case (dotted) name is of a database catalogue. */
export function isSchemaName(name: string): boolean {
  const list = SCHEMA_BY_LETTER.get(name.charCodeAt(0))
  if (list === undefined) return false
  for (const prefix of list) {
    if (name.startsWith(prefix) && (name.length === prefix.length || prefix !== 'dual')) return true
  }
  return false
}

/** What may follow DROP, CREATE, ALTER, TRUNCATE. */
const OBJECT_KINDS = new Set(
  'table database schema user view index column procedure function trigger role login sequence type tablespace temporary temp extension assembly or if proc'.split(
    ' ',
  ),
)

export function isObjectKind(word: string): boolean {
  return OBJECT_KINDS.has(word)
}
