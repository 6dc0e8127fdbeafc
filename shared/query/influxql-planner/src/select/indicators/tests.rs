use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::Float64Type;
use neap_influxql::{Call, Expr as Ast, Statement, parse};

use super::Indicator;

/// Values that rise from 1 to 15 and fall again.
fn hill() -> ArrayRef {
    let values = (1..=15).chain((1..15).rev());
    Arc::new(Float64Array::from_iter_values(values.map(f64::from)))
}

fn call(text: &str) -> Call {
    let mut statements = parse(&format!("SELECT {text} FROM m")).unwrap();
    let Some(Statement::Select(select)) = statements.pop() else {
        panic!("{text} is no field");
    };
    match select.fields.into_iter().next().map(|field| field.expr) {
        Some(Ast::Call(call)) => call,
        other => panic!("{other:?} is no call"),
    }
}

/// Returns the index of the first result, and the results.
fn results(text: &str, values: &ArrayRef) -> (usize, Vec<f64>) {
    let indicator = Indicator::from_call(&call(text)).unwrap().unwrap();
    let array = indicator.results(values).unwrap();
    let results = array.as_primitive::<Float64Type>();
    let first = (0..results.len()).find(|row| results.is_valid(*row));
    (first.unwrap_or(results.len()), results.iter().flatten().collect())
}

#[track_caller]
fn assert_results(text: &str, first: usize, numbers: &str) {
    let (row, found) = results(text, &hill());
    let expected: Vec<f64> =
        numbers.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!(row, first, "{text}");
    assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-7, "{text}: {found} is not {expected}");
    }
}

fn refusal(text: &str) -> String {
    let error = Indicator::from_call(&call(text)).unwrap_err();
    error.strip_backtrace()
}

#[test]
fn exponential_averages_begin_with_means() {
    assert_results(
        "exponential_moving_average(x, 10, -1, 'simple')",
        9,
        "5.5 6.5 7.5 8.5 9.5 10.5 11.136363636363637 11.475206611570249 11.570623591284749 \
         11.466873847414794 11.200169511521196 10.800138691244614 10.291022565563775 \
         9.692654826370362 9.021263039757569 8.290124305256192 7.510101704300521 6.690083212609517 \
         5.837340810316878 4.957824299350173",
    );
}

#[test]
fn double_averages_need_two_periods() {
    assert_results(
        "double_exponential_moving_average(x, 10, -1, 'simple')",
        18,
        "13.568840926166246 12.701748119313985 11.701405062848783 10.611872766773773 \
         9.465595022565749 8.28616628396151 7.090477085921927 5.8903718513360275 4.693925476073202 \
         3.5064225149113692 2.331104912318361",
    );
}

#[test]
fn triple_averages_need_three_periods() {
    assert_results(
        "triple_exponential_moving_average(x, 4, -1, 'simple')",
        9,
        "10.0 11.0 12.0 13.0 14.0 15.0 14.431999999999995 13.345600000000001 12.155520000000001 \
         11.0 9.906687999999997 8.86563072 7.8589122560000035 6.871005491200005 5.891160883200005 \
         4.912928706560004 3.932955104051203 2.9498469349785603 1.9633255712030717 \
         0.9736696408637435",
    );
}

#[test]
fn derivatives_of_triple_averages_are_percentages() {
    assert_results(
        "triple_exponential_derivative(x, 4, -1, 'simple')",
        10,
        "18.181818181818187 15.384615384615374 13.33333333333333 11.764705882352944 \
         10.526315789473696 8.304761904761904 5.641927541329594 3.0392222148232007 \
         0.7160675740302658 -1.2848911076603242 -2.9999661985600667 -4.493448741755901 \
         -5.836238000516913 -7.099092024379772 -8.352897627933453 -9.673028502435233 \
         -11.147601363985949 -12.891818138458877 -15.074463280730022",
    );
}

#[test]
fn strength_is_the_share_of_rises() {
    assert_results(
        "relative_strength_index(x, 10, -1, 'simple')",
        10,
        "100.0 100.0 100.0 100.0 100.0 90.0 81.0 72.89999999999999 65.61 59.04899999999999 \
         53.144099999999995 47.82969 43.04672099999999 38.74204889999999 34.86784400999999 \
         31.381059608999994 28.242953648099995 25.418658283289997 22.876792454961",
    );
}

#[test]
fn efficiency_is_the_change_in_relation_to_all_changes() {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![20, 21, 22, 23, 22, 21]));
    let (first, ratios) = results("kaufmans_efficiency_ratio(x, 3)", &values);
    assert_eq!((first, ratios), (3, vec![1.0, 1.0 / 3.0, 1.0 / 3.0]));
}

