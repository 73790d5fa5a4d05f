import { describe, expect, it } from 'vitest'
import { detectSqli } from './sqli.ts'

describe('detectSqli', () => {
  it.each([
    ["' or 1=1", 'single'],
    ['" or ""="', 'double'],
    ['1 or 1=1', 'none'],
    ['or true--', 'none'],
    ["admin'-- -", 'single'],
    ["admin' #", 'single'],
    ["') or ('x')=('x", 'single'],
    ["'='", 'single'],
    ["-1' union select 1,2,group_concat(table_name) from information_schema.tables-- -", 'single'],
    ['1/**/union/**/select/**/1,2', 'none'],
    ['/*!50000union*//*!50000select*/1,2', 'none'],
    ["x'; update users set password='x' where id=1--", 'single'],
    ["1; exec master..xp_cmdshell 'dir'--", 'none'],
    ["') waitfor delay '0:0:5'--", 'single'],
    ['1 and ascii(substring((select database()),1,1))>64', 'none'],
    ["0'XOR(if(now()=sysdate(),sleep(5),0))XOR'Z", 'single'],
    ["'||(select password from users where rownum=1)||'", 'single'],
    ['1 order by 10--', 'none'],
    ['SELECT name FROM users WHERE id = 1', 'none'],
    ["1' rlike (select (case when (1=1) then 1 else 0x28 end))-- ", 'single'],
  ])('%s is an attack in the %s context', (value, context) => {
    const found = detectSqli(value)
    expect(found).toMatchObject({ attack: true, context })
    expect(found.confidence).toBeGreaterThanOrEqual(80)
  })

  it.each([
    "O'Neil",
    "the boys' and girls' rooms",
    "rock 'n' roll",
    'Select a size from the list',
    'The student union select committee',
    'drop table reservations for tomorrow',
    'Update your profile and set a new password',
    "the 'or' operator and the '=' sign",
    '"foo" OR "bar"',
    'price < 100 and rating > 4',
    'if (len(x) > 0 and len(y) > 0)',
    'for (let i = 0; i < 10; i++) { a[i] = \'x\' + "y"; }',
    '5 or 6',
    "It's 5 o'clock -- somewhere",
    '5\' 10" and 6\' 2"',
    '{"a":"b","c":1,"d":[1,2,3]}',
    'The end; select your next adventure',
  ])('%s is no attack', (value) => {
    expect(detectSqli(value).confidence).toBeLessThan(50)
  })
})
