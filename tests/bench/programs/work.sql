-- Tables, indexes, joins and text in memory. :n says how much.
CREATE TABLE author(id INTEGER PRIMARY KEY, name TEXT, born INTEGER);
CREATE TABLE book(id INTEGER PRIMARY KEY, author INTEGER, title TEXT, pages INTEGER);
BEGIN;
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < :n / 10)
INSERT INTO author SELECT i, printf('author %05d', i * 7919 % 10007), 1800 + i % 200 FROM c;
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < :n)
INSERT INTO book SELECT i, 1 + i * 31 % (:n / 10), 'title ' || hex(i * 7919) || substr('abcdefghijklmnopqrstuvwxyz', i % 20), i % 900 FROM c;
COMMIT;
CREATE INDEX by_title ON book(title);
CREATE INDEX by_author ON book(author, pages);
UPDATE book SET title = upper(title) || ' (2nd)' WHERE pages % 7 = 0;
DELETE FROM book WHERE pages % 11 = 0;
SELECT born / 10, count(*), sum(pages), max(title), group_concat(DISTINCT substr(name, 8, 2))
FROM author JOIN book ON book.author = author.id GROUP BY born / 10 ORDER BY 2 DESC, 1;
SELECT count(*) FROM (SELECT title, count(*) FROM book GROUP BY substr(title, 7, 4), author % 10);
SELECT name, length(group_concat(title)) FROM author JOIN book ON book.author = author.id GROUP BY author.id
ORDER BY 2 DESC, 1 LIMIT 20;
PRAGMA integrity_check;
