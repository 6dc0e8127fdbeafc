//! The methods of operators with one input.

/// The methods of `ExecutionPlan` that are alike for operators with one input and no expressions of their own. The argument is
/// the field of the input; a method `with_input` returns the operator over another one.
macro_rules! one_input_methods {
    ($input:ident) => {
        fn children(
            &self,
        ) -> Vec<&std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
            vec![&self.$input]
        }

        neap_scan::no_expressions_method!();

        fn with_new_children(
            self: std::sync::Arc<Self>,
            mut children: Vec<std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>>,
        ) -> datafusion::common::Result<
            std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>,
        > {
            match (children.pop(), children.len()) {
                (Some(input), 0) => Ok(std::sync::Arc::new(self.with_input(input)?)),
                _ => datafusion::common::internal_err!("{} has one input", self.name()),
            }
        }
    };
}

/// The methods of `ExecutionPlan` that are alike for operators that return all rows of their input, each partition in its order.
macro_rules! same_rows_methods {
    ($input:ident) => {
        fn properties(&self) -> &std::sync::Arc<datafusion::physical_plan::PlanProperties> {
            self.$input.properties()
        }

        fn maintains_input_order(&self) -> Vec<bool> {
            vec![true]
        }

        fn benefits_from_input_partitioning(&self) -> Vec<bool> {
            vec![false]
        }

        fn cardinality_effect(
            &self,
        ) -> datafusion::physical_plan::execution_plan::CardinalityEffect {
            datafusion::physical_plan::execution_plan::CardinalityEffect::Equal
        }
    };
}

pub(crate) use one_input_methods;
pub(crate) use same_rows_methods;
