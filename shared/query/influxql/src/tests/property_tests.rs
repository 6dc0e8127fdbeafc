//! Property tests: every tree survives a round trip through its text, and the parser never panics.

use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    BinaryOp, CardinalityTarget, Cast, Column, ColumnKind, CompareOp, Condition, DeleteClauses,
    Dimension, Explain, Expr, Field, Fill, IntoTarget, Literal, Measurement, MeasurementName,
    NameMatch, PolicyOptions, Privilege, Regex, RetentionDuration, RetentionPolicy, Select,
    SelectInto, SelectSource, ServerStatement, ShowCardinality, ShowClauses, ShowMeasurements,
    ShowTagKeys, ShowTagValues, Statement, TimeOrder, UserPrivilege, UserStatement, WindowLength,
    parse,
};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z_][a-zA-Z0-9_]{0,6}",
        1 => select(vec!["select", "FROM", "time", "true", "Key", "", "fill", "tz"]).prop_map(str::to_owned),
        1 => "[ -~\né室'\"\\\\./$]{0,8}",
    ]
}

fn regex() -> impl Strategy<Value = Regex> {
    // A pattern does not begin with `*`, because `/*` would start a comment.
    "([a-c/ .|$^'\"-]|\\\\[a-z.\\\\])([a-c/ .*|$^'\"-]|\\\\[a-z.\\\\]){0,6}".prop_map(Regex)
}

fn number() -> impl Strategy<Value = Literal> {
    prop_oneof![
        any::<i64>().prop_map(Literal::Integer),
        (i64::MAX.unsigned_abs() + 1..=u64::MAX).prop_map(Literal::Unsigned),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(Literal::Float),
    ]
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        number(),
        "[ -~\né室'\"\\\\]{0,8}".prop_map(Literal::String),
        any::<bool>().prop_map(Literal::Boolean),
        (-i64::MAX..=i64::MAX).prop_map(Literal::Duration),
        (-100_000..100_000_i64).prop_map(|seconds| Literal::Duration(seconds * 1_000_000_000)),
    ]
}

fn kind() -> impl Strategy<Value = ColumnKind> {
    select(vec![ColumnKind::Tag, ColumnKind::Field])
}

fn cast() -> impl Strategy<Value = Cast> {
    prop_oneof![
        select(vec![Cast::Float, Cast::Integer, Cast::Unsigned, Cast::String, Cast::Boolean]),
        kind().prop_map(Cast::Kind),
    ]
}

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        4 => (name(), option::of(cast())).prop_map(|(name, cast)| Expr::Column(Column { name, cast })),
        3 => literal().prop_map(Expr::Literal),
        1 => name().prop_filter("a name", |name| !name.is_empty()).prop_map(Expr::Parameter),
        1 => regex().prop_map(Expr::Regex),
        1 => option::of(kind()).prop_map(Expr::Wildcard),
    ];
    let op = select(vec![
        BinaryOp::Add,
        BinaryOp::Subtract,
        BinaryOp::BitOr,
        BinaryOp::BitXor,
        BinaryOp::Multiply,
        BinaryOp::Divide,
        BinaryOp::Modulo,
        BinaryOp::BitAnd,
    ]);
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let call = prop_oneof!["[a-z][a-z_0-9]{0,5}x", Just("distinct".to_owned())];
        prop_oneof![
            (call, vec(inner.clone(), 0..3)).prop_map(|(name, args)| Expr::call(name, args)),
            (inner.clone(), op.clone(), inner)
                .prop_map(|(left, op, right)| Expr::binary(left, op, right)),
        ]
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let op = select(vec![
        CompareOp::Equal,
        CompareOp::NotEqual,
        CompareOp::Less,
        CompareOp::LessOrEqual,
        CompareOp::Greater,
        CompareOp::GreaterOrEqual,
    ]);
    let matching = select(vec![CompareOp::Matches, CompareOp::NotMatches]);
    let value = || expr().prop_filter("no regex", |expr| !matches!(expr, Expr::Regex(_)));
    let leaf = prop_oneof![
        (value(), op, value()).prop_map(|(left, op, right)| Condition::Compare { left, op, right }),
        (value(), matching, regex()).prop_map(|(left, op, right)| {
            let right = Expr::Regex(right);
            Condition::Compare { left, op, right }
        }),
        expr().prop_map(Condition::Value),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| one.and(other)),
            (inner.clone(), inner).prop_map(|(one, other)| one.or(other)),
        ]
    })
}

fn measurement_name() -> impl Strategy<Value = MeasurementName> {
    prop_oneof![
        3 => name().prop_map(MeasurementName::Name),
        1 => regex().prop_map(MeasurementName::Regex),
    ]
}

fn measurement() -> impl Strategy<Value = Measurement> {
    (option::of(name()), option::of(name()), measurement_name()).prop_map(
        |(database, retention_policy, name)| Measurement { database, retention_policy, name },
    )
}

