//! Functions of the values of tables, and of windows of time.

use super::{
    super::columns::{Choices, Column, FIRST, Kind, timestamp},
    BOUNDS, Case, partition, quoted,
};

impl Case {
    /// Chooses a function of the values of tables, and returns the SQL of it if it is an aggregate with the type of its result.
    fn function(&mut self, choices: &mut Choices) -> (&'static str, Option<(&'static str, Kind)>) {
        let kind = self.column("_value").map_or(Kind::Text, |column| column.kind);
        let mut all =
            vec![("count", Some(("count(*)", Kind::Integer))), ("first", None), ("last", None)];
        if matches!(kind, Kind::Float | Kind::Integer | Kind::Unsigned) {
            all.extend([("min", None), ("max", None)]);
            if self.is_exact {
                let mean = ("avg(CAST(\"_value\" AS DOUBLE))", Kind::Float);
                all.extend([("mean", Some(mean)), ("sum", Some(("sum(\"_value\")", kind)))]);
            }
        }
        let chosen = choices.of(&all);
        self.is_exact &= chosen.0 != "mean";
        chosen
    }

    fn select(&mut self, function: &str, columns: &[String], groups: &[String]) {
        let order = match function {
            "first" => "ord",
            "last" => "ord DESC",
            "min" => "\"_value\", ord",
            _ => "\"_value\" DESC, ord",
        };
        let (list, groups) = (columns.join(", "), partition(groups));
        self.add(&format!(
            "SELECT {list}, ord, row_number() OVER ({groups} ORDER BY {order}) AS n FROM @ WHERE \"_value\" IS NOT NULL"
        ));
        self.add(&format!("SELECT {list}, ord FROM @ WHERE n = 1"));
    }

    pub(super) fn aggregate(&mut self, choices: &mut Choices) {
        let (name, aggregate) = self.function(choices);
        self.pipe(&format!("{name}()"));
        let key = quoted(&self.key);
        let Some((sql, kind)) = aggregate else {
            let columns = quoted(self.columns.iter().map(|column| &column.name));
            self.select(name, &columns, &key);
            return;
        };
        let list: Vec<String> =
            key.iter().cloned().chain([format!("{sql} AS \"_value\"")]).collect();
        let groups = if key.is_empty() {
            "HAVING count(*) > 0".to_owned()
        } else {
            format!("GROUP BY {}", key.join(", "))
        };
        self.add(&format!("SELECT {}, 0 AS ord FROM @ {groups}", list.join(", ")));
        self.is_series = false;
        self.set_columns(vec![Column::new("_value", kind)]);
    }

    /// Returns the windows of the range, with their times.
    fn windows(&self, every: i64, offset: i64, is_start: bool) -> String {
        let (start, stop) = self.range;
        // Windows are counted from the Unix epoch.
        let origin = offset - FIRST.rem_euclid(every);
        let mut first = origin + (start - origin).div_euclid(every) * every;
        let mut windows = Vec::new();
        while first < stop {
            let end = first + every;
            let time = if is_start {
                first.max(start)
            } else {
                end.min(stop)
            };
            let row = [first, end, time].map(timestamp).join(", ");
            windows.push(format!("({row})"));
            first = end;
        }
        format!("(VALUES {})", windows.join(", "))
    }

    pub(super) fn window(&mut self, choices: &mut Choices) {
        let (name, aggregate) = self.function(choices);
        let (every, offset) = (choices.of(&[60, 30, 100, 420]), choices.of(&[0, 10, -25]));
        let (skips_empty, is_start) = (choices.flip(), choices.flip());
        let source = if is_start { "_start" } else { "_stop" };
        self.pipe(&format!(
            "aggregateWindow(every: {every}s, fn: {name}, offset: {offset}s, createEmpty: {}, timeSrc: \"{source}\")",
            !skips_empty
        ));
        let windows = self.windows(every, offset, is_start);
        let is_time = |name: &str| name == "_time" || BOUNDS.contains(&name);
        self.key.retain(|name| !is_time(name));
        let key = quoted(&self.key);
        let (before, list) = (self.last(), self.list());
        self.add(&format!(
            "SELECT {list}, ord, w.t AS wt FROM @ JOIN {windows} AS w(a, b, t) ON \"_time\" >= w.a AND \"_time\" < w.b"
        ));
        let groups: Vec<String> = key.iter().cloned().chain(["wt".to_owned()]).collect();
        self.columns.retain(|column| !is_time(&column.name));
        if let Some((sql, kind)) = aggregate {
            let groups = groups.join(", ");
            self.add(&format!("SELECT {groups}, {sql} AS \"_value\" FROM @ GROUP BY {groups}"));
            self.set_columns(vec![Column::new("_value", kind)]);
        } else {
            let mut others = quoted(self.columns.iter().map(|column| &column.name));
            others.push("wt".to_owned());
            self.select(name, &others, &groups);
        }
        let selected = self.columns.iter().map(|column| {
            let name = format!("\"{}\"", column.name);
            match (skips_empty, self.key.contains(&column.name)) {
                (true, _) => format!("o.{name}"),
                (false, true) => format!("k.{name}"),
                (false, false) if matches!(aggregate, Some(("count(*)", _))) => {
                    format!("coalesce(o.{name}, 0) AS {name}")
                }
                (false, false) => format!("o.{name}"),
            }
        });
        let (start, stop) = (timestamp(self.range.0), timestamp(self.range.1));
        let time = if skips_empty { "o.wt" } else { "w.t" };
        let bounds = format!("{start} AS \"_start\", {stop} AS \"_stop\", {time} AS \"_time\"");
        let selected: Vec<String> = [bounds].into_iter().chain(selected).collect();
        let rows = if skips_empty {
            "@ AS o".to_owned()
        } else {
            let keys = if key.is_empty() {
                "1 AS one".to_owned()
            } else {
                key.join(", ")
            };
            // Without parentheses, the parser takes the rest of the conditions for a part of the right side.
            let equal =
                key.iter().map(|key| format!(" AND (o.{key} IS NOT DISTINCT FROM k.{key})"));
            format!(
                "(SELECT DISTINCT {keys} FROM {before}) AS k CROSS JOIN {windows} AS w(a, b, t) LEFT JOIN @ AS o ON o.wt = \
                 w.t{}",
                equal.collect::<String>()
            )
        };
        self.add(&format!("SELECT {} FROM {rows}", selected.join(", ")));
        let times = ["_start", "_stop", "_time"].map(|name| Column::new(name, Kind::Time));
        self.columns = times.into_iter().chain(std::mem::take(&mut self.columns)).collect();
        self.key.extend(BOUNDS.map(str::to_owned));
        self.has_window = true;
        self.order("\"_time\"");
    }
}
