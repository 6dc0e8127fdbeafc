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

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(
                &std::sync::Arc<dyn datafusion::physical_expr::PhysicalExpr>,
            ) -> datafusion::common::Result<
                datafusion::common::tree_node::TreeNodeRecursion,
            >,
        ) -> datafusion::common::Result<datafusion::common::tree_node::TreeNodeRecursion> {
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        }

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

pub(crate) use one_input_methods;
