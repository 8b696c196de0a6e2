import math

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.conftest import IS_FULL

from penstock.data.expressions.functions import FUNCTIONS
from penstock.data.expressions.parser import parse
from penstock.data.expressions.sql_functions import SQL_FUNCTIONS
from penstock.data.expressions.tree import Call, Expression
from penstock.errors import ExpressionError

from .tables import Database, hostile_batch, in_memory

EXPRESSIONS = r"""
x + y
x + 1
n + m
x - y
n - m * 2
x * y
n * m
n * m - n * m
x / y
n / m
1 / (x / y)
x // y
n // m
n // 3
x % y
n % m
-n % 3
x ** y
n ** 2
-x
-n
abs(x)
abs(n)
sign(x)
sign(-n)
round(x)
round(n)
round(x, 1)
round(x, -1)
round(x * 1000, -2)
floor(x)
ceil(x)
floor(x / y)
sqrt(x)
exp(x)
log(x)
log1p(x)
log2(x)
log10(x)
sin(x / 1e10)
cos(n)
tan(y)
tanh(x)
asin(x)
acos(x)
atan2(x, y)
radians(n)
least(x, y, n)
greatest(n, m)
clip(x, 0, 5)
clip(n, m, 10)
bucket(x, 0, 1, 2.5)
bucket(n, 0, 5)
x == y
n == m
x != n
x < y
n <= m
n > 2.5
x >= 1
s == r
s < r
s != 'a'
p == q
p != true
t < u
t == u
t >= '2020-01-01'
p and q
p or q
not p
not (p and q) or x > 1
x is missing
s is missing
t is not missing
p is missing
x / y is missing
n in [1, 2, -999]
x in [0.5, 1]
s in ['a', 'ß', '']
s not in ['a']
p in [true]
t in ['1970-01-01', '2000-12-31T23:59:59Z']
if(p, x, y)
if(p, n, m)
if(x > 0, n, 0.5)
if(p, s, r)
if(p, t, u)
if(p, q, false)
if(x > 0, null, n)
coalesce(x, y)
coalesce(n, m, 0)
coalesce(s, r, '')
coalesce(p, q, false)
coalesce(t, u)
coalesce(null, x)
null_if(x, 0)
null_if(n, m)
null_if(s, 'a')
null_if(t, u)
choose(s, '?', 'a', 'Alpha', 'ß', null)
choose(n, n, -999, null, 1, 100)
choose(x, 0, 0.5, 1)
choose(n, x, 1, 0.5)
choose(p, 'unknown', true, 'yes', false, 'no')
lower(s)
upper(s)
trim(s)
length(s)
concat(s, '-', r)
concat(s)
contains(s, 'a')
contains(s, r)
starts_with(s, 'a')
ends_with(s, r)
replace(s, 'a', 'xx')
replace(s, "'", '\\')
slice(s, 0, 2)
slice(s, -2)
slice(s, 1)
slice(s, 1, -1)
slice(s, 2, 0)
slice(s, -3, -1)
split_part(s, '/', 0)
split_part(s, '/', -1)
split_part(s, '/', 3)
split_part(s, ' ', 1)
pad_left(s, 4, '0')
regex_match(s, '^[A-Z]')
regex_match(s, '\d')
regex_match(s, '\s$')
regex_match(s, 'a.b')
regex_match(s, '.')
regex_match(s, '\b\w+\b')
regex_match(s, '[^a]')
regex_match(s, '\D\W\S')
regex_extract(s, '([A-Z]+)-(\d+)', 2)
regex_extract(s, '\d+')
regex_extract(s, '(x)?a', 1)
regex_extract(s, 'a*')
regex_extract(s, '日|語|👩')
regex_replace(s, '[0-9]+', '#\\1\\')
regex_replace(s, '\s+', ' ')
regex_replace(s, 'a|b{1,2}?', '')
year(t)
quarter(t)
month(t)
week(t)
day(t)
day_of_year(t)
weekday(t)
hour(t)
minute(t)
second(t)
hour(t, 'America/New_York')
day(t, 'Asia/Tokyo')
minute(t, 'Asia/Kolkata')
truncate(t, 'year')
truncate(t, 'quarter')
truncate(t, 'month')
truncate(t, 'week')
truncate(t, 'day')
truncate(t, 'hour')
truncate(t, 'minute')
truncate(t, 'second')
truncate(t, 'day', 'America/New_York')
truncate(t, 'month', 'Asia/Tokyo')
seconds_between(t, u)
days_between(t, u)
add_seconds(t, x)
add_seconds(t, n)
add_days(t, n / 3)
add_days(t, 1)
epoch_seconds(t)
from_epoch(x)
from_epoch(n)
from_epoch(epoch_seconds(t))
parse_date(s, '%Y-%m-%d')
parse_date(s, '%d/%m/%Y %H:%M')
parse_date(s, '%d/%m/%Y %H:%M', 'Europe/Zurich')
parse_date(string(t), '%Y-%m-%dT%H:%M:%SZ')
format_date(t, '%d.%m.%Y %H:%M:%S.%f %% %p %I %b %B %y')
format_date(t, '%Y %z', 'Asia/Tokyo')
format_date(t, '%Y-%m', 'America/New_York')
integer(x)
integer(s)
integer(p)
integer(n)
float(n)
float(s)
float(p)
float(x)
boolean(x)
boolean(s)
boolean(n)
boolean(p)
string(x)
string(n)
string(n + 1)
string(p)
string(t)
string(s)
timestamp(s)
timestamp(t)
timestamp(string(t))
json_text(s, 'a')
json_text(s, 'a.b')
json_text(s, 'a.b[2]')
json_text(s, '[1]')
json_text(s, 'a.b[9]')
hash_fraction(x, n, p, s, t)
hash_fraction('seed', n + 1)
hash_fraction(x * 0.1)
1
'it\'s'
true
1.5
timestamp('2024-05-31')
""".strip().splitlines()

