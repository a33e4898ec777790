//! SQL against SQLite itself: what the grammar lets a text be, SQLite prepares.

#![allow(clippy::print_stderr)] // says what hostile schemas cost

mod closes;
mod dialects;
mod hostile;
#[path = "../common/soon.rs"]
mod soon;
mod spider;
mod support;
mod walks;

use understudy_grammars::SqlSpec;

use support::{CONCERTS, compile, database, refusal, spec, vocabulary};

const INSIDE: [&str; 27] = [
    "SELECT name FROM singer",
    "select NAME from SINGER;",
    "SELECT T1.name, T2.year FROM singer AS T1, concert AS T2 WHERE T1.id = T2.concert_id",
    "SELECT title, capacity FROM concert JOIN stadium ON concert.stadium_id = stadium.stadium_id",
    "SELECT title FROM concert NATURAL JOIN stadium WHERE stadium_id IN (1, 2)",
    "SELECT s.*, c.title\nFROM stadium s\n  LEFT JOIN concert c USING (stadium_id)\nORDER BY s.capacity DESC, 1 LIMIT 5 OFFSET 2",
    "SELECT country, count(*) AS n, avg(age) FROM singer GROUP BY country HAVING n > 1 AND max(age) < 50 ORDER BY n DESC",
    "SELECT count(DISTINCT country) FROM singer WHERE name LIKE 'A%' AND age BETWEEN 1 + 1 AND 30 OR age IS NOT NULL",
    "SELECT name FROM singer WHERE age > (SELECT avg(age) FROM singer)",
    "SELECT name FROM singer AS s WHERE EXISTS (SELECT 1 FROM singer_in_concert AS c WHERE c.id = s.id)",
    "SELECT name FROM singer WHERE NOT EXISTS (SELECT * FROM concert WHERE year = age) AND id NOT IN (SELECT id FROM singer_in_concert)",
    "SELECT name FROM singer UNION SELECT title FROM concert EXCEPT SELECT 'x' ORDER BY name",
    "WITH old AS (SELECT id, age * 2 AS twice FROM singer WHERE age > 60), few AS (SELECT id FROM old) \
     SELECT o.twice, name FROM old AS o JOIN singer ON singer.id = o.id JOIN few ON few.id = o.id WHERE twice > 3",
    "SELECT * FROM (SELECT country, count(*) AS n FROM singer GROUP BY country) AS t WHERE t.n > 2 AND n < 5",
    "SELECT name, row_number() OVER (PARTITION BY country ORDER BY age DESC) AS r, sum(age) OVER () FROM singer ORDER BY r",
    "SELECT CASE WHEN age > 3 THEN 'old' ELSE 'young' END, CASE country WHEN 'x' THEN 1 END, CAST(age AS REAL) FROM singer",
    "SELECT `group`, \"select\", [total] FROM \"order\"",
    "SELECT \"Home Town\" FROM stadium WHERE \"Home Town\" = ''",
    "SELECT 1",
    "SELECT 'it''s', -1.5, NULL",
    "SELECT a.name FROM singer AS a JOIN singer AS b ON a.age = b.age AND a.id <> b.id",
    "SELECT round(avg(age), 2), coalesce(max(name), 'none'), length(min(name)) FROM singer",
    "SELECT DISTINCT year FROM concert WHERE stadium_id = 1 INTERSECT SELECT 1",
    "SELECT name FROM singer ORDER BY CASE WHEN age > 1 THEN name ELSE country END",
    "SELECT country FROM singer GROUP BY country ORDER BY count(DISTINCT name), max(age) DESC",
    "SELECT name FROM singer WHERE id IN (SELECT id FROM singer_in_concert GROUP BY id HAVING age > 1 ORDER BY id)",
    "SELECT name FROM singer ORDER BY age BETWEEN row_number() OVER () AND count(*) OVER (ORDER BY age)",
];

