//! The simplex method of Nelder and Mead for the minimum of a function.
//!
//! Each step is that of InfluxDB 1, so that forecasts agree with its own. Other tasks run between the steps.

use tokio::task::coop::consume_budget;

const MAX_STEPS: usize = 1_000;

/// A function of several parameters.
pub(super) trait Objective: Sync {
    /// Returns the value of the function. May change the parameters, which then belong to this value.
    fn value(&self, parameters: &mut [f64]) -> f64;
}

/// Searches the minimum, beginning near `start`. Returns it with its parameters. The search ends when the values of the
/// simplex differ by less than `epsilon`, or after a number of steps.
pub(super) async fn minimum(
    objective: &impl Objective,
    start: &[f64],
    epsilon: f64,
) -> (f64, Vec<f64>) {
    let mut simplex = Simplex::around(objective, start).await;
    for _ in 0..MAX_STEPS {
        simplex.step(objective).await;
        if simplex.deviation() < epsilon {
            break;
        }
    }
    let least = simplex.least();
    let parameters = simplex.parameters(least);
    let best = Vertex::at(objective, parameters.clone()).await;
    (best.value, parameters)
}

/// A point and the value of the function there.
struct Vertex {
    parameters: Vec<f64>,
    value: f64,
}

impl Vertex {
    async fn at(objective: &impl Objective, mut parameters: Vec<f64>) -> Self {
        let value = objective.value(&mut parameters);
        consume_budget().await;
        Self { parameters, value }
    }
}

/// One vertex more than there are parameters.
struct Simplex(Vec<Vertex>);

impl Simplex {
    async fn around(objective: &impl Objective, start: &[f64]) -> Self {
        let count = start.len() as f64;
        let root = (count + 1.0).sqrt() - 1.0;
        let scale = count * std::f64::consts::SQRT_2;
        let (far, near) = ((root + count) / scale, root / scale);
        let mut vertices = vec![Vertex::at(objective, start.to_vec()).await];
        for moved in 0..start.len() {
            let parameters = start.iter().enumerate().map(|(index, parameter)| {
                let distance = if index == moved { far } else { near };
                distance + parameter
            });
            vertices.push(Vertex::at(objective, parameters.collect()).await);
        }
        Self(vertices)
    }

    /// Replaces the vertex with the greatest value by one with a lesser value, or shrinks the simplex.
    async fn step(&mut self, objective: &impl Objective) {
        let (greatest, least) = (self.greatest(), self.least());
        let second = self.second(greatest, least);
        let center = self.center_without(greatest);
        let opposite = towards(&center, 1.0, &self.parameters(greatest), &center);
        let reflected = Vertex::at(objective, opposite).await;
        let value = reflected.value;
        let outside = towards(&center, 0.5, &center, &reflected.parameters);
        if value < self.value(least) {
            let further = towards(&center, 2.0, &center, &reflected.parameters);
            let expanded = Vertex::at(objective, further).await;
            let is_better = expanded.value < value;
            self.replace(greatest, if is_better { expanded } else { reflected });
        } else if value < self.value(second) {
            self.replace(greatest, reflected);
        }
        if value >= self.value(second) {
            let nearer = if value < self.value(greatest) {
                outside
            } else {
                towards(&center, -0.5, &self.parameters(greatest), &center)
            };
            let contracted = Vertex::at(objective, nearer).await;
            if contracted.value < self.value(greatest) {
                self.replace(greatest, contracted);
            } else {
                self.shrink_to(least);
                self.evaluate(objective, greatest).await;
                self.evaluate(objective, second).await;
            }
        }
    }

    /// Halves the distance of each vertex to one of them. The values are still those of before.
    fn shrink_to(&mut self, least: usize) {
        let center = self.parameters(least);
        for (index, vertex) in self.0.iter_mut().enumerate() {
            if index != least {
                for (parameter, end) in vertex.parameters.iter_mut().zip(&center) {
                    *parameter = end + (*parameter - end) / 2.0;
                }
            }
        }
    }

    async fn evaluate(&mut self, objective: &impl Objective, index: usize) {
        let vertex = Vertex::at(objective, self.parameters(index)).await;
        self.replace(index, vertex);
    }

    fn value(&self, index: usize) -> f64 {
        self.0.get(index).map_or(f64::NAN, |vertex| vertex.value)
    }

    fn parameters(&self, index: usize) -> Vec<f64> {
        self.0.get(index).map(|vertex| vertex.parameters.clone()).unwrap_or_default()
    }

    fn replace(&mut self, index: usize, vertex: Vertex) {
        if let Some(replaced) = self.0.get_mut(index) {
            *replaced = vertex;
        }
    }

    /// Returns the best vertex, or `from` if none is better. Of equal ones, it is the first.
    fn best(&self, from: usize, is_better: impl Fn(f64, f64) -> bool) -> usize {
        let mut best = (from, self.value(from));
        for (index, vertex) in self.0.iter().enumerate() {
            if is_better(vertex.value, best.1) {
                best = (index, vertex.value);
            }
        }
        best.0
    }

    fn greatest(&self) -> usize {
        self.best(0, |value, best| value > best)
    }

    fn least(&self) -> usize {
        self.best(0, |value, best| value < best)
    }

    /// The vertex with the greatest value below the greatest one of all.
    fn second(&self, greatest: usize, least: usize) -> usize {
        let limit = self.value(greatest);
        self.best(least, |value, best| value > best && value < limit)
    }

    /// The mean of the other vertices.
    fn center_without(&self, left_out: usize) -> Vec<f64> {
        let mut center: Vec<f64> = Vec::new();
        let others = self.0.iter().enumerate().filter(|(index, _)| *index != left_out);
        for (_, vertex) in others {
            center.resize(vertex.parameters.len(), 0.0);
            for (sum, parameter) in center.iter_mut().zip(&vertex.parameters) {
                *sum += parameter;
            }
        }
        let count = center.len() as f64;
        for sum in &mut center {
            *sum /= count;
        }
        center
    }

    /// The deviation of the values from their mean.
    fn deviation(&self) -> f64 {
        let values = || self.0.iter().map(|vertex| vertex.value);
        let mean = values().sum::<f64>() / self.0.len() as f64;
        let others = self.0.len().saturating_sub(1) as f64;
        values().map(|value| (value - mean).powi(2) / others).sum::<f64>().sqrt()
    }
}

/// Returns the point at `center`, moved by a part of the way between two points.
fn towards(center: &[f64], part: f64, from: &[f64], to: &[f64]) -> Vec<f64> {
    let ways = from.iter().zip(to).map(|(from, to)| to - from);
    center.iter().zip(ways).map(|(center, way)| center + part * way).collect()
}

#[cfg(test)]
mod tests;