fn dimensions() -> impl Strategy<Value = Vec<Dimension>> {
    let every = prop_oneof![
        (1..i64::MAX).prop_map(WindowLength::Nanos),
        (1..=12_000_u32).prop_map(WindowLength::Months),
    ];
    let time =
        (every, option::of(expr())).prop_map(|(every, offset)| Dimension::Time { every, offset });
    let other = prop_oneof![
        name().prop_map(Dimension::Tag),
        regex().prop_map(Dimension::Regex),
        Just(Dimension::Wildcard),
    ];
    (option::of(time), vec(other, 0..3))
        .prop_map(|(time, others)| time.into_iter().chain(others).collect())
}

fn fill() -> impl Strategy<Value = Fill> {
    prop_oneof![
        select(vec![Fill::Null, Fill::None, Fill::Previous, Fill::Linear]),
        number().prop_map(Fill::Value),
    ]
}

fn numbers() -> impl Strategy<Value = [Option<u64>; 4]> {
    let number = || option::of(any::<u64>());
    [number(), number(), number(), number()]
}

fn select_of(source: BoxedStrategy<SelectSource>) -> impl Strategy<Value = Select> {
    let field = (expr(), option::of(name())).prop_map(|(expr, alias)| Field { expr, alias });
    let order = option::of(select(vec![TimeOrder::Ascending, TimeOrder::Descending]));
    let zone = option::of("[A-Za-z/']{0,9}");
    let clauses = (
        option::of(condition()),
        dimensions(),
        option::of(fill()),
        order,
        numbers(),
        zone,
    );
    (vec(field, 1..3), vec(source, 1..3), clauses).prop_map(|(fields, from, clauses)| {
        let (condition, group_by, fill, order, numbers, time_zone) = clauses;
        let [limit, offset, slimit, soffset] = numbers;
        Select {
            fields,
            from,
            condition,
            group_by,
            fill,
            order,
            limit,
            offset,
            slimit,
            soffset,
            time_zone,
        }
    })
}

fn any_select() -> impl Strategy<Value = Select> {
    let table = measurement().prop_map(SelectSource::Measurement).boxed();
    let subquery =
        select_of(table.clone()).prop_map(|select| SelectSource::Subquery(Box::new(select)));
    select_of(prop_oneof![3 => table, 1 => subquery].boxed())
}

fn show() -> impl Strategy<Value = ShowClauses> {
    let from = vec(measurement(), 0..3);
    (option::of(name()), from, option::of(condition()), numbers()).prop_map(
        |(on, from, condition, [limit, offset, slimit, soffset])| ShowClauses {
            on,
            from,
            condition,
            limit,
            offset,
            slimit,
            soffset,
        },
    )
}

fn name_match() -> impl Strategy<Value = NameMatch> {
    prop_oneof![
        name().prop_map(NameMatch::Equal),
        name().prop_map(NameMatch::NotEqual),
        regex().prop_map(NameMatch::Matches),
        regex().prop_map(NameMatch::NotMatches),
        vec(name(), 1..3).prop_map(NameMatch::In),
    ]
}

fn show_measurements() -> impl Strategy<Value = Statement> {
    let with =
        prop_oneof![name().prop_map(NameMatch::Equal), regex().prop_map(NameMatch::Matches),];
    (option::of(name()), option::of(with), option::of(condition()), numbers()).prop_map(
        |(on, with, condition, [limit, offset, ..])| {
            Statement::ShowMeasurements(ShowMeasurements { on, with, condition, limit, offset })
        },
    )
}

fn counted() -> impl Strategy<Value = CardinalityTarget> {
    prop_oneof![
        Just(CardinalityTarget::Measurements),
        Just(CardinalityTarget::Series),
        Just(CardinalityTarget::TagKeys),
        Just(CardinalityTarget::FieldKeys),
        name_match().prop_map(CardinalityTarget::TagValues),
    ]
}

fn options() -> impl Strategy<Value = PolicyOptions> {
    let retention = || {
        prop_oneof![
            Just(RetentionDuration::Forever),
            (0..i64::MAX).prop_map(RetentionDuration::For)
        ]
    };
    (retention(), option::of(any::<u64>()), option::of(retention())).prop_map(
        |(duration, replication, shard_duration)| PolicyOptions {
            duration: Some(duration),
            replication,
            shard_duration,
            name: None,
        },
    )
}

fn policy() -> impl Strategy<Value = RetentionPolicy> {
    (name(), name(), options(), any::<bool>()).prop_map(|(name, database, options, default)| {
        RetentionPolicy { name, database, options, default }
    })
}

fn deletion() -> impl Strategy<Value = DeleteClauses> {
    (vec(measurement_name(), 0..3), option::of(condition()))
        .prop_filter("something", |(from, condition)| !from.is_empty() || condition.is_some())
        .prop_map(|(from, condition)| DeleteClauses { from, condition })
}

fn into_target() -> impl Strategy<Value = IntoTarget> {
    (option::of(name()), option::of(name()), option::of(name())).prop_map(
        |(database, retention_policy, table)| IntoTarget { database, retention_policy, table },
    )
}