const OUTSIDE: [&str; 34] = [
    "SELECT nam FROM singer",
    "SELECT name FROM singers",
    "SELECT title FROM singer",
    "SELECT T1.title FROM singer AS T1",
    "SELECT T1.name FROM singer AS T2",
    "SELECT name FROM singer JOIN stadium ON 1 = 1",
    "SELECT stadium_id FROM concert JOIN stadium ON 1 = 1",
    "SELECT age FROM singer WHERE capacity = 1",
    "SELECT singer.name FROM singer AS s",
    "SELECT name FROM singer WHERE count(*) > 1",
    "SELECT sum(max(age)) FROM singer",
    "SELECT count(*) AS n FROM singer WHERE n > 1",
    "SELECT count(*) AS n FROM singer GROUP BY n",
    "SELECT name FROM singer HAVING age > 1",
    "SELECT name FROM singer UNION SELECT title, year FROM concert",
    "SELECT name FROM singer WHERE age IN (SELECT id, age FROM singer)",
    "SELECT name FROM singer UNION SELECT title FROM concert ORDER BY age",
    "SELECT name FROM singer ORDER BY 2",
    "SELECT name FROM singer AS t JOIN concert AS T ON 1 = 1",
    "SELECT substr(name) FROM singer",
    "SELECT nosuch(name) FROM singer",
    "SELECT \"nosuch\" FROM singer",
    "SELECT group FROM \"order\"",
    "DELETE FROM singer",
    "SELECT name FROM singer ORDER BY max(age)",
    "SELECT count(DISTINCT name) OVER () FROM singer",
    "SELECT NOT singer.* FROM singer",
    "SELECT NOT * FROM singer",
    "SELECT count(NOT *) FROM singer",
    "SELECT count(NOT DISTINCT name) FROM singer",
    "SELECT name FROM singer WHERE id IN (SELECT id FROM singer_in_concert ORDER BY age)",
    "SELECT name FROM singer WHERE id IN (SELECT id FROM singer_in_concert ORDER BY singer.age)",
    "SELECT name FROM singer WHERE id IN (SELECT id FROM singer_in_concert GROUP BY age)",
    "SELECT name FROM singer WHERE EXISTS (SELECT 1 FROM concert ORDER BY (SELECT age FROM stadium))",
];

#[test]
fn statements_inside_and_outside() {
    let vocabulary = vocabulary();
    let spec = spec(CONCERTS);
    let database = database(&spec);
    let grammar = compile(spec, &vocabulary);
    for text in INSIDE {
        assert!(database.prepare(text).is_ok(), "{text}");
        assert_eq!(refusal(&grammar, text), None, "{text}");
    }
    for text in OUTSIDE {
        assert!(refusal(&grammar, text).is_some(), "{text}");
    }
}

#[test]
fn writes_are_opt_in() {
    let vocabulary = vocabulary();
    let spec = SqlSpec { writes: true, ..spec(CONCERTS) };
    let database = database(&spec);
    let grammar = compile(spec, &vocabulary);
    let texts = [
        "INSERT INTO singer (id, name) VALUES (1, 'a'), (2, lower('B'));",
        "INSERT INTO singer_in_concert(concert_id, id) SELECT concert_id, stadium_id FROM concert",
        "UPDATE singer SET age = age + 1, name = (SELECT max(title) FROM concert WHERE year = age) WHERE id = 3",
        "DELETE FROM singer WHERE id IN (SELECT id FROM singer_in_concert)",
        "DELETE FROM singer",
    ];
    for text in texts {
        assert!(database.prepare(text).is_ok(), "{text}");
        assert_eq!(refusal(&grammar, text), None, "{text}");
    }
    let wrong = [
        "INSERT INTO singer (id, id) VALUES (1, 1)",
        "INSERT INTO singer (id) VALUES (1, 2)",
        "UPDATE singer SET title = 1",
    ];
    for text in wrong {
        assert!(refusal(&grammar, text).is_some(), "{text}");
    }
}