TRANSCENDENTAL = {"exp", "log", "log1p", "log2", "log10", "power", "sin", "cos", "tan", "tanh", "asin", "acos", "atan2"}


def functions_of(expression: Expression) -> set[str]:
    if not isinstance(expression, Call):
        return set()
    return {expression.function}.union(*map(functions_of, expression.arguments))


@pytest.fixture(scope="module")
def database() -> Database:
    return Database(hostile_batch())


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_duckdb_and_memory_give_the_same_values(text: str, database: Database) -> None:
    expected = in_memory(text, hostile_batch())
    found = database.values(text)

    tolerance = 1e-12 if functions_of(parse(text)) & TRANSCENDENTAL else 0.0
    for place, (here, there) in enumerate(zip(expected, found, strict=True)):
        if isinstance(here, float) and isinstance(there, float) and math.isclose(here, there, rel_tol=tolerance):
            continue
        assert here == there, f"row {place}: {here!r} in memory, {there!r} in DuckDB"


def test_every_function_is_compared() -> None:
    compared = set().union(*(functions_of(parse(text)) for text in EXPRESSIONS))
    assert compared == set(FUNCTIONS)
    assert set(SQL_FUNCTIONS) == set(FUNCTIONS)


numbers: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["x", "y", "n", "m", "0", "1", "2.5", "-3", "1e10"]),
        st.builds("({} {} {})".format, numbers, st.sampled_from(["+", "-", "*", "/", "//", "%"]), numbers),
        st.builds("{}({})".format, st.sampled_from(["abs", "floor", "ceil", "round", "sqrt", "-", "sign"]), numbers),
        st.builds("if({}, {}, {})".format, conditions, numbers, numbers),
        st.builds("coalesce({}, {})".format, numbers, numbers),
        st.builds("greatest({}, {})".format, numbers, numbers),
        st.builds("float({})".format, texts),
        st.builds("length({})".format, texts),
        st.builds("days_between({}, u)".format, times),
        st.builds("month({})".format, times),
    )
)
texts: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["s", "r", "'a'", "' 12 '"]),
        st.builds("string({})".format, numbers),
        st.builds("{}({})".format, st.sampled_from(["lower", "upper", "trim"]), texts),
        st.builds("concat({}, {})".format, texts, texts),
        st.builds("if({}, {}, {})".format, conditions, texts, texts),
        st.builds("slice({}, 1, -1)".format, texts),
    )
)
conditions: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["p", "q", "true"]),
        st.builds("({} {} {})".format, numbers, st.sampled_from(["<", "<=", "==", "!="]), numbers),
        st.builds("({} {} {})".format, texts, st.sampled_from(["<", "=="]), texts),
        st.builds("({} {} {})".format, conditions, st.sampled_from(["and", "or"]), conditions),
        st.builds("(not {})".format, conditions),
        st.builds("({} is missing)".format, numbers),
        st.builds("({} is missing)".format, texts),
    )
)
times: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["t", "u"]),
        st.builds("add_days({}, {})".format, times, numbers),
        st.builds("truncate({}, 'month')".format, times),
        st.builds("if({}, {}, {})".format, conditions, times, times),
    )
)


@given(text=st.one_of(numbers, texts, conditions, times))
@settings(max_examples=150 if IS_FULL else 40, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_composed_has_one_meaning(text: str, database: Database) -> None:
    try:
        expected = in_memory(text, hostile_batch())
    except ExpressionError:
        assume(False)
    assert database.values(text) == expected