fn change() -> impl Strategy<Value = Statement> {
    let named = (options(), option::of(name()))
        .prop_map(|(options, name)| PolicyOptions { name, ..options });
    prop_oneof![
        (name(), option::of(named))
            .prop_map(|(name, policy)| Statement::CreateDatabase { name, policy }),
        name().prop_map(Statement::DropDatabase),
        name().prop_map(Statement::DropMeasurement),
        deletion().prop_map(Statement::DropSeries),
        deletion().prop_map(Statement::Delete),
        policy().prop_map(Statement::CreateRetentionPolicy),
        policy().prop_map(Statement::AlterRetentionPolicy),
        (name(), name())
            .prop_map(|(name, database)| Statement::DropRetentionPolicy { name, database }),
    ]
}

fn server_statement() -> impl Strategy<Value = ServerStatement> {
    let module = || option::of(name());
    prop_oneof![
        module().prop_map(|module| ServerStatement::ShowStats { module }),
        module().prop_map(|module| ServerStatement::ShowDiagnostics { module }),
        select(vec![
            ServerStatement::ShowShards,
            ServerStatement::ShowShardGroups,
            ServerStatement::ShowSubscriptions,
            ServerStatement::ShowUsers,
            ServerStatement::ShowQueries,
        ]),
        name().prop_map(|user| ServerStatement::ShowGrants { user }),
        (any::<u64>(), option::of(name()))
            .prop_map(|(id, host)| ServerStatement::KillQuery { id, host }),
    ]
}

/// Statements about users, but for those with a password, which their text does not have.
fn user_statement() -> impl Strategy<Value = UserStatement> {
    let privilege = || {
        let of_database = (
            select(vec![Privilege::Read, Privilege::Write, Privilege::All]),
            name().prop_map(Some),
        );
        let privilege = prop_oneof![of_database, Just((Privilege::All, None))];
        (privilege, name()).prop_map(|((privilege, database), user)| UserPrivilege {
            privilege,
            database,
            user,
        })
    };
    prop_oneof![
        name().prop_map(|user| UserStatement::Drop { user }),
        privilege().prop_map(UserStatement::Grant),
        privilege().prop_map(UserStatement::Revoke),
    ]
}

fn statement() -> impl Strategy<Value = Statement> {
    let explain =
        (any::<bool>(), any::<bool>(), any_select()).prop_map(|(analyze, verbose, select)| {
            Statement::Explain(Box::new(Explain { analyze, verbose, select }))
        });
    prop_oneof![
        4 => any_select().prop_map(|select| Statement::Select(Box::new(select))),
        1 => explain,
        1 => Just(Statement::ShowDatabases),
        1 => option::of(name()).prop_map(|on| Statement::ShowRetentionPolicies { on }),
        1 => show_measurements(),
        1 => (show(), option::of(name_match()))
            .prop_map(|(show, keys)| Statement::ShowTagKeys(ShowTagKeys { show, keys })),
        1 => (any_select(), into_target()).prop_map(|(select, target)| {
            Statement::SelectInto(Box::new(SelectInto { select, target }))
        }),
        1 => show().prop_map(Statement::ShowFieldKeys),
        1 => show().prop_map(Statement::ShowSeries),
        1 => (show(), name_match())
            .prop_map(|(show, keys)| Statement::ShowTagValues(ShowTagValues { show, keys })),
        1 => (counted(), show())
            .prop_map(|(of, show)| Statement::ShowCardinality(ShowCardinality { of, show })),
        2 => change(),
        1 => server_statement().prop_map(Statement::Server),
        1 => user_statement().prop_map(Statement::User),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn parsing_the_text_of_a_statement_returns_that_statement(statement in statement()) {
        let text = statement.to_string();
        prop_assert_eq!(parse(&text), Ok(vec![statement]), "{}", text);
    }

    #[test]
    fn parser_does_not_panic_on_arbitrary_text(text in "\\PC{0,40}") {
        parse(&text).ok();
    }

    #[test]
    fn accepted_word_sequences_survive_a_round_trip(words in vec(select(vec![
        "SELECT", "FROM", "WHERE", "GROUP BY", "time(", "1m", "'x'", "\"y\"", "a", "*", "/", "//", "/a/", "(",
        ")", ",", ".", "..", "::", "::tag", "=~", "!=", "<", "AND", "OR", "-", "--", "/*", "*/", "1", "1.5", "$p",
        ";", "SHOW", "TAG VALUES", "WITH KEY", "IN", "LIMIT", "fill(", "DISTINCT", "mean(", "DELETE", "ON", "é", "1mo", "2y", "GRANT", "READ", "TO",
    ]), 0..20), glue in select(vec!["", " "])) {
        let text = words.join(glue);
        if let Ok(statements) = parse(&text) {
            for statement in statements {
                let canonical = statement.to_string();
                prop_assert_eq!(parse(&canonical), Ok(vec![statement]), "{} -> {}", text, canonical);
            }
        }
    }
}