#[test]
fn adaptive_averages_follow_efficient_changes() {
    assert_results(
        "kaufmans_adaptive_moving_average(x, 10)",
        10,
        "10.444444444444445 11.135802469135802 11.964334705075446 12.869074836153025 \
         13.81615268675168 13.871008014588556 13.71308456353558 13.553331356741122 \
         13.46599437575161 13.4515677602438 13.29930139347417 12.805116570729284 \
         11.752584300922967 10.036160535131103 7.797866963961725 6.109926091089847 \
         4.727736717272138 3.5154092873734104 2.3974496040963396",
    );
}

#[test]
fn momentum_is_that_of_a_period_or_smoothed() {
    assert_results(
        "chande_momentum_oscillator(x, 10, 10)",
        10,
        "100.0 100.0 100.0 100.0 100.0 80.0 60.0 40.0 20.0 0.0 -20.0 -40.0 -60.0 -80.0 -100.0 \
         -100.0 -100.0 -100.0 -100.0",
    );
    assert_results(
        "chande_momentum_oscillator(x, 10, -1, 'simple')",
        10,
        "100.0 100.0 100.0 100.0 100.0 80.0 61.999999999999986 45.79999999999999 31.22 \
         18.097999999999992 6.288199999999988 -4.340620000000012 -13.906558000000008 \
         -22.515902200000014 -30.264311980000013 -37.23788078200001 -43.51409270380002 \
         -49.16268343342002 -54.24641509007802",
    );
}

#[test]
fn the_hold_period_is_that_of_the_warmup_unless_it_is_given() {
    for (text, first) in [
        ("exponential_moving_average(x, 4)", 3),
        ("exponential_moving_average(x, 4, -1)", 3),
        ("exponential_moving_average(x, 4, 0)", 0),
        ("exponential_moving_average(x, 4, 7)", 7),
        ("exponential_moving_average(x, 4, 100)", 29),
        ("double_exponential_moving_average(x, 4)", 3),
        ("triple_exponential_moving_average(x, 4, -1, 'exponential')", 3),
        ("triple_exponential_derivative(x, 4)", 4),
        ("relative_strength_index(x, 4)", 4),
        ("kaufmans_efficiency_ratio(x, 4)", 4),
        ("chande_momentum_oscillator(x, 4)", 3),
        ("chande_momentum_oscillator(x, 4, -1, 'exponential')", 4),
    ] {
        assert_eq!(results(text, &hill()).0, first, "{text}");
    }
}

#[test]
fn rows_without_a_value_have_no_result_and_change_no_others() {
    let whole: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 4.0]));
    let gaps: ArrayRef =
        Arc::new(Float64Array::from(vec![Some(1.0), None, Some(2.0), None, None, Some(4.0)]));
    let text = "exponential_moving_average(x, 2)";
    assert_eq!(results(text, &gaps), (2, results(text, &whole).1));
}

#[test]
fn periods_longer_than_the_series_have_no_result() {
    for name in [
        "exponential_moving_average",
        "kaufmans_efficiency_ratio",
        "chande_momentum_oscillator",
    ] {
        let text = format!("{name}(x, {})", i64::MAX);
        assert_eq!(results(&text, &hill()), (29, Vec::new()));
    }
}

#[test]
fn wrong_arguments_are_refused_with_the_texts_of_influxdb() {
    let pairs = "
        exponential_moving_average(x) ==> invalid number of arguments for exponential_moving_average, expected at least 2 but no more than 4, got 1
        kaufmans_efficiency_ratio(x, 1, 2, 'simple') ==> invalid number of arguments for kaufmans_efficiency_ratio, expected at least 2 but no more than 3, got 4
        exponential_moving_average(x, 1.5) ==> exponential_moving_average period must be an integer
        relative_strength_index(x, 0) ==> relative_strength_index period must be greater than or equal to 1
        exponential_moving_average(x, 2, 'a') ==> exponential_moving_average hold period must be an integer
        exponential_moving_average(x, 2, -2) ==> exponential_moving_average hold period must be greater than or equal to 0
        triple_exponential_derivative(x, 2, 0) ==> triple_exponential_derivative hold period must be greater than or equal to 1
        exponential_moving_average(x, 2, -1, 3) ==> exponential_moving_average warmup type must be a string
        exponential_moving_average(x, 2, -1, 'none') ==> exponential_moving_average warmup type must be one of: 'exponential' 'simple'
        chande_momentum_oscillator(x, 2, -1, 'cold') ==> chande_momentum_oscillator warmup type must be one of: 'none' 'exponential' 'simple'
        chande_momentum_oscillator(x, 1) ==> chande_momentum_oscillator period must be greater than 1 without a warmup
    ";
    for (text, refused) in neap_test_inputs::text_pairs(pairs) {
        assert_eq!(refusal(text), format!("Error during planning: {refused}"));
    }
}
