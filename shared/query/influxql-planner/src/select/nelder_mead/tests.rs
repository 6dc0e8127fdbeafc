use super::{Objective, minimum};

/// Rosenbrock's function of parameters that are rounded to five digits. Its minimum is 0, at (1, 1).
struct RosenbrockFunction;

impl Objective for RosenbrockFunction {
    fn value(&self, parameters: &mut [f64]) -> f64 {
        for parameter in parameters.iter_mut() {
            *parameter = (*parameter * 1e5).round() / 1e5;
        }
        let (x, y) = (parameters[0], parameters[1]);
        100.0 * (y - x * x).powi(2) + (1.0 - x).powi(2)
    }
}

/// A function without a value.
struct NoValue;

impl Objective for NoValue {
    fn value(&self, _parameters: &mut [f64]) -> f64 {
        f64::NAN
    }
}

#[tokio::test]
async fn the_minimum_of_a_curved_valley_is_found() {
    let (least, parameters) = minimum(&RosenbrockFunction, &[-1.2, 1.0], 1e-5).await;
    assert!(least < 1e-5, "{least}");
    assert_eq!(parameters.len(), 2);
    for parameter in parameters {
        assert!((parameter - 1.0).abs() < 1e-2, "{parameter}");
    }
}

#[tokio::test]
async fn a_search_without_values_ends() {
    let (least, parameters) = minimum(&NoValue, &[1.0, 2.0, 3.0], 1e-5).await;
    assert!(least.is_nan());
    assert_eq!(parameters.len(), 3);
}
