/** The words of the two query languages. */

const SQL_WORDS = `ALL ANALYZE AND ANTI ANY AS ASC BETWEEN BOTH BY CASE CAST COPY CROSS CUBE CURRENT CURRENT_DATE
CURRENT_TIME CURRENT_TIMESTAMP DELETE DESC DESCRIBE DISTINCT ELSE END EXCEPT EXISTS EXPLAIN EXTRACT FALSE FETCH FILTER
FIRST FOLLOWING FROM FULL GROUP GROUPING HAVING IGNORE ILIKE IN INNER INTERSECT INTERVAL INTO IS JOIN LAST LATERAL LEFT
LIKE LIMIT NATURAL NOT NULL NULLS OFFSET ON OR ORDER OUTER OVER PARTITION PRECEDING QUALIFY RANGE RECURSIVE RESPECT
RIGHT ROLLUP ROW ROWS SELECT SEMI SETS SHOW SIMILAR TABLES TABLESAMPLE THEN TIES TO TRUE UNBOUNDED UNION UNNEST USING
VALUES VERBOSE WHEN WHERE WINDOW WITH WITHIN ZONE COLUMNS`;

const SQL_TYPES = `BIGINT BOOLEAN DATE DECIMAL DOUBLE FLOAT INT INTEGER REAL SMALLINT STRING TEXT TIMESTAMP TINYINT
UNSIGNED VARCHAR`;

const INFLUXQL_WORDS = `ALL ANALYZE AND AS ASC BY CARDINALITY DATABASES DELETE DESC DISTINCT DROP EXACT EXPLAIN FALSE
FIELD FILL FROM GROUP IN INTO KEY KEYS LIMIT LINEAR MEASUREMENT MEASUREMENTS NONE NULL OFFSET ON OR ORDER POLICIES
PREVIOUS RETENTION SELECT SERIES SHOW SLIMIT SOFFSET TAG TRUE TZ VALUES WHERE WITH`;

/** The keywords of SQL, in upper case. */
export const SQL_KEYWORDS: readonly string[] = SQL_WORDS.split(/\s+/);

/** The names of types of SQL, in upper case. */
export const SQL_TYPE_NAMES: readonly string[] = SQL_TYPES.split(/\s+/);

/** The keywords of InfluxQL, in upper case. */
export const INFLUXQL_KEYWORDS: readonly string[] = INFLUXQL_WORDS.split(/\s+/);

/** A function with the ways to call it. */
export interface QueryFunction {
  name: string;
  /** `avg(expression)`. */
  signature: string;
  description?: string;
  kind?: string;
}

/** The functions of InfluxQL. The server lists those of SQL itself. */
export const INFLUXQL_FUNCTIONS: readonly QueryFunction[] = [
  ["count", "count(field)", "The number of values."],
  ["distinct", "distinct(field)", "The distinct values."],
  ["integral", "integral(field [, unit])", "The area under the curve of the values."],
  ["mean", "mean(field)", "The average."],
  ["median", "median(field)", "The middle value."],
  ["mode", "mode(field)", "The most frequent value."],
  ["spread", "spread(field)", "The difference between the largest and the smallest value."],
  ["stddev", "stddev(field)", "The standard deviation."],
  ["sum", "sum(field)", "The sum."],
  ["bottom", "bottom(field [, tag, …], n)", "The n smallest values."],
  ["first", "first(field)", "The value with the earliest time."],
  ["last", "last(field)", "The value with the latest time."],
  ["max", "max(field)", "The largest value."],
  ["min", "min(field)", "The smallest value."],
  ["percentile", "percentile(field, n)", "The nth percentile."],
  ["sample", "sample(field, n)", "n values chosen at random."],
  ["top", "top(field [, tag, …], n)", "The n largest values."],
  ["abs", "abs(field)", "The absolute value."],
  ["ceil", "ceil(field)", "Rounds up."],
  ["cumulative_sum", "cumulative_sum(field)", "The running total."],
  ["derivative", "derivative(field [, unit])", "The rate of change per unit, 1 s by default."],
  ["difference", "difference(field)", "The difference to the value before."],
  ["elapsed", "elapsed(field [, unit])", "The time since the value before."],
  ["exp", "exp(field)", "The exponential."],
  ["floor", "floor(field)", "Rounds down."],
  ["ln", "ln(field)", "The natural logarithm."],
  ["log", "log(field, base)", "The logarithm with a base."],
  ["log2", "log2(field)", "The logarithm with the base 2."],
  ["log10", "log10(field)", "The logarithm with the base 10."],
  ["moving_average", "moving_average(field, n)", "The average of the last n values."],
  ["non_negative_derivative", "non_negative_derivative(field [, unit])", "The rate of change, without negative rates."],
  ["non_negative_difference", "non_negative_difference(field)", "The difference, without negative ones."],
  ["pow", "pow(field, n)", "The value to the power of n."],
  ["round", "round(field)", "Rounds to the nearest integer."],
  ["sqrt", "sqrt(field)", "The square root."],
  ["time", "time(interval [, offset])", "In GROUP BY: groups rows by intervals of time."],
  ["now", "now()", "The present time."],
].map(([name = "", signature = "", description]) => ({ name, signature, description }));
